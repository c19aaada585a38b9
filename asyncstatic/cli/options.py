"""The options of ``asyncstatic serve``: for each, a flag, an environment variable and a key of the file.

``--log-format`` is also ``ASYNCSTATIC_LOG_FORMAT``, and ``log_format`` in ``asyncstatic.toml``. A flag
counts more than a variable, a variable more than the file. A variable of an option that may be repeated
holds several values, separated by commas or spaces.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click

from asyncstatic.config.document import Value, find_document
from asyncstatic.config.variables import PREFIX
from asyncstatic.serve.access_log import FORMATS
from asyncstatic.settings import SettingsError

_ENVIRONMENT = click.core.ParameterSource.ENVIRONMENT
_FILE = click.core.ParameterSource.DEFAULT_MAP
#: Where a command keeps the configuration file that it has read.
DOCUMENT = "asyncstatic.document"

Command = TypeVar("Command", bound=Callable[..., Any])


class WrongSettingError(click.ClickException):
    """A wrong setting, reported in one line; the exit code is that of wrong usage."""

    exit_code = 2


class ServerOption(click.Option):
    """An option with an environment variable."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        if not self.hidden and self.envvar is None:
            self.envvar = PREFIX + self.flag.removeprefix("--").replace("-", "_").upper()

    @property
    def flag(self) -> str:
        """The long form."""
        return max(self.opts, key=len)

    @property
    def key(self) -> str:
        """The key of a configuration file."""
        return str(self.envvar).removeprefix(PREFIX).lower()

    def origin(self, context: click.Context) -> str:
        """Return where the value came from: the flag, the variable, FILE:LINE, or "default"."""
        source = context.get_parameter_source(self.name or "")
        if source is _FILE:
            return str(context.meta[DOCUMENT].options[self.key].origin)
        if source is _ENVIRONMENT:
            return str(self.envvar)
        return self.flag if source is click.core.ParameterSource.COMMANDLINE else "default"

    def variable(self, context: click.Context | None) -> str | None:
        """Return the variable that the value came from, or the key and its place; None: the flag."""
        source = None if context is None else context.get_parameter_source(self.name or "")
        if context is None or source not in (_ENVIRONMENT, _FILE):
            return None
        origin = self.origin(context)
        return origin if source is _ENVIRONMENT else f"{origin}: {self.key}"

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Name the variable where the value came from it."""
        variable = self.variable(ctx)
        return f"'{variable}'" if variable else super().get_error_hint(ctx)

    def value_from_envvar(self, ctx: click.Context) -> Any:
        text = self.resolve_envvar_value(ctx)
        if self.multiple and text is not None:
            return [part for part in re.split(r"[,\s]+", text) if part]
        return super().value_from_envvar(ctx)


_option = partial(click.option, cls=ServerOption)


def options_of(command: click.Command) -> list[ServerOption]:
    """Return the options of a command that a configuration file may set."""
    found = [option for option in command.params if isinstance(option, ServerOption)]
    return [option for option in found if not option.hidden and option.name != "config"]


def with_variables(context: click.Context, message: str) -> str:
    """Return an error message that names the variable of each option whose value came from one."""
    for option in context.command.params:
        if isinstance(option, ServerOption) and (variable := option.variable(context)):
            pattern = rf"(?<![\w-]){option.flag}(?![\w-])"
            message = re.sub(pattern, variable.replace("\\", r"\\"), message)
    return message


def _mode(context: click.Context, _option: click.Parameter, value: str | None) -> int | None:
    """Read permissions as chmod(1) takes them: 660."""
    if value is None:
        return None
    digits = value.removeprefix("0o")
    if not digits or set(digits) - set("01234567") or int(digits, 8) > 0o777:
        message = f"--socket-mode {value}: say an octal mode, such as 660"
        raise WrongSettingError(with_variables(context, message))
    return int(digits, 8)


def _read_file(context: click.Context, _option: click.Parameter, named: str | None) -> str | None:
    """Take the options of the configuration file as defaults."""
    try:
        document = find_document(named)
        if document is not None:
            context.meta[DOCUMENT] = document
            context.default_map = {
                option.name or "": _from_file(option, document.options[option.key])
                for option in options_of(context.command)
                if option.key in document.options
            }
    except SettingsError as error:
        raise WrongSettingError(str(error)) from None
    return named


def _from_file(option: ServerOption, found: Value) -> Any:
    """Return the value of an option as click takes it: a list where it may be repeated.

    Raises:
        SettingsError: the type is wrong.
    """
    value = found.value
    items = value if isinstance(value, list) else [value]
    kinds, needed = _kinds(option)
    may_be_list = option.multiple or option.key in LISTS
    if any(type(item) not in kinds for item in items) or (items is value and not may_be_list):
        needed += ", or a list of them" if may_be_list else ""
        raise SettingsError(f"{found.origin}: {option.key}: {needed}")
    if option.key in LISTS:
        return ",".join(items)
    return items if option.multiple else value


def _kinds(option: ServerOption) -> tuple[tuple[type, ...], str]:
    """Return the types that an option has in a file, and the words for them."""
    if option.is_flag:
        return (bool,), "true or false is needed, without quotes"
    if isinstance(option.type, click.IntRange):
        return (int,), "a number without a fraction is needed"
    if isinstance(option.type, click.FloatRange):
        return (int, float), "a number is needed"
    return (str,), "text in quotes is needed"


class _Duration(click.FloatRange):
    """Seconds, 0 or more. NaN would pass the comparisons of a range."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):
            self.fail(f"{value} is not a number of seconds.", param, ctx)
        return seconds


LISTS = ("trusted_proxies",)  # with commas in one value
_POSITIVE = click.IntRange(1)
_SECONDS = _Duration(0)
_PEM = click.Path(exists=True, dir_okay=False)

# The last two are hints for users of other servers.
_LISTENING = (
    _option("--bind", "-b", multiple=True, metavar="HOST:PORT",
            help="Where to listen: HOST:PORT, [IPV6]:PORT, PORT (of 127.0.0.1), "
            ":PORT (of all interfaces), unix:PATH or fd://NUMBER; repeatable. For HTTPS if a "
            "certificate is named without --tls-bind.  "
            "[default: sockets from systemd, :$PORT, or 127.0.0.1:8000]"),
    _option("--tls-bind", multiple=True, metavar="HOST:PORT",
            help="Where to listen for HTTPS, beside --bind for HTTP; repeatable."),
    _option("--redirect-https", is_flag=True,
            help="Redirect http:// requests to the first --tls-bind."),
    _option("--socket-mode", metavar="MODE", callback=_mode,
            help="Permissions of a Unix socket, such as 660."),
    _option("--host", hidden=True),
    _option("--port", "-p", hidden=True),
)  # fmt: skip

_WORKERS = (
    _option("--workers", "-w", default=1, type=_POSITIVE, show_default=True, metavar="NUMBER",
            help="Worker processes."),
    _option("--max-requests", type=_POSITIVE, metavar="NUMBER",
            help="Requests after which a worker is replaced."),
    _option("--graceful-timeout", type=_SECONDS, default=30.0, show_default=True, metavar="SECONDS",
            help="Time for downloads to finish at a shutdown."),
    _option("--drain-seconds", type=_SECONDS, default=0.0, show_default=True, metavar="SECONDS",
            help="Time between SIGTERM and the end of listening, in which --health says 503."),
    _option("--pid", metavar="FILE", help="Write the process id to FILE."),
)  # fmt: skip

_CONNECTIONS = (
    _option("--limit-concurrency", type=_POSITIVE, metavar="NUMBER",
            help="Connections per worker; more are answered 503."),
    _option("--keep-alive", type=_SECONDS, default=75.0, show_default=True, metavar="SECONDS",
            help="Time for which an idle connection is kept."),
    _option("--direct/--no-direct", default=True, show_default=True,
            help="Answer plain requests for files in front of Hypercorn, without ASGI."),
    _option("--uvloop/--no-uvloop", "uvloop", default=None,
            help="Use uvloop as the event loop.  [default: where it is installed]"),
)  # fmt: skip

_TLS = (
    _option("--certfile", type=_PEM, multiple=True,
            help="TLS certificate chain, PEM; repeatable, chosen by server name."),
    _option("--keyfile", type=_PEM, multiple=True,
            help="Private key of the certificate, PEM, unless --certfile has it; repeatable, in "
            "the same order."),
)  # fmt: skip

_PROXIES = (
    _option("--proxy-protocol", is_flag=True,
            help="Every connection begins with a PROXY header (1 or 2) of a trusted proxy."),
    _option("--trusted-proxies", default="", metavar="NET,...",
            help="Proxies that are believed about their clients (X-Forwarded-*, Forwarded): networks "
            "such as 10.0.0.0/8, addresses, or unix."),
)  # fmt: skip

_LOGS = (
    _option("--access-logfile", metavar="FILE", help="Write the access log to FILE; - is standard output."),
    _option("--log-format", default="combined", show_default=True,
            type=click.Choice(list(FORMATS)), help="Format of the access log."),
)  # fmt: skip

_OPERATIONS = (
    _option("--health", metavar="PATH",
            help="Answer 200 at this path, or 503 if a root cannot be opened or the server stops."),
    _option("--metrics", metavar="PATH|HOST:PORT",
            help="Show metrics for Prometheus at this path, or at this address (/metrics)."),
)  # fmt: skip

#: Settings that have a flag of their own, with its help.
SWITCHES = {
    "spa": "Single-page app: the index answers navigations to names that are missing.",
    "listing": "A directory without an index answers with a list of its files.",
}

_SITE = (
    _option("--config", "-c", metavar="FILE", is_eager=True, callback=_read_file,
            help="The configuration file.  [default: ./asyncstatic.toml, or [tool.asyncstatic] in "
            "./pyproject.toml]"),
    *(click.option(f"--{name}", is_flag=True, help=text) for name, text in SWITCHES.items()),
)  # fmt: skip

_OTHERS = (
    _option("--sandbox", is_flag=True, help="Linux: give up access to all files but those served (Landlock)."),
    _option("--open", "open_browser", is_flag=True, help="Open the site in a browser."),
    _option("--reload", is_flag=True,
            help="Development: pages reload when a served file changes."),
    click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE",
                 help="Set any setting; repeatable. The command config lists them."),
)  # fmt: skip


def serve_options(command: Command) -> Command:
    """Add the options of ``serve``, in the order of its help."""
    groups = _SITE, _LISTENING, _WORKERS, _CONNECTIONS, _TLS, _PROXIES, _LOGS, _OPERATIONS, _OTHERS
    for option in reversed([option for group in groups for option in group]):
        command = option(command)
    return command
