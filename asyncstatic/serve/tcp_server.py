"""Hypercorn's TCPServer, with a few corrections: deadlines, and the end of a connection.

Hypercorn waits for a slow request head as long as for the next request, and keeps a connection whose
client has ended its side. `protocols` corrects what it does inside a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, cast

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H11Protocol

from asyncstatic.serve.direct.deadline import HEAD_SECONDS
from asyncstatic.serve.direct.server import Peer
from asyncstatic.serve.http2 import Http2, release
from asyncstatic.serve.protocols import Http1
from asyncstatic.serve.tcp import has_received


class Server(TCPServer):
    """One Hypercorn connection; its app is wrapped by `with_request_as_sent`.

    Args:
        arguments: of Hypercorn's TCPServer.
        peer: the client, which a PROXY header may have named.
    """

    def __init__(self, *arguments: Any, peer: Peer) -> None:
        super().__init__(*arguments)
        self._peer = peer
        self._is_read = False  # whether all that the client sends was read

    @property
    def protocol(self) -> ProtocolWrapper:
        """The protocol that Hypercorn chose for this connection, of those below."""
        return self._protocol

    @protocol.setter
    def protocol(self, made: ProtocolWrapper) -> None:
        alpn = "h2" if isinstance(made.protocol, H2Protocol) else None
        peer = self._peer
        made.client, made.server = peer.client, peer.server or made.server
        made.ssl = peer.tls
        self._protocol = _Protocols(*_arguments(made), alpn)
        self._protocol.on_begun_head = self._begin_head

    async def _begin_head(self) -> None:
        """Replace the deadline of an idle connection by that of the request head that has begun."""
        await self.idle_task.restart(self._task_group, self._end_late_head)

    async def _end_late_head(self) -> None:
        seconds = min(HEAD_SECONDS, self.config.keep_alive_timeout)
        with suppress(TimeoutError):
            await asyncio.wait_for(self.context.terminated.wait(), seconds)
        await asyncio.shield(self._initiate_server_close())

    async def _read_data(self) -> None:
        """Read until the client ends, and then wait for no further request.

        Hypercorn by itself would keep the connection until it has been idle for long enough.
        """
        await super()._read_data()
        self._is_read = True
        await self.idle_task.stop()

    async def protocol_send(self, event: Event) -> None:
        """Send; after the last answer to a client that has ended its side, `run` closes."""
        if isinstance(event, Closed):
            async with self.send_lock:  # what waits to be written comes first
                pass
        if isinstance(event, RawData) and self.writer.is_closing():
            await self.protocol.handle(Closed())  # asyncio would log each write
        elif not (self._is_read and isinstance(event, Updated)):
            await super().protocol_send(event)

    async def run(self) -> None:
        """Serve the connection; log the requests that its end interrupts.

        Its memory is free at the end, without a collection of garbage: `asyncstatic serve` has few.
        """
        try:
            await super().run()
        finally:
            made: _Protocols | None = vars(self).pop("_protocol", None)
            if made is not None and isinstance(made.protocol, Http1 | Http2):
                made.protocol.end_log()
                if isinstance(made.protocol, Http2):
                    release(made.protocol.connection)

    async def _close(self) -> None:
        """Close; the client may not end TLS in time, or not be reachable any more."""
        with suppress(OSError):
            await super()._close()

    async def _initiate_server_close(self) -> None:
        if self.context.terminated.is_set() and has_received(cast("Any", self.writer.transport)):
            return  # a request that has arrived is still answered
        chosen = self.protocol.protocol
        if isinstance(chosen, Http1):
            chosen.log_incomplete_head(408)
        elif isinstance(chosen, Http2):
            await chosen.end()
        await super()._initiate_server_close()


class _Protocols(ProtocolWrapper):
    """Replaces every protocol that Hypercorn chooses by ours, whenever it chooses.

    Attributes:
        on_begun_head: called when the first part of a request head is there, and not all of it.
    """

    on_begun_head: Callable[[], Awaitable[None]]
    _has_begun = False

    async def handle(self, event: Event) -> None:
        await super().handle(event)
        had_begun, self._has_begun = self._has_begun, self.protocol.has_begun_head()
        if self._has_begun and not had_begun and isinstance(event, RawData):
            await self.on_begun_head()

    @property
    def protocol(self) -> Http1 | Http2:
        return self._protocol

    @protocol.setter
    def protocol(self, chosen: H11Protocol | H2Protocol) -> None:
        self._protocol: Http1 | Http2
        if isinstance(chosen, H2Protocol):
            release(chosen.connection)
            self._protocol = Http2(*_arguments(self))
        else:
            self._protocol = Http1(*_arguments(self))


def _arguments(of: ProtocolWrapper) -> tuple[Any, Any, Any, Any, Any, Any, Any, Any, Any]:
    """Return the arguments of the constructors of Hypercorn's protocols."""
    serving = of.app, of.config, of.context, of.task_group
    return (*serving, of.state, of.ssl, of.client, of.server, of.send)
