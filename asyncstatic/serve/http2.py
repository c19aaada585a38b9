"""Hypercorn's HTTP/2, with a few corrections.

With Hypercorn some requests end the whole connection with all its streams: those without a path or with bytes
outside ASCII, and content that arrives after the response is complete, as of an upload that was refused. GOAWAY,
of either side, ends the streams that are open. While the content of a request is not read, no frame of another
stream is (`http2_content`).

An idle connection has a deadline. Hypercorn forgets it after a request that it refuses itself, and after a
stream that its client resets.

Hypercorn keeps a tree of priorities (RFC 7540 §5.3). RFC 9113 §5.3.2 deprecates that signal, but Chromium
still sends it with every request: the tree would grow with each.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import Any

from h2.connection import ConnectionInputs, ConnectionState, H2Connection, H2ConnectionStateMachine
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PriorityUpdated,
    RequestReceived,
    StreamReset,
)
from h2.exceptions import ProtocolError
from hypercorn.events import Closed, RawData, Updated
from hypercorn.events import Event as ConnectionEvent
from hypercorn.protocol.events import Body, EndBody, Response, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h2 import H2Protocol
from priority.priority import DeadlockError

from asyncstatic.serve.access_log import CLIENT_CLOSED, SERVER_CLOSED
from asyncstatic.serve.http2_content import Content
from asyncstatic.serve.hypercorn_log import requests_of
from asyncstatic.serve.protocols import AsSent, as_sent, retires, send_logged

_READ_AT_ONCE = 4096  # bytes of frames, before the event loop serves others; 455 frames at most
_WRITTEN_AT_ONCE = 32 * 1024  # bytes of content


class _State(H2ConnectionStateMachine):
    """The state of a connection, which stays open when its client sends GOAWAY (RFC 9113 §6.8)."""

    def process_input(self, input_: ConnectionInputs) -> list[Event]:
        return [] if input_ is ConnectionInputs.RECV_GOAWAY else super().process_input(input_)


class Http2(H2Protocol):
    """Hypercorn's HTTP/2, corrected and logged."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._requests = requests_of(self.config, self.client, self.ssl)
        self._contents: dict[int, Content] = {}  # of requests whose content follows
        self._held = 0  # bytes of content in frames that are not written yet
        self._is_ending = False  # whether one side said that the connection ends with its streams
        # A client may have sent as many requests as may be open, twice, before it reads our GOAWAY.
        most = self.config.keep_alive_max_requests + 2 * self.config.h2_max_concurrent_streams
        self._most_requests = most
        self.connection.state_machine = _State()
        # At GOAWAY h2 drops what it has to send, acknowledgements too.
        self.connection.clear_outbound_data_buffer = lambda: None  # type: ignore[method-assign]

    async def _create_stream(self, request: RequestReceived) -> None:
        pseudo = {name: value for name, value in request.headers or () if name.startswith(b":")}
        method, path = pseudo[b":method"], pseudo.get(b":path", b"")
        if path and method.isascii() and path.isascii():
            if self._requests is not None:
                self._requests.begin(
                    request.stream_id,
                    _line(request),
                    [field for field in request.headers or () if field[0] not in pseudo],
                    is_websocket=method == b"CONNECT",
                )
            content = None
            if request.stream_ended is None and method != b"CONNECT":
                content = Content(partial(self._taken, request.stream_id))
                self._contents[request.stream_id] = content
            as_sent.set(AsSent(method.decode("ascii"), content))
            await super()._create_stream(request)
            stream = self.streams.get(request.stream_id)
            if content is not None and stream is not None:
                stream.app_put = content.put
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

    async def handle(self, event: ConnectionEvent) -> None:
        if isinstance(event, RawData):
            await self._read(event.data)
            return
        await super().handle(event)
        if isinstance(event, Closed):  # nobody sends any more, and apps would wait for it
            for buffer in tuple(self.stream_buffers.values()):
                await buffer.close()

    async def _read(self, data: bytes) -> None:
        """Read frames; thousands of small ones hold nobody else up."""
        for begin in range(0, len(data), _READ_AT_ONCE):
            if begin:
                await asyncio.sleep(0)
            await super().handle(RawData(data[begin : begin + _READ_AT_ONCE]))
            if self.connection.state_machine.state is ConnectionState.CLOSED:
                return

    def has_begun_head(self) -> bool:
        """Tell whether no stream is open and a frame, or a block of header fields, is incomplete."""
        frames: Any = self.connection.incoming_buffer
        rest = getattr(frames, "_data", b"") or getattr(frames, "data", b"")  # before h2 4.2
        return self.idle and bool(rest or frames._headers_buffer)  # noqa: SLF001 - no public way

    async def _send_data(self, stream_id: int) -> None:
        """Send a frame of content; the last one ends the stream."""
        buffer, connection = self.stream_buffers[stream_id], self.connection
        try:
            window = connection.local_flow_control_window(stream_id)
            data = await buffer.pop(max(0, min(window, connection.max_outbound_frame_size)))
            if data or buffer.complete:
                connection.send_data(stream_id, data, end_stream=buffer.complete)
            else:
                self.priority.block(stream_id)
        except ProtocolError:  # the stream or the connection has ended
            await buffer.close()
        else:
            self._held += len(data)
        if buffer.complete:
            del self.stream_buffers[stream_id]
            self.priority.remove_stream(stream_id)
        if self._held >= _WRITTEN_AT_ONCE:
            await self._flush()

    async def send_task(self) -> None:
        """Send what streams have, with as few writes as possible: each costs a TLS record and a call."""
        while not self.closed:
            try:
                stream_id = next(self.priority)
            except DeadlockError:
                await self._flush()
                await self.has_data.wait()
                await self.has_data.clear()
            else:
                await self._send_data(stream_id)
        await self._flush()

    async def _flush(self) -> None:
        self._held = 0
        await super()._flush()

    async def _priority_updated(self, event: PriorityUpdated) -> None:
        """Ignore a priority: all streams are equal (RFC 9113 §5.3.2)."""

    async def _handle_events(self, events: list[Event]) -> None:
        reset = {event.stream_id for event in events if isinstance(event, StreamReset)}
        for event in events:
            if isinstance(event, RequestReceived) and self.context.terminated.is_set():
                self._log_refusal(event, SERVER_CLOSED)
                await self._give_notice()
                with suppress(ProtocolError):  # the client repeats it elsewhere (RFC 9113 §8.7)
                    self.connection.reset_stream(event.stream_id, ErrorCodes.REFUSED_STREAM)
            elif isinstance(event, DataReceived) and event.stream_id not in self.streams:
                # The request was answered, and its client gets to read the answer.
                self._acknowledge(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, DataReceived) and event.stream_id in self._contents:
                await self._receive(event)
            elif isinstance(event, RequestReceived) and self._is_void(event, reset):
                self._ignore(event, CLIENT_CLOSED if event.stream_id in reset else SERVER_CLOSED)
            elif isinstance(event, RequestReceived):
                await self._begin(event)
            elif isinstance(event, ConnectionTerminated) and self.streams and not event.error_code:
                self._is_ending = True
            else:
                await super()._handle_events([event])
        await self._flush()
        if any(isinstance(event, RequestReceived | StreamReset) for event in events):
            await self._update()

    async def _update(self) -> None:
        """Close streams that Hypercorn has refused, and begin the time of an idle connection."""
        for stream_id in [number for number, stream in self.streams.items() if stream.closed]:
            await self._close_stream(stream_id)
        await self.send(Updated(idle=self.idle))

    def _is_void(self, request: RequestReceived, reset: set[int]) -> bool:
        """Tell whether a request gets no answer.

        The client has reset the stream, or goes on with requests after it was asked for no more.
        """
        return request.stream_id in reset or self.keep_alive_requests >= self._most_requests

    async def _begin(self, request: RequestReceived) -> None:
        await self.send(Updated(idle=False))  # first, because it lets others go on
        if self.closed:  # meanwhile, as idle
            self._log_refusal(request, SERVER_CLOSED)
        else:
            await self._create_stream(request)

    async def _give_notice(self) -> None:
        """Ask the client for no more requests; those under way are answered (RFC 9113 §6.8)."""
        state = self.connection.state_machine.state
        if self._is_ending or state is ConnectionState.CLOSED:
            return
        self._is_ending = True
        self.connection.close_connection(last_stream_id=2**31 - 1)
        self.connection.state_machine.state = state
        await self._flush()

    async def end(self) -> None:
        """Tell the client which requests were answered; it repeats others elsewhere."""
        if self.connection.state_machine.state is not ConnectionState.CLOSED:
            self.connection.close_connection()
            await self._flush()

    def _ignore(self, request: RequestReceived, status: int) -> None:
        """Count and log a request that gets no answer; the count bounds them."""
        self._log_refusal(request, status)
        self.keep_alive_requests += 1
        is_open = self.connection.state_machine.state is not ConnectionState.CLOSED
        if is_open and self.keep_alive_requests >= self._most_requests:
            self.connection.close_connection()

    async def _receive(self, event: DataReceived) -> None:
        stream, data = event.stream_id, event.data or b""
        await self.streams[stream].handle(Body(stream_id=stream, data=data))
        self._acknowledge(event.flow_controlled_length - len(data), stream)  # padding

    async def _taken(self, stream_id: int, length: int) -> None:
        """Let the client send more: the app has taken some of its content."""
        if stream_id in self._contents:
            self._acknowledge(length, stream_id)
            await self._flush()

    def _acknowledge(self, length: int, stream_id: int) -> None:
        with suppress(ProtocolError):  # the connection has ended
            self.connection.acknowledge_received_data(length, stream_id)

    # -- the access log --------------------------------------------------------------------

    async def stream_send(self, event: StreamEvent) -> None:
        await send_logged(self._requests, event, self._send)
        if isinstance(event, StreamClosed) and self._ends():
            if self.streams:
                await self._give_notice()
            else:
                await self.end()
                await self.send(Closed())

    async def _send(self, event: StreamEvent) -> None:
        """Send a part of a response.

        Where all content was sent, Hypercorn ends the stream later, when the connection may have ended.
        """
        stream_id = event.stream_id
        buffer = self.stream_buffers.get(stream_id)
        if isinstance(event, Response):
            self._send_head(event)
        elif isinstance(event, EndBody) and buffer is not None and not buffer.buffer:
            buffer.set_complete()
            await self._send_data(stream_id)
        else:
            is_unfinished = isinstance(event, StreamClosed) and stream_id in self.streams
            await super().stream_send(event)
            if is_unfinished and self._is_under_way(stream_id):
                with suppress(ProtocolError):
                    self.connection.reset_stream(stream_id, ErrorCodes.INTERNAL_ERROR)
                await self._send_data(stream_id)
        await self.has_data.set()  # for `send_task`

    def _is_under_way(self, stream_id: int) -> bool:
        buffer = self.stream_buffers.get(stream_id)
        return buffer is not None and not buffer.complete

    def _send_head(self, response: Response) -> None:
        """Send the head of a response, with the content if that is there at once."""
        fields = [(b":status", b"%d" % response.status_code), *response.headers]
        fields += self.config.response_headers("h2")
        with suppress(ProtocolError):  # the client has reset the stream, or the connection ended
            self.connection.send_headers(response.stream_id, fields)

    def _ends(self) -> bool:
        """Tell whether the connection ends when no stream is open."""
        had_last = self.keep_alive_requests >= self.config.keep_alive_max_requests
        return had_last or self._is_ending or retires(self.context)

    async def _close_stream(self, stream_id: int) -> None:
        if self._requests is not None:
            buffer = self.stream_buffers.get(stream_id)
            unsent = 0 if buffer is None else len(buffer.buffer)
            by_us = self.context.terminated.is_set()
            self._requests.end(stream_id, unsent=unsent, by_us=by_us)
        await super()._close_stream(stream_id)
        if (content := self._contents.pop(stream_id, None)) is not None:
            self._acknowledge(content.unread, stream_id)
            await self._flush()

    def _log_refusal(self, request: RequestReceived, status: int) -> None:
        if self._requests is not None:
            self._requests.refuse(_line(request), status)

    def end_log(self) -> None:
        """Log the requests that the end of the connection interrupts."""
        if self._requests is not None:
            self._requests.end_all()


def release(connection: H2Connection) -> None:
    """Break the reference cycles of a connection of h2 that is used no more.

    It refers to its own methods, and stores up to 0.2 MB about the streams that it had.
    """
    vars(connection).clear()


def _line(request: RequestReceived) -> bytes:
    """Format the pseudo-fields as a request line, as nginx does."""
    pseudo = dict(request.headers or ())
    return b"%b %b HTTP/2.0" % (pseudo.get(b":method", b"-"), pseudo.get(b":path", b"-"))
