"""Hypercorn's TCPServer, with requests handed to the app as they were sent.

Hypercorn upper-cases every method, so that an app takes `get` for GET; methods are case-sensitive
(RFC 9110 §9.1). Over HTTP/2 some requests end the whole connection with an error of Hypercorn's
own, and every other stream with it: those without a path, those with octets outside ASCII, and
content that still comes when the answer is complete, as of an upload that was refused.

Hypercorn keeps a tree of priorities (RFC 7540 §5.3). RFC 9113 §5.3.2 deprecates that signal, which
Chromium still sends with every request: the tree would grow with each, and with each PRIORITY frame.
"""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar
from typing import Any

from h2.connection import ConnectionState
from h2.events import DataReceived, Event, PriorityUpdated, RequestReceived, StreamReset
from h2.exceptions import ProtocolError
from h11 import Request
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.typing import AppWrapper, Scope

# Hypercorn starts the app's task where it creates the stream, and a task copies its context.
_method: ContextVar[str] = ContextVar("method")


def with_method_as_sent(app: AppWrapper) -> AppWrapper:
    """Wrap an app, as Hypercorn calls it, to see the method of a `Server`'s request as sent."""

    async def wrapped(
        scope: Scope, receive: Any, send: Any, sync_spawn: Any, call_soon: Any
    ) -> None:
        if scope["type"] == "http":
            scope["method"] = _method.get()
        await app(scope, receive, send, sync_spawn, call_soon)

    return wrapped


class Server(TCPServer):
    """One connection of Hypercorn's; its app is wrapped by `with_method_as_sent`."""

    @property
    def protocol(self) -> ProtocolWrapper:
        """What Hypercorn chose for this connection, of the protocols below."""
        return self._protocol

    @protocol.setter
    def protocol(self, made: ProtocolWrapper) -> None:
        alpn = "h2" if isinstance(made.protocol, H2Protocol) else None
        self._protocol = _Protocols(*_arguments(made), alpn)

    async def _read_data(self) -> None:
        """Read until the client ends, and then wait for no further request of it.

        Hypercorn would hold the connection, and its place, until it has been idle for long enough.
        """
        await super()._read_data()
        await self.idle_task.stop()


class _Protocols(ProtocolWrapper):
    """Whatever protocol Hypercorn chooses, and at whatever time: ours in its place."""

    @property
    def protocol(self) -> H11Protocol | H2Protocol:
        return self._protocol

    @protocol.setter
    def protocol(self, chosen: H11Protocol | H2Protocol) -> None:
        kind = _Http2 if isinstance(chosen, H2Protocol) else _Http1
        self._protocol = kind(*_arguments(self))


def _arguments(of: ProtocolWrapper) -> tuple[Any, Any, Any, Any, Any, Any, Any, Any, Any]:
    """What all of Hypercorn's protocols are made of."""
    serving = of.app, of.config, of.context, of.task_group
    return (*serving, of.state, of.ssl, of.client, of.server, of.send)


class _Http1(H11Protocol):
    async def _create_stream(self, request: Request) -> None:
        _method.set(request.method.decode("ascii"))
        await super()._create_stream(request)


class _Http2(H2Protocol):
    async def _create_stream(self, request: RequestReceived) -> None:
        pseudo = {name: value for name, value in request.headers or () if name.startswith(b":")}
        method, path = pseudo[b":method"], pseudo.get(b":path", b"")
        if path and method.isascii() and path.isascii():
            _method.set(method.decode("ascii"))
            await super()._create_stream(request)
        else:
            self._refuse(request)

    def _refuse(self, request: RequestReceived) -> None:
        """Answer 400 to what has no place in an ASGI scope."""
        fields = [(b":status", b"400"), (b"content-length", b"0"), (b"cache-control", b"no-store")]
        fields += self.config.response_headers("h2")
        self.keep_alive_requests += 1
        with suppress(ProtocolError):  # the client has reset the stream, or the connection ended
            self.connection.send_headers(request.stream_id, fields, end_stream=True)

    async def _priority_updated(self, event: PriorityUpdated) -> None:
        """Ignore a priority: all streams have the same (RFC 9113 §5.3.2)."""

    async def _handle_events(self, events: list[Event]) -> None:
        reset = {event.stream_id for event in events if isinstance(event, StreamReset)}
        for event in events:
            if isinstance(event, DataReceived) and event.stream_id not in self.streams:
                self._drop(event)
            elif isinstance(event, RequestReceived) and self._is_void(event, reset):
                self._ignore()
            else:
                await super()._handle_events([event])
        await self._flush()

    def _is_void(self, request: RequestReceived, reset: set[int]) -> bool:
        """Tell whether nobody waits for an answer: the client has reset the stream since.

        Or the connection has had its last request, and another came with that.
        """
        most = self.config.keep_alive_max_requests
        return request.stream_id in reset or self.keep_alive_requests > most

    def _ignore(self) -> None:
        """Count a request that gets no answer, so that it cannot come without end."""
        self.keep_alive_requests += 1
        is_open = self.connection.state_machine.state is not ConnectionState.CLOSED
        if is_open and self.keep_alive_requests > self.config.keep_alive_max_requests:
            self.connection.close_connection()

    def _drop(self, event: DataReceived) -> None:
        """Take content that nobody waits for, so that its client gets to read the answer."""
        self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
