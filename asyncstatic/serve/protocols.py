"""Hypercorn's HTTP/1.1, with a few corrections, and what they share with those of `http2`.

Hypercorn upper-cases every method, so that an app takes `get` for GET; but methods are
case-sensitive (RFC 9110 §9.1). The corrections of h11, which Hypercorn reads HTTP/1 with, are in
`h11_connection`.

An idle connection has a deadline. Hypercorn forgets it after a request that it refuses itself, and after the
preface of HTTP/2. A connection whose app has not read the content of a request would never end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

import h11
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.events import Closed, Updated
from hypercorn.events import Event as ConnectionEvent
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h11 import STREAM_ID, H2ProtocolAssumedError, H11Protocol
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.typing import AppWrapper, H11SendableEvent, Scope

from asyncstatic.serve.access_log import first_line
from asyncstatic.serve.h11_connection import CorrectedConnection
from asyncstatic.serve.http2_content import Content
from asyncstatic.serve.hypercorn_log import Requests, requests_of
from asyncstatic.serve.portable import connection_lost


class Context(WorkerContext):
    """The state of a worker.

    Attributes:
        retires: whether another process accepts the connections already. Clients are asked to make
            new ones, and until they do, this worker answers.
    """

    retires = False


class AsSent(NamedTuple):
    """The parts of a request that Hypercorn changes.

    Attributes:
        method: as the client spells it.
        content: in place of Hypercorn's queue; None leaves that.
    """

    method: str
    content: Content | None = None


# Hypercorn starts the app's task where it creates the stream, and a task copies its context.
as_sent: ContextVar[AsSent] = ContextVar("as_sent")


def with_request_as_sent(app: AppWrapper) -> AppWrapper:
    """Wrap an app, in the form that Hypercorn calls, so that it gets method and content as they are."""

    async def wrapped(
        scope: Scope, receive: Any, send: Any, sync_spawn: Any, call_soon: Any
    ) -> None:
        if scope["type"] == "http":
            scope["method"], content = as_sent.get()
            receive = receive if content is None else content.receive
        await app(scope, receive, send, sync_spawn, call_soon)

    return wrapped


class Http1(H11Protocol):
    """Hypercorn's HTTP/1.1, corrected and logged."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._requests = requests_of(self.config, self.client, self.ssl)
        self._lost = connection_lost.get()  # an app may send in a task with another context
        self.connection = CorrectedConnection(
            h11.SERVER, max_incomplete_event_size=self.config.h11_max_incomplete_size
        )

    async def _create_stream(self, request: h11.Request) -> None:
        as_sent.set(AsSent(request.method.decode("ascii")))
        if self._requests is not None:
            line = b"%b %b HTTP/%b" % (request.method, request.target, request.http_version)
            headers = list(request.headers)
            upgrades = (b"upgrade", b"websocket") in [(name, v.lower()) for name, v in headers]
            self._requests.begin(STREAM_ID, line, headers, is_websocket=upgrades)
        await super()._create_stream(request)
        if isinstance(self.stream, HTTPStream):
            self.stream.app_put = _putting_last(self.stream.app_put)

    async def _check_protocol(self, event: h11.Request) -> None:
        try:
            await super()._check_protocol(event)
        except H2ProtocolAssumedError:
            await self.send(Updated(idle=True))  # the preface of HTTP/2 is no request
            raise

    async def handle(self, event: ConnectionEvent) -> None:
        if isinstance(event, Closed):
            self.log_incomplete_head(400)
            if self._requests is not None and self._lost.is_set():
                self._requests.end(STREAM_ID, by_us=self.context.terminated.is_set())
        await super().handle(event)
        if self.stream is not None and self.stream.closed:  # Hypercorn has refused the request
            await self._maybe_recycle()

    async def _send_h11_event(self, event: H11SendableEvent) -> None:
        """Send; of an interrupted request only what comes before the end of its content.

        A middleware may end content that the app behind has left unfinished, because its client
        has gone. To h11 that is an error.
        """
        has_gone = self.stream is None and self._lost.is_set()
        if not (has_gone and isinstance(event, h11.EndOfMessage)):
            await super()._send_h11_event(event)

    # -- the access log --------------------------------------------------------------------

    async def stream_send(self, event: StreamEvent) -> None:
        if retires(self.context):
            self.keep_alive_requests = self.config.keep_alive_max_requests  # the response says so
        await send_logged(self._requests, event, super().stream_send)

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

    def log_incomplete_head(self, status: int) -> None:
        """Log a head that will not become complete, if some of it was received."""
        if self._requests is not None and self.connection.their_state is h11.IDLE:
            data = _unread(self.connection)
            if data is not None and data.strip(b"\r\n"):
                self._requests.refuse(first_line(data), status)

    def end_log(self) -> None:
        """Log the request that the end of the connection interrupts."""
        if self._requests is not None:  # Hypercorn drops the stream when the client ends its side
            self._requests.end(STREAM_ID, by_us=self.stream is not None)


def _putting_last(put: Any) -> Any:
    """Let the end of a stream discard what its app has not read: nobody makes room in the queue."""
    queue = put.__self__

    async def put_message(message: Any) -> None:
        if message["type"] == "http.disconnect":
            while not queue.empty():
                queue.get_nowait()
        await put(message)

    return put_message


def _unread(connection: object) -> bytes | None:
    return connection.take_unread() if isinstance(connection, CorrectedConnection) else None


async def send_logged(
    requests: Requests | None, event: StreamEvent, send: Callable[[StreamEvent], Awaitable[None]]
) -> None:
    """Send a part of a response, and log the response after its last part."""
    if requests is None:
        await send(event)
        return
    requests.sends(event)
    await send(event)
    requests.sent(event)


def retires(context: object) -> bool:
    """Tell whether another process accepts the connections already."""
    return isinstance(context, Context) and context.retires
