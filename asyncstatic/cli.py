"""The command line: ``asyncstatic serve DIR``."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from asyncstatic.settings import PREFIX, Settings, SettingsError, option_of_assignment
from asyncstatic.values import printable

if TYPE_CHECKING:
    from asyncstatic.serve.run import Started

Command = TypeVar("Command", bound=Callable[..., Any])

_NEVER_SERVED = ("/proc", "/sys", "/dev")
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - an ordinary file system; live streams are put there


class WrongSettingError(click.ClickException):
    """Said in one line, with the exit code of wrong usage."""

    exit_code = 2


def _mode(_context: click.Context, _option: click.Parameter, value: str | None) -> int | None:
    """Read permissions as chmod(1) takes them: 660."""
    if value is None:
        return None
    digits = value.removeprefix("0o")
    if not digits or set(digits) - set("01234567") or int(digits, 8) > 0o777:
        raise WrongSettingError(f"--socket-mode {value}: say an octal mode, such as 660")
    return int(digits, 8)


def _hint_at_bind(host: str | None, port: str | None) -> None:
    """Say what to write to a user who knows the options of another server."""
    if host is None and port is None:
        return
    named = "--host" if port is None else "--port" if host is None else "--host and --port"
    host = f"[{host}]" if host is not None and ":" in host else host
    raise WrongSettingError(f"no {named} here: say --bind {host or '127.0.0.1'}:{port or 8000}")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="asyncstatic")
def main() -> None:
    """Serve static files, to the letter of RFC 9110."""


# Where to listen; the last two are hints for users of other servers.
_LISTENING = (
    click.option("--bind", "-b", multiple=True, metavar="HOST:PORT",
                 help="Where to listen: HOST:PORT, [IPV6]:PORT, PORT (of 127.0.0.1), "
                 ":PORT (of all interfaces), unix:PATH or fd://NUMBER; repeatable.  "
                 "[default: 127.0.0.1:8000]"),
    click.option("--socket-mode", metavar="MODE", callback=_mode,
                 help="Permissions of a Unix socket, such as 660."),
    click.option("--host", hidden=True),
    click.option("--port", "-p", hidden=True),
)  # fmt: skip


def _options(command: Command) -> Command:
    """The options of ``serve``, in the order of its help."""
    positive = click.IntRange(1)
    seconds = click.FloatRange(0)
    pem = click.Path(exists=True, dir_okay=False)
    for option in reversed(
        [
            *_LISTENING,
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
    host: str | None,
    port: str | None,
    open_browser: bool,
    assignments: tuple[str, ...],
    **options: Any,
) -> None:
    """Serve DIR; without it $ASYNCSTATIC_ROOT, ./static or ./public."""
    from asyncstatic.application import create_app
    from asyncstatic.serve.bind import checked_bind
    from asyncstatic.serve.run import Options, run

    def announce(started: Started) -> None:
        click.echo(
            f"{'  '.join(map(str, started.places))}  serves {printable(started.root)}  "
            f"(resolver {started.resolver}, {started.loop}; Ctrl-C stops)"
        )
        urls = [place.url for place in started.places if place.url.startswith("http")]
        if open_browser and urls:
            webbrowser.open(urls[0])

    _hint_at_bind(host, port)
    try:
        settings = _settings(directory, assignments)
        _check_root(settings.root)
        if bind:
            options["bind"] = tuple(map(checked_bind, bind))
        if open_browser and bind and all(address.startswith("unix:") for address in bind):
            raise SettingsError("--open needs an address that a browser can open: --bind HOST:PORT")
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
    if real == os.path.sep or (_is_in(real, *_NEVER_SERVED) and not _is_in(real, _SHARED_MEMORY)):
        raise SettingsError(
            f"root {printable(root)} is the system's own; name the directory of the site"
        )
    if real == os.path.realpath(os.path.expanduser("~")):
        click.echo(
            f"warning: {printable(root)} is your home directory; everything in it without a leading dot "
            "is served",
            err=True,
        )


def _is_in(path: str, *directories: str) -> bool:
    return any(path == name or path.startswith(f"{name}/") for name in directories)
