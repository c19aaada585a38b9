"""The command line: ``asyncstatic serve DIR``."""

from __future__ import annotations

import os
import sys
import webbrowser
from typing import TYPE_CHECKING, Any

import click

from asyncstatic.cli_options import WrongSettingError, serve_options
from asyncstatic.settings import Settings, SettingsError, option_of_assignment
from asyncstatic.values import printable

if TYPE_CHECKING:
    from asyncstatic.serve.process.run import Started

_NEVER_SERVED = ("/proc", "/sys", "/dev")
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - an ordinary file system; live streams are put there


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


@main.command()
@click.argument("directory", required=False, metavar="[DIR]")
@serve_options
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
    from asyncstatic.serve.process.bind import checked_bind
    from asyncstatic.serve.process.options import Options
    from asyncstatic.serve.process.run import run

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
        sys.exit(run(create_app, {"": settings}, Options(**options), announce))
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
