"""Hypercorn's TCPServer, with a few corrections.

Hypercorn upper-cases every method, so that an app takes `get` for GET; but methods are
case-sensitive (RFC 9110 §9.1). It answers HTTP/9.9 as HTTP/1.1, and HTTP/1.2 without Host. Over HTTP/2 some
requests end the whole connection with all its streams: those without a path or with bytes outside ASCII, and
content that arrives after the response is complete, as of an upload that was refused.

Hypercorn keeps a tree of priorities (RFC 7540 §5.3). RFC 9113 §5.3.2 deprecates that signal, but Chromium
still sends it with every request: the tree would grow with each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, cast

import h11
from h2.connection import ConnectionState
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, PriorityUpdated, RequestReceived, StreamReset
from h2.exceptions import ProtocolError
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.events import Closed, RawData, Updated
from hypercorn.events import Event as ConnectionEvent
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import StreamClosed
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.typing import AppWrapper, Scope

from asyncstatic.serve.access_log import CLIENT_CLOSED, SERVER_CLOSED, first_line
from asyncstatic.serve.direct.deadline import HEAD_SECONDS
from asyncstatic.serve.direct.server import Peer
from asyncstatic.serve.hypercorn_log import Requests, requests_of
from asyncstatic.serve.tcp import has_received


class Context(WorkerContext):
    """The state of a worker.

    Attributes:
        retires: whether another process accepts the connections already. Clients are asked to make
            new ones, and until they do, this worker answers.
    """

    retires = False


# Hypercorn starts the app's task where it creates the stream, and a task copies its context.
_method: ContextVar[str] = ContextVar("method")


def with_method_as_sent(app: AppWrapper) -> AppWrapper:
    """Wrap an app, in the form that Hypercorn calls, so that it gets the method as it was sent."""

    async def wrapped(
        scope: Scope, receive: Any, send: Any, sync_spawn: Any, call_soon: Any
    ) -> None:
        if scope["type"] == "http":
            scope["method"] = _method.get()
        await app(scope, receive, send, sync_spawn, call_soon)

    return wrapped


class Server(TCPServer):
    """One Hypercorn connection; its app is wrapped by `with_method_as_sent`.

    Args:
        arguments: of Hypercorn's TCPServer.
        peer: the client, which a PROXY header may have named.
    """

    def __init__(self, *arguments: Any, peer: Peer) -> None:
        super().__init__(*arguments)
        self._peer = peer

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
        await self.idle_task.stop()

    async def protocol_send(self, event: ConnectionEvent) -> None:
        """Send; close after the last answer to a client that has ended its side."""
        if isinstance(event, Updated) and event.idle and self.reader.at_eof():
            await self._close()
        else:
            await super().protocol_send(event)

    async def run(self) -> None:
        """Serve the connection; log the requests that its end interrupts."""
        try:
            await super().run()
        finally:
            made: _Protocols | None = getattr(self, "_protocol", None)
            if made is not None and isinstance(made.protocol, _Http1 | _Http2):
                made.protocol.end_log()

    async def _close(self) -> None:
        """Close; the client may not end TLS in time, or not be reachable any more."""
        with suppress(OSError):
            await super()._close()

    async def _initiate_server_close(self) -> None:
        if self.context.terminated.is_set() and has_received(cast("Any", self.writer.transport)):
            return  # a request that has arrived is still answered
        chosen = self.protocol.protocol
        if isinstance(chosen, _Http1):
            chosen.log_incomplete_head(408)
        await super()._initiate_server_close()


class _Protocols(ProtocolWrapper):
    """Replaces every protocol that Hypercorn chooses by ours, whenever it chooses.

    Attributes:
        on_begun_head: called when the first part of a request head is there, and not all of it.
    """

    on_begun_head: Callable[[], Awaitable[None]]
    _has_begun = False

    async def handle(self, event: ConnectionEvent) -> None:
        await super().handle(event)
        had_begun, self._has_begun = self._has_begun, self.protocol.has_begun_head()
        if self._has_begun and not had_begun and isinstance(event, RawData):
            await self.on_begun_head()

    @property
    def protocol(self) -> _Http1 | _Http2:
        return self._protocol

    @protocol.setter
    def protocol(self, chosen: H11Protocol | H2Protocol) -> None:
        kind = _Http2 if isinstance(chosen, H2Protocol) else _Http1
        self._protocol = kind(*_arguments(self))


def _arguments(of: ProtocolWrapper) -> tuple[Any, Any, Any, Any, Any, Any, Any, Any, Any]:
    """Return the arguments of the constructors of Hypercorn's protocols."""
    serving = of.app, of.config, of.context, of.task_group
    return (*serving, of.state, of.ssl, of.client, of.server, of.send)


class _Http1(H11Protocol):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._requests = requests_of(self.config, self.client, self.ssl)
        self.connection = _Connection(
            h11.SERVER, max_incomplete_event_size=self.config.h11_max_incomplete_size
        )

    async def _create_stream(self, request: h11.Request) -> None:
        _method.set(request.method.decode("ascii"))
        if self._requests is not None:
            line = b"%b %b HTTP/%b" % (request.method, request.target, request.http_version)
            headers = list(request.headers)
            upgrades = (b"upgrade", b"websocket") in [(name, v.lower()) for name, v in headers]
            self._requests.begin(STREAM_ID, line, headers, is_websocket=upgrades)
        await super()._create_stream(request)

    # -- the access log --------------------------------------------------------------------

    async def handle(self, event: ConnectionEvent) -> None:
        if isinstance(event, Closed):
            self.log_incomplete_head(400)
        await super().handle(event)

    async def stream_send(self, event: StreamEvent) -> None:
        if _retires(self.context):
            self.keep_alive_requests = self.config.keep_alive_max_requests  # the response says so
        await _sent(self._requests, event, super().stream_send)

    async def _send_error_response(self, status_code: int) -> None:
        if self._requests is not None:
            unread = _unread(self.connection)
            if unread is not None or STREAM_ID in self._requests:
                self._requests.refuse(first_line(unread or b""), status_code, STREAM_ID)
        await super()._send_error_response(status_code)

    def has_begun_head(self) -> bool:
        """Tell whether a part of the next request head is there."""
        is_idle = self.connection.their_state is h11.IDLE
        return is_idle and bool(self.connection.trailing_data[0].strip(b"\r\n"))

    async def _close_stream(self) -> None:
        if self._requests is not None:
            self._requests.end(STREAM_ID, by_us=self.context.terminated.is_set())
        await super()._close_stream()

    def log_incomplete_head(self, status: int) -> None:
        """Log a head that will not become complete, if some of it was received."""
        if self._requests is not None and self.connection.their_state is h11.IDLE:
            data = _unread(self.connection)
            if data is not None and data.strip(b"\r\n"):
                self._requests.refuse(first_line(data), status)

    def end_log(self) -> None:
        """Log the requests that the end of the connection interrupts."""
        if self._requests is not None:
            self._requests.end_all()


class _Connection(h11.Connection):
    """Refuses versions that h11 takes for its own, and keeps the bytes of a head that is refused."""

    _refused = b""
    _is_taken = False

    def next_event(self) -> Any:
        data = self.trailing_data[0] if self.their_state is h11.IDLE else b""
        try:
            event = super().next_event()
            if isinstance(event, h11.Request):
                _check_version(event)
        except h11.RemoteProtocolError:
            self._refused = data
            raise
        return event

    def take_unread(self) -> bytes | None:
        """Return the head that was refused or is incomplete; None from the second call on."""
        if self._is_taken:
            return None
        self._is_taken = True
        return self._refused or self.trailing_data[0]


def _check_version(request: h11.Request) -> None:
    """Refuse another major version, and a later minor one without Host (RFC 9110 §2.5, §15.6.6).

    Raises:
        h11.RemoteProtocolError: with the status of the answer.
    """
    version = request.http_version
    is_preface = (request.method, request.target, version) == (b"PRI", b"*", b"2.0")
    if version[:2] != b"1." and not is_preface:
        raise h11.RemoteProtocolError("another major version", error_status_hint=505)
    if version > b"1.1" and not is_preface and b"host" not in dict(request.headers):
        raise h11.RemoteProtocolError("no Host", error_status_hint=400)


def _unread(connection: object) -> bytes | None:
    return connection.take_unread() if isinstance(connection, _Connection) else None


async def _sent(
    requests: Requests | None, event: StreamEvent, send: Callable[[StreamEvent], Awaitable[None]]
) -> None:
    """Send a part of a response, and log the response after its last part."""
    if requests is None:
        await send(event)
        return
    requests.sends(event)
    await send(event)
    requests.sent(event)


def _retires(context: object) -> bool:
    return isinstance(context, Context) and context.retires


class _Http2(H2Protocol):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._requests = requests_of(self.config, self.client, self.ssl)

    async def _create_stream(self, request: RequestReceived) -> None:
        pseudo = {name: value for name, value in request.headers or () if name.startswith(b":")}
        method, path = pseudo[b":method"], pseudo.get(b":path", b"")
        if path and method.isascii() and path.isascii():
            _method.set(method.decode("ascii"))
            if self._requests is not None:
                self._requests.begin(
                    request.stream_id,
                    _line(request),
                    [field for field in request.headers or () if field[0] not in pseudo],
                    is_websocket=method == b"CONNECT",
                )
            await super()._create_stream(request)
        else:
            self._refuse(request)

    def _refuse(self, request: RequestReceived) -> None:
        """Answer 400 to a request that an ASGI scope cannot express."""
        fields = [(b":status", b"400"), (b"content-length", b"0"), (b"cache-control", b"no-store")]
        fields += self.config.response_headers("h2")
        self.keep_alive_requests += 1
        self._log_refusal(request, 400)
        with suppress(ProtocolError):  # the client has reset the stream, or the connection ended
            self.connection.send_headers(request.stream_id, fields, end_stream=True)

    def has_begun_head(self) -> bool:
        """Tell whether no stream is open and a frame, or a block of header fields, is incomplete."""
        frames: Any = self.connection.incoming_buffer
        rest = getattr(frames, "_data", b"") or getattr(frames, "data", b"")  # before h2 4.2
        return self.idle and bool(rest or frames._headers_buffer)  # noqa: SLF001 - no public way

    async def _priority_updated(self, event: PriorityUpdated) -> None:
        """Ignore a priority: all streams are equal (RFC 9113 §5.3.2)."""

    async def _handle_events(self, events: list[Event]) -> None:
        reset = {event.stream_id for event in events if isinstance(event, StreamReset)}
        for event in events:
            if isinstance(event, RequestReceived) and self.context.terminated.is_set():
                self._log_refusal(event, SERVER_CLOSED)
                with suppress(ProtocolError):  # the client repeats it elsewhere (RFC 9113 §8.7)
                    self.connection.reset_stream(event.stream_id, ErrorCodes.REFUSED_STREAM)
            elif isinstance(event, DataReceived) and event.stream_id not in self.streams:
                self._drop(event)
            elif isinstance(event, RequestReceived) and self._is_void(event, reset):
                self._ignore(event, CLIENT_CLOSED if event.stream_id in reset else SERVER_CLOSED)
            else:
                await super()._handle_events([event])
        await self._flush()

    def _is_void(self, request: RequestReceived, reset: set[int]) -> bool:
        """Tell whether a request gets no answer.

        The client has reset the stream, or the connection already had its last request.
        """
        most = self.config.keep_alive_max_requests
        return request.stream_id in reset or self.keep_alive_requests > most

    def _ignore(self, request: RequestReceived, status: int) -> None:
        """Count and log a request that gets no answer; the count bounds them."""
        self._log_refusal(request, status)
        self.keep_alive_requests += 1
        is_open = self.connection.state_machine.state is not ConnectionState.CLOSED
        if is_open and self.keep_alive_requests > self.config.keep_alive_max_requests:
            self.connection.close_connection()

    def _drop(self, event: DataReceived) -> None:
        """Discard content of an answered request, so that its client gets to read the answer."""
        self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)

    # -- the access log --------------------------------------------------------------------

    async def stream_send(self, event: StreamEvent) -> None:
        await _sent(self._requests, event, super().stream_send)
        if isinstance(event, StreamClosed) and _retires(self.context) and not self.streams:
            # GOAWAY tells which requests were answered; others are repeated (RFC 9113 §6.8).
            self.connection.close_connection()
            await self._flush()
            await self.send(Closed())

    async def _close_stream(self, stream_id: int) -> None:
        if self._requests is not None:
            buffer = self.stream_buffers.get(stream_id)
            unsent = 0 if buffer is None else len(buffer.buffer)
            by_us = self.context.terminated.is_set()
            self._requests.end(stream_id, unsent=unsent, by_us=by_us)
        await super()._close_stream(stream_id)

    def _log_refusal(self, request: RequestReceived, status: int) -> None:
        if self._requests is not None:
            self._requests.refuse(_line(request), status)

    def end_log(self) -> None:
        """Log the requests that the end of the connection interrupts."""
        if self._requests is not None:
            self._requests.end_all()


def _line(request: RequestReceived) -> bytes:
    """Format the pseudo-fields as a request line, as nginx does."""
    pseudo = dict(request.headers or ())
    return b"%b %b HTTP/2.0" % (pseudo.get(b":method", b"-"), pseudo.get(b":path", b"-"))
