"""The command line: ``asyncstatic serve TARGET``."""

from __future__ import annotations

import os
import sys
import webbrowser
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from asyncstatic.cli_options import WrongSettingError, serve_options, with_variables
from asyncstatic.environment import option_of_assignment, warn_of_unknown
from asyncstatic.settings import Settings, SettingsError
from asyncstatic.values import printable

if TYPE_CHECKING:
    from asyncstatic.serve.process.run import Started
    from asyncstatic.serve.process.target import Target

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
@click.argument("target", required=False, metavar="[TARGET]")
@serve_options
@click.pass_context
def serve(
    context: click.Context,
    /,
    target: str | None,
    host: str | None,
    port: str | None,
    open_browser: bool,
    assignments: tuple[str, ...],
    **options: Any,
) -> None:
    """Serve TARGET: a directory, or an ASGI app.

    A directory that exists counts more than an app of the same name; without TARGET it is
    $ASYNCSTATIC_ROOT, ./static or ./public. An app is MODULE:APP, such as myapp:app or
    myapp.web:site.app, or MODULE:FACTORY() for a function that returns it. Modules are looked for
    in the working directory first.
    """
    from asyncstatic.serve.process.addresses import addresses
    from asyncstatic.serve.process.options import Options
    from asyncstatic.serve.process.run import run

    _hint_at_bind(host, port)
    try:
        found = _target(target, assignments)
        where = addresses(options.pop("bind"), options.pop("tls_bind"), os.environ)
        if open_browser and all(address.startswith("unix:") for pair in where for address in pair):
            raise SettingsError("--open needs an address that a browser can open: --bind HOST:PORT")
        announce = partial(_announce, open_browser, options["redirect_https"])
        sys.exit(run(found, Options(*where, **options), announce))
    except SettingsError as error:
        raise WrongSettingError(with_variables(context, str(error))) from None
    except OSError as error:
        raise click.ClickException(with_variables(context, str(error))) from None


def _announce(open_browser: bool, redirects: bool, started: Started) -> None:
    """Print the start-up line."""
    facts = [started.target.answers, started.loop]
    if redirects:
        facts.append("http redirects to https")
    click.echo(
        f"{'  '.join(map(str, started.places))}  serves {printable(started.target.name)}  "
        f"({', '.join(facts)}; Ctrl-C stops)"
    )
    urls = [place.url for place in started.places if place.url.startswith("http")]
    if open_browser and urls:
        webbrowser.open(urls[0])


def _target(text: str | None, assignments: tuple[str, ...]) -> Target:
    """Tell what to serve, and check a root."""
    from asyncstatic.application import create_app
    from asyncstatic.serve.process.target import App, Folders, hint_at_app, is_app

    if text is not None and is_app(text):
        if assignments:
            raise SettingsError(
                f"--set {printable(assignments[0])}: settings are for a directory; "
                f"set it where {text} makes its root"
            )
        warn_of_unknown(os.environ)
        return App(text)
    settings = _settings(text, assignments)
    if not os.path.isdir(settings.root) and (hint := hint_at_app(settings.root)):
        raise SettingsError(f"root {printable(settings.root)}: is not a directory{hint}")
    _check_root(settings.root)
    return Folders(create_app, {"": settings})


def _settings(directory: str | None, assignments: tuple[str, ...]) -> Settings:
    """Read the settings: the command line before the environment."""
    # ASYNCSTATIC_DIRECT is the variable of --direct here, which holds for all roots.
    options = {"direct": True, **dict(map(option_of_assignment, assignments))}
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
