"""Uvicorn with the direct entry in front.

    uvicorn --http asyncstatic.serve.uvicorn:DirectHttpProtocol app:app

Static roots are found as in `asyncstatic serve`. At a request that is not plain HTTP/1.1 for one of
them the connection goes on in the protocol that Uvicorn would have chosen itself. Limits, logs,
default fields and the shutdown are Uvicorn's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from math import inf
from typing import Any, cast
from urllib.parse import quote, unquote
from weakref import WeakKeyDictionary

from uvicorn.config import Config
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.server import ServerState

from asyncstatic.http.addresses import Address
from asyncstatic.serve.access_log import escape, first_line
from asyncstatic.serve.direct.connection import DirectProtocol
from asyncstatic.serve.direct.entry import DirectEntry
from asyncstatic.serve.direct.mounts import find_mounts
from asyncstatic.serve.direct.server import Exchange, Peer, Terms

_HEAD_BYTES = 64 * 1024  # Uvicorn's own default
_access_log = logging.getLogger("uvicorn.access")


class DirectHttpProtocol(DirectProtocol):
    """One connection; Uvicorn's ``http`` option names this class."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(_entry_of(config, server_state, app_state))
        self._known: set[Any] = server_state.connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._known.add(self)
        super().connection_made(transport)

    def _leave(self) -> None:
        self._known.discard(self)
        super()._leave()

    def shutdown(self) -> None:
        """Close when idle, or else after the response in progress."""
        self._entry.registry.closing = True
        self.finish()


_entries: WeakKeyDictionary[ServerState, DirectEntry] = WeakKeyDictionary()


def _entry_of(config: Config, state: ServerState, app_state: dict[str, Any]) -> DirectEntry:
    """Return the direct entry of a server; it is made for the first connection."""
    entry = _entries.get(state)
    if entry is None:
        if not config.loaded:
            config.load()
        mounts = list(find_mounts(config.loaded_app))
        entry = _entries[state] = DirectEntry(mounts, Uvicorn(config, state, app_state))
    return entry


class Uvicorn:
    """Uvicorn as the full server behind the direct entry.

    Args:
        config: holds for both.
        state: Uvicorn's record of its connections.
        app_state: the state that the app's lifespan hands to its requests.
    """

    def __init__(self, config: Config, state: ServerState, app_state: dict[str, Any]) -> None:
        self._config = config
        self._state = state
        self._app_state = app_state
        self._limit = inf if config.limit_concurrency is None else config.limit_concurrency
        self._logs = _access_log.hasHandlers()
        trusted = config.forwarded_allow_ips if config.proxy_headers else []
        self._proxy_headers: Any = ProxyHeadersMiddleware(_end, trusted)
        self.observes = True
        self.terms = Terms(
            head_bytes=config.h11_max_incomplete_event_size or _HEAD_BYTES,
            keep_alive_timeout=config.timeout_keep_alive,
            root_path=config.root_path,
        )

    def is_full(self, connections: int) -> bool:
        """Tell whether the connections, with the new one, exceed the limit."""
        return len(self._state.connections) > self._limit

    def fields(self) -> Iterable[tuple[bytes, bytes]]:
        """Return Date, Server and configured fields; Uvicorn renews them every second."""
        return self._state.default_headers

    def observe(self, exchange: Exchange) -> None:
        """Count an exchange towards ``limit_max_requests``, and log it in Uvicorn's format."""
        self._state.total_requests += 1
        if not self._logs:
            return
        method, _, rest = exchange.line.decode("ascii").partition(" ")
        path, separator, query = rest.removesuffix(" HTTP/1.1").partition("?")
        path = quote(unquote(path)) + separator + escape(query.encode("ascii"))
        self._write(self._client(exchange), method, path, exchange.status)

    def _client(self, exchange: Exchange) -> Address | None:
        """Return the client that Uvicorn's own lines name: the peer, or whom a trusted proxy states."""
        scope = {"type": "http", "client": exchange.peer.client, "headers": exchange.headers}
        with suppress(StopIteration):  # it waits for nothing
            self._proxy_headers(scope, None, None).send(None)
        return cast("Address | None", scope["client"])

    def observe_refusal(self, peer: Peer, data: bytes, status: int) -> None:
        if self._logs:
            method, _, path = escape(first_line(data)).partition(" ")
            self._write(peer.client, method, path.removesuffix(" HTTP/1.1") or "-", status)

    def _write(self, client: Address | None, method: str, path: str, status: int) -> None:
        shown = "" if client is None else escape("{}:{}".format(*client).encode())
        _access_log.info('%s - "%s %s HTTP/%s" %d', shown, method, path, "1.1", status)

    def take_over(self, transport: asyncio.Transport, data: bytes, *, eof: bool) -> None:
        protocol: Any = AutoHTTPProtocol(
            config=self._config,  # type: ignore[call-arg] # declared as any asyncio.Protocol
            server_state=self._state,
            app_state=self._app_state,
        )
        protocol.access_logger = _EscapingLogger(protocol.access_logger)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        transport.resume_reading()
        if data:
            protocol.data_received(data)
        if eof:
            protocol.eof_received()


async def _end(_scope: Any, _receive: Any, _send: Any) -> None:
    """Be the app behind a middleware that only changes the scope."""


class _EscapingLogger(logging.LoggerAdapter[logging.Logger]):
    """Escapes quotes and controls in Uvicorn's own lines, which hold queries as they were sent."""

    def info(self, msg: object, *args: object, **_: Any) -> None:
        escaped = (escape(arg.encode()) if isinstance(arg, str) else arg for arg in args)
        self.logger.info(msg, *escaped)
