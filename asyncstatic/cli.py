"""The command line: ``asyncstatic serve DIR``."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from asyncstatic.settings import Settings, SettingsError, option_of_assignment

if TYPE_CHECKING:
    from asyncstatic.serve.run import Started

Command = TypeVar("Command", bound=Callable[..., Any])

_NEVER_SERVED = ("/proc", "/sys", "/dev")


class WrongSettingError(click.ClickException):
    """Said in one line, with the exit code of wrong usage."""

    exit_code = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="asyncstatic")
def main() -> None:
    """Serve static files, to the letter of RFC 9110."""


def _options(command: Command) -> Command:
    """The options of ``serve``, in the order of its help."""
    positive = click.IntRange(1)
    seconds = click.FloatRange(0)
    pem = click.Path(exists=True, dir_okay=False)
    for option in reversed(
        [
            click.option("--bind", "-b", multiple=True, metavar="HOST:PORT",
                         help="Where to listen; repeatable.  [default: 127.0.0.1:8000]"),
            click.option("--workers", "-w", default=1, type=positive, show_default=True,
                         help="Worker processes."),
            click.option("--open", "open_browser", is_flag=True, help="Open a browser."),
            click.option("--reload", is_flag=True,
                         help="Development: pages reload when a served file changes."),
            click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE",
                         help="Any setting, as ASYNCSTATIC_NAME would; repeatable."),
            click.option("--access-logfile", metavar="FILE",
                         help="Access log; - for standard output."),
            click.option("--log-format", default="combined", show_default=True,
                         type=click.Choice(["common", "combined", "json"]),
                         envvar=PREFIX + "LOG_FORMAT", help="Format of the access log."),
            click.option("--certfile", type=pem, help="TLS certificate chain, PEM."),
            click.option("--keyfile", type=pem, help="TLS private key, PEM."),
            click.option("--sandbox", is_flag=True,
                         help="Give up all files but those served (Landlock)."),
            click.option("--limit-concurrency", type=positive,
                         help="Connections per worker; more are answered 503."),
            click.option("--max-requests", type=positive,
                         help="Requests after which a worker is replaced."),
            click.option("--keep-alive", type=seconds, default=5.0, show_default=True,
                         help="Seconds that an idle connection is kept."),
            click.option("--graceful-timeout", type=seconds, default=3.0, show_default=True,
                         help="Seconds to finish at a shutdown."),
            click.option("--direct/--no-direct", default=True, show_default=True,
                         help="The direct lane in front of Hypercorn."),
            click.option("--uvloop/--no-uvloop", "uvloop", default=None,
                         help="The event loop.  [default: uvloop where installed]"),
        ]
    ):  # fmt: skip
        command = option(command)
    return command


@main.command()
@click.argument("directory", required=False, metavar="[DIR]")
@_options
def serve(
    directory: str | None,
    bind: tuple[str, ...],
    open_browser: bool,
    assignments: tuple[str, ...],
    **options: Any,
) -> None:
    """Serve DIR; without it $ASYNCSTATIC_ROOT, ./static or ./public."""
    from asyncstatic.application import create_app
    from asyncstatic.serve.run import Options, run

    def announce(started: Started) -> None:
        click.echo(
            f"{'  '.join(started.urls)}  serves {started.root}  "
            f"(resolver {started.resolver}, {started.loop}; Ctrl-C stops)"
        )
        if open_browser:
            webbrowser.open(started.urls[0])

    try:
        settings = _settings(directory, assignments)
        _check_root(settings.root)
        if bind:
            options["bind"] = tuple(_checked_bind(address) for address in bind)
        sys.exit(run(create_app, settings, Options(**options), announce))
    except SettingsError as error:
        raise WrongSettingError(str(error)) from None
    except OSError as error:
        raise click.ClickException(str(error)) from None


def _settings(directory: str | None, assignments: tuple[str, ...]) -> Settings:
    """Read the settings: the command line before the environment."""
    options = dict(map(option_of_assignment, assignments))
    if directory is not None:
        options["root"] = directory
    if options.get("root") == "":
        raise SettingsError("the name of the directory is empty: name the directory to serve")
    return Settings.from_environment(os.environ, **options)


def _check_root(root: str) -> None:
    """Refuse what nobody means to publish, and warn of what few do."""
    real = os.path.realpath(root)
    if (
        real == os.path.sep
        or real in _NEVER_SERVED
        or real.startswith(tuple(name + "/" for name in _NEVER_SERVED))
    ):
        raise SettingsError(f"root {root} is the system's own; name the directory of the site")
    if real == os.path.realpath(os.path.expanduser("~")):
        click.echo(
            f"warning: {root} is your home directory; everything in it without a leading dot "
            "is served",
            err=True,
        )


def _checked_bind(address: str) -> str:
    if address.startswith(("unix:", "fd://")):
        return address
    host, separator, port = address.rpartition(":")
    if not separator:
        host, port = address, "8000"
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise SettingsError(f"--bind {address}: say HOST:PORT, such as 127.0.0.1:8000")
    return f"{host}:{port}"
