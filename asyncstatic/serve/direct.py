"""The direct lane: one asyncio.Protocol for plain HTTP/1.1 GET and HEAD of static roots.

Theory of operation. A connection starts here. As long as its requests are what `head` accepts and
a mounted root answers them, they are answered here: small responses as one write, large ones
by `transfer`. At the first request that is anything else the connection is handed over, one
way, with the octets received so far, to the full server, which goes on on the same transport
as if it had been there from the beginning.

Requests on a connection are answered strictly in order. While one is being answered - it waits
for the disk, or its content waits for the client - later octets only gather, up to a bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

from asyncstatic.files.source import Opened, logger
from asyncstatic.http.model import ResponsePlan
from asyncstatic.serve.lane import Admitted, Lane
from asyncstatic.serve.portable import in_memory
from asyncstatic.serve.transfer import Transfer, send_copy

_HEAD_END = b"\r\n\r\n"
_METHODS = (b"GET /", b"HEAD /")
_GATHERED = 64 * 1024  # octets of later requests, before the client has to wait
_NO_DEADLINE = float("inf")
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\n"
    b"cache-control: no-store\r\nconnection: close\r\n\r\n"
)


class DirectProtocol(asyncio.Protocol):
    """One connection of the direct lane."""

    __slots__ = (
        "_answering",
        "_buffer",
        "_deadline",
        "_eof",
        "_lane",
        "_loop",
        "_requests",
        "_socket",
        "_unsent",
        "_writable",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, lane: Lane, loop: asyncio.AbstractEventLoop) -> None:
        self._lane = lane
        self._loop = loop
        self._buffer = b""
        self._requests = 0
        self._answering: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._eof = False
        self._deadline = _NO_DEADLINE
        self._unsent = 0
        self._socket: int | None = None

    # -- asyncio.Protocol ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless the lane is full or TLS negotiated another protocol."""
        self.transport = cast("asyncio.Transport", transport)
        lane = self._lane
        if lane.is_full():
            self.transport.write(_BUSY)
            self.transport.close()
            return
        lane.connections.add(self)
        self._rest()
        tls = transport.get_extra_info("ssl_object")
        if tls is None:
            self._socket = transport.get_extra_info("socket").fileno()
        elif tls.selected_alpn_protocol() not in (None, "http/1.1"):
            self._hand_over(b"")

    def data_received(self, data: bytes) -> None:
        """Answer all complete requests that are there."""
        self._buffer = self._buffer + data if self._buffer else data
        if self._answering is None:
            self._proceed()
        elif len(self._buffer) > _GATHERED:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """Let a half-closed client have its answer."""
        self._eof = True
        if self._answering is None and self._buffer:
            self._hand_over(b"")
            return True
        return self._answering is not None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop whatever is being answered."""
        self._lane.connections.discard(self)
        self._buffer = b""
        self.resume_writing()
        if self._answering is not None:
            self._answering.cancel()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write: answer no further request."""
        if self._writable is None:
            self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """The client has caught up."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    async def drained(self) -> None:
        """Wait until the transport takes more; each call is progress."""
        self.progress()
        if self._writable is not None:
            await asyncio.shield(self._writable)
            self.progress()

    # -- deadlines -------------------------------------------------------------------------

    def progress(self) -> None:
        """Content has moved: give the client another while."""
        self._deadline = self._loop.time() + self._lane.send_timeout

    def expire(self, now: float) -> None:
        """Drop a connection without progress: slow heads, idle clients, stalled readers."""
        if now < self._deadline:
            return
        unsent = self.transport.get_write_buffer_size()
        if self._answering is None and not unsent:
            self.transport.close()
        elif unsent and unsent != self._unsent:
            self._unsent = unsent
            self.progress()
        else:
            self.transport.abort()

    def finish(self) -> None:
        """Close now when idle; what is being answered closes when it is done."""
        if self._answering is None:
            self.transport.close()

    def abort(self) -> None:
        """Close at once; content that is not finished ends visibly short."""
        self.transport.abort()

    def _rest(self) -> None:
        """Wait for the next request, but not for ever."""
        self._deadline = self._loop.time() + self._lane.config.keep_alive_timeout

    # -- requests --------------------------------------------------------------------------

    def _proceed(self) -> None:
        """Answer what can be answered at once; stop at the first that must wait."""
        lane = self._lane
        while self._buffer and self._answering is None and not self.transport.is_closing():
            if self._writable is not None:
                self._start(self.drained())
                return
            buffer = self._buffer
            end = buffer.find(_HEAD_END) + 4
            if end < 4:
                if self._is_doubtful(buffer):
                    self._hand_over(b"")
                return
            if end == len(buffer):
                head, self._buffer = buffer, b""
            else:
                head, self._buffer = buffer[:end], buffer[end:]
            admitted = lane.admit(head) if end <= lane.config.h11_max_incomplete_size else None
            if admitted is None or not self._answer(admitted, head):
                self._hand_over(head)
                return

    def _is_doubtful(self, octets: bytes) -> bool:
        """Tell whether an incomplete head is already one that is not for this lane."""
        if len(octets) > self._lane.config.h11_max_incomplete_size:
            return True
        if octets.count(b"\n") != octets.count(b"\r\n"):
            return True
        return not any(
            octets.startswith(start) or start.startswith(octets[:6]) for start in _METHODS
        )

    def _answer(self, admitted: Admitted, head: bytes) -> bool:
        """Answer a request, or begin to; False when the full server must have it."""
        static, lookup = admitted.mount.static, admitted.lookup
        if isinstance(lookup, ResponsePlan):
            return self._is_ours(admitted, lookup) and self._write_small(admitted, lookup, None)
        found = static.source.open_nowait(lookup)
        if found is None:
            self._start(self._answer_later(admitted, head))
            return True
        if isinstance(found, Opened) and found.memo and self._keeps_alive(admitted):
            known = self._lane.known_response(admitted, found)
            if known is not None:
                self._write(known.head, known.content, found)
                self._answered(admitted, known.plan)
                return True
        plan, opened = static.plan(admitted.request, found)
        if not self._is_ours(admitted, plan):
            _close(opened)
            return False
        if not self._write_small(admitted, plan, opened):
            self._start(self._send_large(admitted, plan, cast("Opened", opened)))
        return True

    async def _answer_later(self, admitted: Admitted, head: bytes) -> None:
        """Answer after the disk has been waited for, in the pool."""
        self._deadline = _NO_DEADLINE  # the pool has its own
        plan, opened = await admitted.mount.static.find(admitted.request)
        if not self._is_ours(admitted, plan):
            _close(opened)
            self._hand_over(head)
        elif not self._write_small(admitted, plan, opened):
            await self._send_large(admitted, plan, cast("Opened", opened))

    def _is_ours(self, admitted: Admitted, plan: ResponsePlan) -> bool:
        """Tell whether this lane sends a plan: not what an app may have, or of unknown length."""
        return plan.length is not None and not (plan.status == 404 and admitted.mount.passes_on())

    def _write_small(self, admitted: Admitted, plan: ResponsePlan, opened: Opened | None) -> bool:
        """Send a response whose octets are in memory; False when they are not."""
        content = in_memory(plan, opened)
        if content is None:
            return False
        close = not self._keeps_alive(admitted)
        head = self._lane.head_of(plan, close=close)
        self._write(head, content, opened)
        if opened is not None:
            opened.close()
            if not close:
                self._lane.remember(admitted, opened, plan, head, content)
        self._answered(admitted, plan)
        if close:
            self.transport.close()
        return True

    def _write(self, head: bytes, content: bytes, opened: Opened | None) -> None:
        """Write a response whose octets are in memory, without copying where that pays."""
        if (
            opened is None
            or opened.copy is None
            or content is not opened.content
            or self._socket is None
            or self.transport.get_write_buffer_size()
        ):
            self.transport.write(head + content)
            return
        sent = send_copy(self._socket, head, opened.copy)
        if sent < len(head) + len(content):
            self.transport.write((head + content)[sent:])

    async def _send_large(self, admitted: Admitted, plan: ResponsePlan, opened: Opened) -> None:
        """Send a response from its file, at the client's pace."""
        close = not self._keeps_alive(admitted)
        handle = opened.handle
        assert handle is not None, "what is not in memory has a handle"  # noqa: S101 - invariant
        try:
            await Transfer(self, handle).send(self._lane.head_of(plan, close=close), plan)
        finally:
            handle.close()
        self._answered(admitted, plan)
        if close:
            self.transport.close()

    def _keeps_alive(self, admitted: Admitted) -> bool:
        most = self._lane.config.keep_alive_max_requests
        return admitted.keep_alive and self._requests + 1 < most and not self._lane.closing

    def _answered(self, admitted: Admitted, plan: ResponsePlan) -> None:
        self._requests += 1
        self._rest()
        self._lane.answered(admitted, plan, self.transport)

    # -- what takes longer, and what is not ours -------------------------------------------

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._answering = self._lane.spawn(self._run(work))

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work of one answer, then go on with what gathered meanwhile."""
        try:
            await work
        except Exception as error:
            logger.info("transfer aborted: %r", error)
            self.transport.abort()
            return
        self._answering = None
        if self.transport.is_closing() or self not in self._lane.connections:
            return
        self._rest()
        self.transport.resume_reading()
        self._proceed()
        if self._eof and self._answering is None:
            self.transport.close()

    def _hand_over(self, head: bytes) -> None:
        """Give connection and octets to the full server, for good."""
        octets, self._buffer = head + self._buffer, b""
        self._lane.connections.discard(self)
        self._lane.hand_over(self.transport, octets, self._eof)


def _close(opened: Opened | None) -> None:
    if opened is not None:
        opened.close()
