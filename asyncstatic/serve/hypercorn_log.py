"""The access log beside Hypercorn: one line per request, of the direct entry and of Hypercorn.

Hypercorn by itself writes a line only when a response is complete, so an abandoned download has
none. It also writes decoded paths, which can hold line ends. Here `Requests` follows the events of
each stream, and Hypercorn's own lines are silenced (`quiet`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Coroutine
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, cast

from hypercorn.config import Config
from hypercorn.logging import Logger
from hypercorn.protocol.events import Body, EndBody, Event, Response

from asyncstatic.http.addresses import Networks
from asyncstatic.http.forwarded import read_forwarded
from asyncstatic.serve.access_log import (
    CLIENT_CLOSED,
    FORMATS,
    SERVER_CLOSED,
    LogFile,
    LoggedRequest,
    LogStream,
    escape,
)
from asyncstatic.serve.direct.head import Headers
from asyncstatic.serve.proxies import same_kind, with_host


class HypercornLog:
    """Writes the access log that a Hypercorn configuration asks for.

    ``config.accesslog`` names a file or a logger. ``config.access_log_format`` is "common",
    "combined" or "json"; Hypercorn's own default stands for "combined". For any other format, or a
    ``logger_class`` with its own ``access`` method, Hypercorn's logger writes the line: it gets
    path, query and fields with everything outside printable ASCII escaped.

    Args:
        config: of the server; not changed.
        spawn: runs a coroutine of Hypercorn's logger.
        trusted: the networks of proxies, whose word about a client is logged; None for none.
        ours: False lets Hypercorn's logger write every line, in its own format.

    Attributes:
        active: whether the log has a destination.
        unlogged: raw paths whose requests it does not mention.
        count: called with line, status and bytes sent of each request of Hypercorn; None for nobody.

    Raises:
        OSError: the file cannot be opened.
    """

    unlogged: frozenset[bytes] = frozenset()
    count: Callable[[bytes, int, int], None] | None = None

    def __init__(
        self,
        config: Config,
        spawn: Callable[[Coroutine[Any, Any, None]], Any],
        trusted: Networks | None,
        *,
        ours: bool,
    ) -> None:
        chosen = config.access_log_format
        if chosen == Config.access_log_format:
            chosen = "combined"
        self._hypercorn = config.log
        self._spawn = spawn
        self._trusted = trusted
        own_method = type(config.log).access is not Logger.access
        self._format = None if own_method or not ours else FORMATS.get(chosen)
        self._logger = config.log.access_logger
        self.active = own_method or self._logger is not None
        if self._format is not None and self._logger is not None:
            prepare_logger(self._logger, config)

    def write(self, request: LoggedRequest) -> None:
        if self._trusted is not None:
            request = _as_stated(request, self._trusted)
        if self._format is None:
            self._spawn(self._write_as_hypercorn(request))
        elif self._logger is not None:
            self._logger.info(self._format(request))

    async def _write_as_hypercorn(self, request: LoggedRequest) -> None:
        method, _, rest = escape(request.line).partition(" ")
        target, _, version = rest.rpartition(" ")
        path, _, query = target.partition("?")
        scope: Any = {
            "type": "websocket" if request.scheme.startswith("ws") else "http",
            "http_version": version.removeprefix("HTTP/").removesuffix(".0") or "-",
            "method": method,
            "scheme": request.scheme,
            "path": path or "-",
            "query_string": query.encode("ascii"),
            "headers": [(name, escape(value).encode("ascii")) for name, value in request.headers],
            "client": request.peer,
        }
        response: Any = {"status": request.status, "headers": request.response or []}
        await self._hypercorn.access(scope, response, request.seconds)


def _as_stated(request: LoggedRequest, trusted: Networks) -> LoggedRequest:
    """Return a request with the client, scheme and Host that trusted proxies state."""
    stated = read_forwarded(request.peer, request.headers, trusted)
    if stated.client is not None:
        request = replace(request, peer=stated.client)
    if stated.scheme is not None:
        request = replace(request, scheme=same_kind(request.scheme, stated.scheme))
    if stated.host is not None:
        request = replace(request, headers=with_host(request.headers, stated.host))
    return request


def prepare_logger(logger: logging.Logger, config: Config) -> None:
    """Let Hypercorn's logger write bare lines to the file that the configuration names.

    A logger that the user made, or that ``logconfig`` set up, stays unchanged.
    """
    if not isinstance(config.accesslog, str) or config.logconfig or config.logconfig_dict:
        return
    logger.setLevel(logging.INFO)  # errors have their own level
    ours = LogStream() if config.accesslog == "-" else LogFile(config.accesslog)
    for handler in logger.handlers:
        handler.close()
    logger.handlers = [ours]


# -- the requests of Hypercorn's connections -----------------------------------------------------


@dataclass(slots=True)
class _Request:
    """A request that has no complete response yet."""

    line: bytes
    headers: Headers
    is_websocket: bool
    began: float = field(default_factory=time.monotonic)
    status: int = 0
    sent: int = 0
    response: Headers | None = None


class Requests:
    """The open requests of one Hypercorn connection, by stream.

    Args:
        log: gets a line when a request ends.
        peer: the client, in the form of ASGI.
        tls: whether the connection is encrypted.
    """

    def __init__(self, log: HypercornLog, peer: tuple[str, int] | None, tls: bool) -> None:
        self._log = log
        self._peer = peer
        self._tls = tls
        self._open: dict[int, _Request] = {}

    def __contains__(self, stream_id: int) -> bool:
        return stream_id in self._open

    def begin(
        self, stream_id: int, line: bytes, headers: Headers, *, is_websocket: bool = False
    ) -> None:
        """Note a request whose head is complete."""
        if not is_websocket and self._log.unlogged and _path_of(line) in self._log.unlogged:
            return  # an app may accept a WebSocket there
        self._open[stream_id] = _Request(line, headers, is_websocket)

    def sends(self, event: Event) -> None:
        """Note a part of a response before it is sent."""
        request = self._open.get(event.stream_id)
        if request is None:
            return
        if isinstance(event, Response) and (event.status_code >= 200 or request.is_websocket):
            request.status, request.response = event.status_code, event.headers
        elif isinstance(event, Body):
            request.sent += len(event.data)

    def sent(self, event: Event) -> None:
        """Write a line after the last part of a response, or after the handshake of a WebSocket."""
        request = self._open.get(event.stream_id)
        if request is None:
            return
        is_accepted = request.is_websocket and request.status in {101, 200}
        if isinstance(event, EndBody) or (isinstance(event, Response) and is_accepted):
            self.end(event.stream_id)

    def refuse(self, line: bytes, status: int, stream_id: int | None = None) -> None:
        """Write a line for a malformed request, or note the status that refuses a request."""
        request = self._open.get(stream_id) if stream_id is not None else None
        if request is None:
            self._write(_Request(line, [], False, status=status))
        elif not request.status:
            request.status = status

    def end(self, stream_id: int, *, unsent: int = 0, by_us: bool = False) -> None:
        """Write the line of a request, unless it was written before.

        Args:
            stream_id: of the request.
            unsent: bytes of its content that were never sent.
            by_us: False when the client left. It decides the status if no response was begun.
        """
        request = self._open.pop(stream_id, None)
        if request is not None:
            request.status = request.status or (SERVER_CLOSED if by_us else CLIENT_CLOSED)
            request.sent = max(request.sent - unsent, 0)
            self._write(request)

    def end_all(self) -> None:
        """Write the lines of all requests that the end of the connection interrupts."""
        for stream_id in tuple(self._open):
            self.end(stream_id, by_us=True)

    def _write(self, request: _Request) -> None:
        if self._log.count is not None:
            self._log.count(request.line, request.status, request.sent)
        if not self._log.active:
            return
        scheme = ("ws" if request.is_websocket else "http") + ("s" if self._tls else "")
        logged = LoggedRequest(
            request.line,
            request.headers,
            self._peer,
            scheme,
            request.status,
            request.sent,
            time.monotonic() - request.began,
            "hypercorn",
            request.response,
        )
        self._log.write(logged)


def _path_of(line: bytes) -> bytes:
    """Return the path of a request line, without the query."""
    return line.partition(b" ")[2].partition(b" ")[0].partition(b"?")[0]


# -- Hypercorn's own calls ------------------------------------------------------------------------


class _Quiet:
    """Hypercorn's logger without access lines: `HypercornLog` writes them."""

    def __init__(self, log: Logger, access_log: HypercornLog) -> None:
        self._log = log
        self.requests_log = access_log

    async def access(self, *_: Any) -> None:
        """Write nothing."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


def quiet(config: Config, log: HypercornLog) -> Config:
    """Return a copy of a configuration for Hypercorn's protocols, with `log` as the access log."""
    silenced = copy(config)
    silenced._log = cast("Logger", _Quiet(config.log, log))  # noqa: SLF001 - no other way in
    return silenced


def requests_of(config: Config, peer: tuple[str, int] | None, tls: bool) -> Requests | None:
    """Return the record of a connection's requests; None when nobody logs or counts them."""
    log = getattr(config.log, "requests_log", None)
    if not isinstance(log, HypercornLog) or not (log.active or log.count):
        return None
    return Requests(log, peer, tls)
