"""The commands ``serve``, ``config``, ``explain`` and ``hash``."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from asyncstatic.cli.options import (
    DOCUMENT,
    SWITCHES,
    WrongSettingError,
    options_of,
    serve_options,
    with_variables,
)
from asyncstatic.config.document import Document, Value, changed_options
from asyncstatic.config.environment import option_of_assignment, warn_of_unknown
from asyncstatic.config.site import Site, Sources
from asyncstatic.settings import SettingsError
from asyncstatic.settings.values import printable

if TYPE_CHECKING:
    from asyncstatic.serve.process.options import Options
    from asyncstatic.serve.process.run import Started
    from asyncstatic.serve.process.target import Folders, Target


def _hint_at_bind(host: str | None, port: str | None) -> None:
    """Say what to write to a user who knows the options of another server."""
    if host is None and port is None:
        return
    named = "--host" if port is None else "--port" if host is None else "--host and --port"
    host = f"[{host}]" if host is not None and ":" in host else host
    raise WrongSettingError(f"no {named} here: say --bind {host or '127.0.0.1'}:{port or 8000}")


class _Commands(click.Group):
    """The commands. A mistake on the command line is one line, as every mistake in a setting is."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            problem = error.format_message()
            end = "" if problem.endswith((".", "?", ")")) else "."
            command = f"{ctx.command_path} {ctx.invoked_subcommand or ''}".strip()
            raise WrongSettingError(f"{problem}{end} Try {command} --help") from None
        except KeyboardInterrupt:  # before the server obeys signals
            sys.exit(130)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="asyncstatic")
def main() -> None:
    """Serve static files, to the letter of RFC 9110."""


@main.command(short_help="Serve directories, or an ASGI app.")
@click.argument("targets", nargs=-1, metavar="[TARGET | PREFIX=ROOT ...]")
@serve_options
@click.pass_context
def serve(
    context: click.Context,
    /,
    targets: tuple[str, ...],
    open_browser: bool,
    assignments: tuple[str, ...],
    **options: Any,
) -> None:
    """Serve TARGET: a directory, or an ASGI app; or several directories, each below its PREFIX.

    \b
    site                    a directory
    theme,base              an overlay: the first that has a file wins
    package:NAME/DIR        a directory of an installed package
    site.zip, site.zip/DIR  a zip archive, or a directory in one
    MODULE:APP              an app, such as myapp:app or myapp.web:site.app
    MODULE:FACTORY()        the app that a function returns
    /=site /media=~/Videos  several directories with their prefixes

    Without TARGET it is $ASYNCSTATIC_ROOT, or else what the configuration file says, ./static or
    ./public. A directory that exists counts more than an app of the same name. Modules are looked for in
    the working directory first.
    """  # noqa: D301 - click keeps the lines of a paragraph behind the character \b
    from asyncstatic.serve.process.signals import RELOADS, had_terminal, held

    had_terminal()
    with held(RELOADS):
        sys.exit(_serve(context, targets, open_browser, assignments, options))


def _serve(
    context: click.Context,
    targets: tuple[str, ...],
    open_browser: bool,
    assignments: tuple[str, ...],
    options: dict[str, Any],
) -> int:
    """Serve until a signal comes; return the exit status."""
    from asyncstatic.serve.process.run import run

    with _mistakes_in_one_line(context):
        found = _target(context, _sources(targets, assignments, options))
        server = _server(options, opens=open_browser)
        return run(found, server, partial(_announce, open_browser, server.redirect_https))


@contextmanager
def _mistakes_in_one_line(context: click.Context) -> Iterator[None]:
    """Report an error in one line, which names variables and keys that the user has set."""
    from asyncstatic.serve.process.control import one_line

    try:
        yield
    except SettingsError as error:
        raise WrongSettingError(with_variables(context, str(error))) from None
    except OSError as error:
        raise click.ClickException(with_variables(context, one_line(error))) from None


def _print_schema(context: click.Context, _option: click.Parameter, is_wanted: bool) -> None:
    from asyncstatic.cli.schema import schema

    if is_wanted:
        click.echo(json.dumps(schema(options_of(context.command)), indent=2))
        context.exit()


@main.command(short_help="Print all settings, and where each value came from.")
@click.argument("targets", nargs=-1, metavar="[TARGET | PREFIX=ROOT ...]")
@serve_options
@click.option("--json", "as_json", is_flag=True, help="Print all values as JSON.")
@click.option(
    "--schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_schema,
    help="Print the JSON Schema of asyncstatic.toml.",
)
@click.pass_context
def config(
    context: click.Context,
    /,
    targets: tuple[str, ...],
    as_json: bool,
    open_browser: bool,
    assignments: tuple[str, ...],
    **options: Any,
) -> None:
    """Print the effective configuration, and where each value came from.

    It takes the arguments of "serve", and checks them as a start does. Its output is a configuration
    file itself.
    """
    from asyncstatic.cli import show_config
    from asyncstatic.serve.process.run import check
    from asyncstatic.serve.process.target import Folders

    with _mistakes_in_one_line(context):
        sources = _sources(targets, assignments, options)
        target = _target(context, sources)
        server = _server(options, opens=open_browser)
        check(target, server)
        site = sources.read(os.environ) if isinstance(target, Folders) else None
    found = show_config.options_of_server(
        context, {"bind": server.bind, "tls_bind": server.tls_bind}
    )
    click.echo((show_config.as_json if as_json else show_config.as_toml)(found, site))


@main.command("hash", short_help="Ask for a password, and print its hash.")
@click.argument("name", required=False)
def make_hash(name: str | None) -> None:
    """Ask for a password, and print its hash; with NAME as a line of an htpasswd file.

    The password is asked for twice on a terminal, and otherwise read from the first line of the
    standard input.
    """
    from asyncstatic.http.basic import problem_with_password, problem_with_user
    from asyncstatic.serve.users import password_hasher

    try:
        hash_password = password_hasher()
    except SettingsError as error:
        raise WrongSettingError(str(error)) from None
    if sys.stdin.isatty():
        # Standard output may be the htpasswd file, and click 8.1 writes a prompt there without `err`.
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.buffer.readline().decode(errors="surrogateescape").rstrip("\r\n")
    hashed = "" if (problem := problem_with_password(password)) else hash_password(password)
    if not problem and name is not None:
        problem = problem_with_user(name, hashed)
    if problem:
        raise WrongSettingError(problem)
    click.echo(hashed if name is None else f"{name}:{hashed}")


def _announce(open_browser: bool, redirects: bool, started: Started) -> None:
    """Print the start-up line."""
    facts = [started.target.answers, started.loop]
    if redirects:
        facts.append("http redirects to https")
    line = (
        f"{'  '.join(map(str, started.places))}  serves {printable(started.target.name)}  "
        f"({', '.join(facts)}; Ctrl-C stops)"
    )
    with suppress(OSError):  # a full disk, or a reader that has left, stops no server
        click.echo("\n".join(filter(None, (line, started.target.hint))))
    urls = [place.url for place in started.places if place.url.startswith("http")]
    if open_browser and urls:
        webbrowser.open(urls[0])


@main.command(short_help="Tell why a URL gets its answer.")
@click.argument("url", metavar="URL")
@click.argument("targets", nargs=-1, metavar="[TARGET | PREFIX=ROOT ...]")
@serve_options
@click.option(
    "--header",
    "-H",
    "headers",
    multiple=True,
    metavar="NAME: VALUE",
    help="A field of the request; repeatable.",
)
@click.option(
    "--request", "-X", "method", default="GET", show_default=True, help="The method of the request."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def explain(
    context: click.Context,
    /,
    url: str,
    targets: tuple[str, ...],
    headers: tuple[str, ...],
    method: str,
    as_json: bool,
    assignments: tuple[str, ...],
    **options: Any,
) -> None:
    """Tell why URL gets its answer: mount, file, rules, and where each field comes from.

    URL is a path such as /docs/?page=2. The request is answered in this process, by what "serve"
    with the same arguments would serve.
    """
    from asyncstatic.serve import explain as explanation

    with _mistakes_in_one_line(context):
        request = explanation.request_of(method, url, headers)
        app = _target(context, _sources(targets, assignments, options)).build()
        told = asyncio.run(explanation.explain(app, *request))
    click.echo(json.dumps(told.as_json(), indent=2) if as_json else "\n".join(told.lines()))


def _target(context: click.Context, sources: Sources) -> Target:
    """Tell what to serve, and check the roots."""
    from asyncstatic.serve.process.target import App, hint_at_target, is_app

    try:
        os.getcwd()
    except FileNotFoundError:
        raise SettingsError("the working directory was removed: change to another one") from None
    warn_of_unknown(os.environ)
    name = sources.roots[0] if len(sources.roots) == 1 else ""
    if is_app(name):
        if sources.assignments:
            flag = next(iter(sources.assignments.values())).origin
            raise SettingsError(
                f"{flag}: settings are for a directory; set it where {name} makes its root"
            )
        _warn_of_roots(context.meta.get(DOCUMENT), name)
        return App(name)
    site = sources.read(os.environ)
    for settings in site.mounts.values():
        for root in settings.roots:
            if not os.path.isdir(root) and (hint := hint_at_target(root)):
                raise SettingsError(f"root {printable(root)}: is not a directory{hint}")
            _warn_of_home(root)
    return _folders(sources, site)


def _folders(sources: Sources, site: Site) -> Folders:
    """Return the target that serves a site, and can read it again."""
    from asyncstatic.application import create_app
    from asyncstatic.serve.process.target import Folders

    logger = logging.getLogger("asyncstatic")
    for warning in site.warnings():
        logger.warning("%s", warning)

    def read() -> Folders:
        new = sources.read(os.environ)
        for origin in changed_options(site.document, new.document):
            logger.warning("%s: an option of the server; restart it to use the new value", origin)
        return _folders(sources, new)

    create = partial(create_app, exclusive=True)
    described = "" if site.document is None else printable(site.document.path)
    return Folders(create, site.mounts, read, site.explained, described, sources.files(os.environ))


def _warn_of_roots(document: Document | None, app: str) -> None:
    """Say that an app makes its own roots."""
    if document is not None and (document.mounts or document.settings):
        click.echo(
            f"warning: {printable(document.path)}: its roots and their settings are not for "
            f"{printable(app)}, which makes its own",
            err=True,
        )


def _warn_of_home(root: str) -> None:
    if os.path.realpath(root) == os.path.realpath(os.path.expanduser("~")):
        click.echo(
            f"warning: {printable(root)} is your home directory; everything in it without a leading dot "
            "is served",
            err=True,
        )


def _server(options: dict[str, Any], *, opens: bool) -> Options:
    """Return the options of the server, with the addresses that they mean.

    Args:
        options: of the command.
        opens: whether a browser must be able to open one of the addresses.
    """
    from asyncstatic.serve.process.addresses import addresses
    from asyncstatic.serve.process.options import Options

    where = addresses(options.pop("bind"), options.pop("tls_bind"), os.environ)
    if opens and all(each.startswith("unix:") for each in (*where.bind, *where.tls_bind)):
        raise SettingsError("--open needs an address that a browser can open: --bind HOST:PORT")
    return Options(*where, **options)


def _sources(
    targets: tuple[str, ...], assignments: tuple[str, ...], options: dict[str, Any]
) -> Sources:
    """Take the options of the site out of `options`, and return what the command line says of it."""
    _hint_at_bind(options.pop("host"), options.pop("port"))
    config = options.pop("config")
    named = {name: Value(True, f"--{name}") for name in SWITCHES if options.pop(name)}
    for assignment in assignments:
        name, value = option_of_assignment(assignment)
        named[name] = Value(value, f"--set {printable(assignment)}")
    # Here `direct` is the option --direct, for all roots.
    return Sources(config, targets, named, options=frozenset({"direct"}) - named.keys())
