"""The direct lane: one asyncio.Protocol for plain HTTP/1.1 GET and HEAD of static roots.

Theory of operation. A connection starts here. As long as its requests are what `head` accepts and
a mounted root answers them, they are answered here: small responses as one write, large ones
by `transfer`. At the first request that is anything else the connection is handed over, one
way, with the octets received so far, to the full server, which goes on on the same transport
as if it had been there from the beginning.

Requests on a connection are answered strictly in order. While one is being answered - it waits
for the disk, or its content waits for the client - later octets only gather, up to a bound.

A connection always has a `Deadline`, except while the disk is waited for, which has its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, cast

from asyncstatic.files.entry import Entry
from asyncstatic.files.source import Opened, logger
from asyncstatic.http.model import Absence, ResponsePlan
from asyncstatic.serve.direct.deadline import Deadline
from asyncstatic.serve.direct.delivery import Reply, deliver
from asyncstatic.serve.direct.head import may_become_ours
from asyncstatic.serve.direct.lane import Admitted, Lane
from asyncstatic.serve.direct.outlet import Outlet
from asyncstatic.serve.direct.refusal import BUSY
from asyncstatic.serve.direct.response import KnownResponse, head_of
from asyncstatic.serve.direct.transfer import Transfer
from asyncstatic.serve.portable import in_memory, is_of_file
from asyncstatic.serve.tcp import reset, waiting

_HEAD_END = b"\r\n\r\n"
_GATHERED = 64 * 1024  # octets of later requests, before the client has to wait


class DirectProtocol(asyncio.Protocol):
    """One connection of the direct lane.

    Args:
        lane: what it shares with the others.
        loop: that it runs on.
    """

    __slots__ = (
        "_answering",
        "_began",
        "_buffer",
        "_counted",
        "_eof",
        "_lane",
        "_loop",
        "_outlet",
        "_refused",
        "_requests",
        "_writable",
        "deadline",
        "spawn",
        "transport",
    )

    transport: asyncio.Transport
    _outlet: Outlet

    def __init__(self, lane: Lane, loop: asyncio.AbstractEventLoop) -> None:
        self._lane = lane
        self._loop = loop
        self._buffer = b""
        self._requests = 0
        self._counted = 0
        self._answering: asyncio.Task[None] | Transfer | None = None
        self._writable: asyncio.Future[None] | None = None
        self._eof = False
        self._refused = False
        self._began = 0.0
        self.spawn = lane.spawn
        self.deadline = Deadline(loop, lane.keep_alive_timeout, lane.send_timeout)

    # -- asyncio.Protocol ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many, or nothing here is for this lane."""
        self.transport = cast("asyncio.Transport", transport)
        self._outlet = Outlet(self.transport)
        lane = self._lane
        if lane.is_full():
            self._refuse(BUSY)
            return
        lane.enter(self)
        self.deadline.rest()
        tls = transport.get_extra_info("ssl_object")
        if not lane.direct or (
            tls is not None and tls.selected_alpn_protocol() not in (None, "http/1.1")
        ):
            self._hand_over()

    def data_received(self, data: bytes) -> None:
        """Answer all complete requests that are there; one that is known, at a glance."""
        if self._refused:
            return
        if not self._buffer and self._answering is None and self._writable is None:
            lane = self._lane
            octets = lane.answers.get(data)
            if octets is not None and self._requests + 1 < lane.keep_alive_requests:
                if isinstance(octets, bytes):  # as nearly all are: one call less
                    self.transport.write(octets)
                else:
                    self._outlet.write(octets)
                self._requests += 1
                return
            admitted = lane.remembered.get(data)
            if admitted is not None and not self.transport.is_closing():
                if not self._answer(admitted, data):
                    self._buffer = data
                    self._hand_over()
                return
        self._buffer = self._buffer + data if self._buffer else data
        if self._answering is None:
            self._proceed()
        elif len(self._buffer) > _GATHERED:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """Let a half-closed client have its answer; TLS has no half-closed state."""
        self._eof = True
        return self._answering is not None and self.transport.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop whatever is being answered."""
        self._buffer = b""
        self.resume_writing()
        answering, self._answering = self._answering, None  # which holds us, and handles
        if answering is not None:
            answering.cancel()
        self._unregister()

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
        self.deadline.progress()
        if self._writable is not None:
            await asyncio.shield(self._writable)
            self.deadline.progress()

    def expire(self, now: float) -> None:
        """Drop a connection without progress: slow heads, idle clients, stalled readers.

        What has been answered at once since the last look is noticed here, not at each request.
        """
        if self._refused and self.deadline.has_passed(now, self.transport, answers=False):
            self.transport.abort()
        if self._refused:
            return
        if self._requests != self._counted:
            self._counted = self._requests
            if self._answering is None:
                self.deadline.rest()
        answers = self._answering is not None or waiting(self.transport) > 0
        if not self.deadline.has_passed(now, self.transport, answers=answers):
            return
        if answers:
            reset(self.transport)
        elif self.transport.is_closing():  # but the client does not end TLS
            self.transport.abort()
        else:
            self.transport.close()

    def finish(self) -> None:
        """Close now when idle; what is being answered closes when it is done."""
        if self._answering is None and not self._refused:
            self._close_once()

    def _close_once(self) -> None:
        """Close, if that was not done: closed twice, asyncio's transport for TLS forgets all."""
        if not self.transport.is_closing():
            self.transport.close()

    def abort(self) -> None:
        """Close at once; content that is not finished ends visibly short."""
        self.transport.abort()

    def _proceed(self) -> None:
        """Answer what can be answered at once; stop at the first that must wait."""
        lane, buffer, start = self._lane, self._buffer, 0
        ours = True
        while start < len(buffer) and self._answering is None and not self.transport.is_closing():
            if self._writable is not None:
                self._start(self.drained())
                break
            if buffer.startswith(b"\r\n", start):  # an empty line before a request (RFC 9112 §2.2)
                start += 2
                continue
            end = buffer.find(_HEAD_END, start) + 4
            if end < 4:
                ours = may_become_ours(buffer[start:], lane.head_octets)
                break
            head = buffer[start:end]
            admitted = lane.remembered.get(head)
            if admitted is None and end - start <= lane.head_octets:
                admitted = lane.admit(head)
            ours = admitted is not None and self._answer(admitted, head)
            if not ours:
                break
            start = end
        self._buffer = buffer[start:]
        if not ours:
            self._hand_over()

    def _answer(self, admitted: Admitted, head: bytes) -> bool:
        """Answer a request, or begin to; False when the full server must have it."""
        if self._lane.observes:
            self._began = time.time()
        if admitted.entry is not None and self._repeat(admitted, admitted.entry, head):
            return True
        lookup = admitted.lookup
        if isinstance(lookup, ResponsePlan):
            return self._send_page(admitted, lookup)
        found = admitted.mount.static.source.open_nowait(lookup)
        if found is None:
            self._start(self._answer_later(admitted, head))
            return True
        if found is Absence.MISSING:
            admitted.find_entry()
            return self._send_page(admitted, admitted.mount.static.plan(admitted.request, found)[0])
        if isinstance(found, Opened) and self._keeps_alive(admitted):
            known: KnownResponse | None = found.memo.get(admitted.key)
            if known is not None:
                if found.handle is None:
                    admitted.find_entry()
                self._deliver(admitted, known, found, close=False, again=True)
                return True
        return self._send(admitted, *admitted.mount.static.plan(admitted.request, found))

    async def _answer_later(self, admitted: Admitted, head: bytes) -> None:
        """Answer after the disk has been waited for, in the pool."""
        self.deadline.hold()
        if not self._send(admitted, *await admitted.mount.static.find(admitted.request)):
            self._buffer = head + self._buffer
            self._hand_over()

    # -- responses -------------------------------------------------------------------------

    def _repeat(self, admitted: Admitted, entry: Entry, head: bytes) -> bool:
        """Answer as the last time, if memory still has what that was made of, and it is unchanged.

        Who sends the same octets in this turn of the loop is then answered at a glance.
        """
        known = admitted.recall()
        if known is None or not self._keeps_alive(admitted):
            return False
        lane = self._lane
        octets = lane.again(known, entry.turn, past=self._outlet.may_pass)
        if lane.lets_glance(entry.turn):
            lane.answers[head] = octets
        self._outlet.write(octets)
        self._answered(admitted, known.plan)
        return True

    def _send_page(self, admitted: Admitted, plan: ResponsePlan) -> bool:
        """Send what needs no representation; False when this lane does not send it."""
        if not admitted.mount.answers(plan):
            return False
        if admitted.page is None:
            admitted.page = self._lane.page(plan)
        self._deliver(admitted, admitted.page, None, close=not self._keeps_alive(admitted))
        return True

    def _send(self, admitted: Admitted, plan: ResponsePlan, opened: Opened | None) -> bool:
        """Send a response, or begin to; False when this lane does not send it."""
        if not admitted.mount.answers(plan):
            _close(opened)
            return False
        close = not self._keeps_alive(admitted)
        content = None if is_of_file(plan, opened) else in_memory(plan, opened)
        known = KnownResponse(head_of(plan), content, plan)
        if opened is not None and not close:
            self._lane.remember(admitted, opened, known)
        self._deliver(admitted, known, opened, close=close)
        return True

    def _deliver(
        self,
        admitted: Admitted,
        known: KnownResponse,
        opened: Opened | None,
        *,
        close: bool,
        again: bool = False,
    ) -> None:
        reply = Reply(known, opened, self._lane.ending(close=close), again)
        then = partial(self._ended, admitted, known.plan, close=close)
        try:
            transfer = deliver(self, self._outlet, self._lane.contents, reply, then)
        except Exception as error:
            self._give_up(error)
            return
        if transfer is None:
            then()
        else:
            self._answering = transfer

    def transferred(self, transfer: Transfer, error: Exception | None) -> None:
        """Go on after a transfer that took longer; with an error not all was sent."""
        if error is not None:
            self._give_up(error)
            return
        transfer.then()
        self._go_on()

    def _ended(self, admitted: Admitted, plan: ResponsePlan, *, close: bool) -> None:
        self._answered(admitted, plan)
        if close:
            self._close_once()

    def _keeps_alive(self, admitted: Admitted) -> bool:
        return admitted.head.keep_alive and self._requests + 1 < self._lane.keep_alive_requests

    def _answered(self, admitted: Admitted, plan: ResponsePlan) -> None:
        self._requests += 1
        if self._lane.observes:
            self._lane.observed(admitted, plan, self.transport, time.time() - self._began)

    # -- what takes longer, and what is not ours -------------------------------------------

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._answering = self.spawn(self._run(work))

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work of one answer, then go on."""
        answering = self._answering
        try:
            await work
        except Exception as error:
            self._give_up(error)
            return
        if self._answering is answering:  # else what is left of the answer goes on without us
            self._go_on()

    def _go_on(self) -> None:
        """Go on after an answer that took longer, with what gathered meanwhile."""
        self._answering = None
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        self.deadline.rest()
        self.transport.resume_reading()
        if not self._lane.closing:
            self._proceed()
        if (self._eof or self._lane.closing) and self._answering is None:
            self._close_once()

    def _give_up(self, error: Exception) -> None:
        """End in the midst of an answer, so that the client can see it is not whole."""
        logger.info("transfer aborted: %r", error)
        self.transport.abort()

    def _hand_over(self) -> None:
        """Give connection and octets to the full server, for good - or refuse them ourselves."""
        octets, self._buffer = self._buffer, b""
        refusal = self._lane.refusal_of(octets)
        if refusal is None:
            self._unregister()
            self._lane.server.take_over(self.transport, octets, eof=self._eof)
        else:
            self._refuse(refusal)

    def _refuse(self, answer: bytes) -> None:
        """Answer, drop what comes, and close soon: at once would be a reset (RFC 9112 §9.6)."""
        self._refused = True
        self._unregister()
        self._lane.linger(self)
        self.deadline.linger()
        self.transport.write(answer)
        with suppress(OSError, NotImplementedError):  # reset already; TLS cannot
            self._close_once() if self._eof else self.transport.write_eof()

    def _unregister(self) -> None:
        """Remove the connection, which ended, is handed over or refused, from all registries."""
        self._lane.leave(self)
        self._outlet.close()


def _close(opened: Opened | None) -> None:
    if opened is not None:
        opened.close()
