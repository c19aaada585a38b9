"""One connection of the direct entry: plain HTTP/1.1 GET and HEAD of static roots.

As long as its requests are such as `head` accepts and a mounted root answers them, they are
answered here: small responses by one write, large ones by a `Transfer`. At any other request the
connection is handed over for good, with the bytes received so far: the full server goes on on the
same transport as if it had been there from the beginning.

Requests are answered strictly in order. While one is being answered - it waits for the disk, or its
content waits for the client - later bytes are only gathered, up to a bound.

A connection ends by `_leave`: lost, handed over or refused. Until then it has a `Deadline`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, cast

from asyncstatic.files.memfd import LEAST
from asyncstatic.files.source import Opened, logger
from asyncstatic.http.proxy_protocol import ProxyHeader
from asyncstatic.serve.answer import Answer, Pending
from asyncstatic.serve.cut import TransferAborted
from asyncstatic.serve.direct.admission import Admission, Admitted, PreparedAnswer
from asyncstatic.serve.direct.deadline import Deadline
from asyncstatic.serve.direct.entry import BUSY, DirectEntry
from asyncstatic.serve.direct.head import match_head, may_become_head, without_empty_lines
from asyncstatic.serve.direct.observation import Observation
from asyncstatic.serve.direct.response import head_of
from asyncstatic.serve.direct.transfer import Transfer
from asyncstatic.serve.direct.writer import SocketWriter
from asyncstatic.serve.portable import ONE_MESSAGE, in_memory
from asyncstatic.serve.tcp import has_received, reset, waiting

_GATHERED = 64 * 1024  # bytes of later requests, before the client has to wait
_READ_BYTES = 64 * 1024  # asyncio reserves so many for each read; its own 256 KiB cost an mmap(2)
_CLOSE = b"connection: close\r\n"


class DirectProtocol(asyncio.Protocol):
    """One connection of the direct entry.

    Args:
        entry: what it shares with the others.
        proxied: the PROXY header that names the client, if there is one; `Peer.of` reads it.
    """

    __slots__ = (
        "_admission", "_answering", "_buffer", "_closes", "_counted", "_entry", "_eof", "_lingers",
        "_observation", "_requests", "_writable", "_writer", "deadline", "proxied", "transport",
    )  # fmt: skip

    transport: asyncio.Transport
    _admission: Admission  # until the connection is handed over
    _writer: SocketWriter

    def __init__(self, entry: DirectEntry, proxied: ProxyHeader | None = None) -> None:
        self.proxied = proxied
        self._entry = entry
        self._buffer = b""
        self._requests = 0
        self._counted = 0
        self._answering: asyncio.Task[None] | Transfer | None = None
        self._writable: asyncio.Future[None] | None = None
        self._eof = False
        self._closes = False  # whether the response under way is the last one
        self._lingers = False  # whether our side has ended, and what comes is dropped
        self._observation: Observation | None = None  # where nobody logs or counts
        loop = asyncio.get_running_loop()
        self.deadline = Deadline(loop, entry.terms.keep_alive_timeout, entry.send_timeout)

    # -- asyncio.Protocol ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many connections, or no request is answered here."""
        self._begin(transport)
        if self._entry.is_full():
            self._refuse(503, BUSY)
            return
        self._entry.registry.enter(self)
        self.deadline.rest()
        admission, tls = self._entry.admission, transport.get_extra_info("ssl_object")
        is_http_1 = tls is None or tls.selected_alpn_protocol() in (None, "http/1.1")
        if admission is None or not is_http_1:
            self._hand_over()
        else:
            self._admission = admission

    def _begin(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._writer = SocketWriter(self.transport)
        if hasattr(transport, "max_size"):
            transport.max_size = _READ_BYTES
        if self._entry.observes:
            self._observation = Observation(self._entry.server, self.transport)

    def data_received(self, data: bytes) -> None:
        """Answer all complete requests that are there."""
        if self._lingers:
            return
        if self._buffer:
            data = self._buffer + data
        if self._answering is None:
            self._proceed(data)
            return
        self._buffer = data
        if len(data) > _GATHERED:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """Let a half-closed client have its answer; TLS has no half-closed state."""
        self._eof = True
        return self._answering is not None and self.transport.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self._report_end(by_us=False)
        self.resume_writing()
        answering, self._answering = self._answering, None  # which holds us, and open files
        if answering is not None:
            answering.cancel()
        self._leave()

    def pause_writing(self) -> None:
        """Answer no further request: the client reads more slowly than we write."""
        if self._writable is None:
            self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._entry.registry.spawn(work)

    async def drained(self) -> None:
        """Wait until the transport takes more; each call is progress."""
        self.deadline.progress()
        if self._writable is not None:
            await asyncio.shield(self._writable)
            self.deadline.progress()

    def expire(self, now: float) -> None:
        """Drop a connection without progress: slow heads, idle clients, stalled readers.

        Requests answered since the last sweep are noticed here: no request reads the clock.
        """
        if self._lingers and not (self._closes and self.transport.is_closing()):
            if self.deadline.has_passed(now, self.transport, answers=False):
                if self._closes:
                    self.deadline.progress()  # for what the client has still to take
                    self.transport.close()
                else:  # refused
                    self.transport.abort()
            return
        if self._requests != self._counted:
            self._counted = self._requests
            if self._answering is None:
                self.deadline.rest(head_begun=bool(self._buffer))
        answers = self._answering is not None or waiting(self.transport) > 0
        if not self.deadline.has_passed(now, self.transport, answers=answers):
            return
        self._report_end(by_us=True)
        if answers:
            reset(self.transport)
        elif self.transport.is_closing():  # but the client does not end TLS
            self.transport.abort()
        else:
            self.transport.close()

    def finish(self) -> None:
        """Close now when idle; else after the last answer, also to a request that has arrived."""
        if self._answering is None and not has_received(self.transport):
            self._close()

    def abort(self) -> None:
        """Close at once; content that is not finished ends visibly short."""
        self._report_end(by_us=True)
        self.transport.abort()

    def _report_end(self, *, by_us: bool) -> None:
        """Report the request that the end of the connection cuts short, if there is one."""
        if self._observation is not None:
            self._observation.end(self._answering, self._buffer, by_us=by_us)
            self._buffer = b""

    def _close(self) -> None:
        """Close once: closed twice, asyncio's transport for TLS forgets its connection."""
        if not self.transport.is_closing():
            self.transport.close()

    def _leave(self) -> None:
        """Leave all registries: the one way out of a connection.

        The connection ended, is handed over, or is refused.
        """
        self._buffer = b""
        self._entry.registry.leave(self)
        self._writer.close()

    def _hand_over(self) -> None:
        """Give connection and bytes to the full server, for good - or refuse them."""
        data = self._buffer
        if (refusal := self._entry.refusal_of(data)) is not None:
            self._refuse(414, refusal)
            return
        self._observation = None  # the full server reports the request
        self._leave()
        self._entry.server.take_over(self.transport, data, eof=self._eof)

    def _refuse(self, status: int, answer: bytes) -> None:
        """Answer, and close after the client had a moment to read the answer."""
        if self._observation is not None:
            self._observation.refuse(self._buffer, status)
        self._leave()
        self._entry.registry.linger(self)
        self.transport.write(answer)
        self._linger()

    def _linger(self) -> None:
        """End our side; read and drop what comes until the client ends, or a moment is over.

        Closing while requests are still unread would reset the connection, and the answers with
        it that the client has not received (RFC 9112 §9.6).
        """
        self._lingers = True
        self._buffer = b""
        self._counted = self._requests
        self.deadline.linger()
        if self._eof:
            self._close()
            return
        self.transport.resume_reading()
        with suppress(OSError, NotImplementedError):  # the client reset it; TLS has no half close
            self.transport.write_eof()

    # -- requests --------------------------------------------------------------------------

    def _proceed(self, data: bytes) -> None:
        """Answer the requests in `data` that can be answered at once; keep the rest."""
        start, size = 0, len(data)
        while start < size and self._answering is None and not self.transport.is_closing():
            if self._writable is not None:
                self._answering = self.spawn(self._run(self.drained()))
                break
            head = match_head(data, start)
            limit = self._entry.terms.head_bytes
            if head is None or head.end() - start > limit:
                begun, self._buffer = self._buffer, without_empty_lines(data[start:])
                self.deadline.begin_head(first=bool(self._buffer) and not begun)
                if not may_become_head(self._buffer, limit):
                    self._hand_over()
                return
            if not self._answer(head):
                self._buffer = data[start:]
                self._hand_over()
                return
            start = size if self._lingers else head.end()
        self._buffer = data[start:]

    def _answer(self, head: re.Match[bytes]) -> bool:
        """Answer a request, or begin to; False when the full server must have it."""
        if self._observation is not None:
            self._observation.begin(head)
        key = self._admission.key(head)
        prepared = self._admission.prepared(key)
        if prepared is not None and self._requests + 1 < self._entry.keep_alive_requests:
            self._send_prepared(prepared)
            return True
        admitted = self._admission.admit(head, key)
        if admitted is None:
            return False
        answer = admitted.mount.static.begin(admitted.request)
        if isinstance(answer, Pending):
            work = self._answer_later(head[0], admitted, answer)
            self._answering = self.spawn(self._run(work))
            return True
        return self._send(admitted, answer)

    async def _answer_later(self, head: bytes, admitted: Admitted, pending: Pending) -> None:
        """Answer after the disk has been waited for, in the pool."""
        self.deadline.hold()
        if not self._send(admitted, await admitted.mount.static.finish(pending)):
            self._buffer = head + self._buffer
            self._hand_over()

    def _send_prepared(self, answer: PreparedAnswer) -> None:
        content = answer.content
        if content is None:
            found: Opened = answer.source.value
            content = found.content
        if content is None or len(content) >= LEAST:
            self._send_large(answer)
            return
        self.transport.write(answer.head + self._entry.head_end() + content)
        self._requests += 1
        if self._observation is not None:
            self._observation.answer(answer.plan, prepared=True)
            self._observation.finish()

    def _send_large(self, answer: PreparedAnswer) -> None:
        """Send content by sendfile(2) from memory, or as any other response."""
        file = None
        if self._writer.has_sendfile and (answer.plan.length or 0) <= ONE_MESSAGE:
            file = self._admission.memory_file(answer)
        if self._observation is not None:
            self._observation.answer(answer.plan, prepared=True)
        if file is None:
            found: Opened = answer.source.value
            self._send_file(answer.head, Answer(answer.plan, found.shared()), close=False)
            return
        self._closes = False
        self._writer.send(answer.head + self._entry.head_end(), file)
        self._answered()

    def _send(self, admitted: Admitted, answer: Answer) -> bool:
        """Send a response, or begin to; False when the direct entry does not send it."""
        if not self._entry.answers(admitted.mount, answer):
            answer.close()
            return False
        close = not admitted.keep_alive or self._requests + 1 >= self._entry.keep_alive_requests
        fields = head_of(answer.plan)
        if not close:
            self._admission.prepare(admitted, answer, fields)
        self._send_file(fields, answer, close=close)
        return True

    def _send_file(self, fields: bytes, answer: Answer, *, close: bool) -> None:
        """Send a response by one write, or by a transfer that takes longer."""
        plan, opened, _ = answer
        if self._observation is not None:
            self._observation.answer(plan)
        self._closes = close
        head = fields + (_CLOSE if close else b"") + self._entry.head_end()
        waiter = self._answering
        try:
            content = in_memory(plan, opened)
            if content is not None or opened is None:
                self.transport.write(head + (content or b""))
                answer.close()
                self._answered()
                return
            self._answering = transfer = Transfer(self, opened, head, plan)
            if transfer.begin(self._writer):
                self._answering = waiter
                self._answered()
        except Exception as error:
            answer.close()
            self._give_up(error)

    def transferred(self, error: Exception | None) -> None:
        if error is not None:
            self._give_up(error)
            return
        self._answered()
        self._go_on()

    def _answered(self) -> None:
        self._requests += 1
        if self._observation is not None:
            self._observation.finish()
        if self._closes:
            unasked = self._requests >= self._entry.keep_alive_requests  # more requests may come
            lingers = unasked or has_received(self.transport)
            end = self._linger if lingers and self.transport.can_write_eof() else self._close
            end()

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work of one answer, then go on."""
        answering = self._answering
        try:
            await work
        except Exception as error:
            self._give_up(error)
            return
        if self._answering is answering:  # else a transfer goes on without us
            self._go_on()

    def _go_on(self) -> None:
        """Go on after an answer that took longer, with the bytes gathered meanwhile."""
        transport, self._answering = self.transport, None
        if self._lingers or transport.is_closing() or transport.get_protocol() is not self:
            return
        self.deadline.rest()
        transport.resume_reading()
        closing = self._entry.registry.closing
        if not closing:
            self._proceed(self._buffer)
        if (self._eof or closing) and self._answering is None and transport.get_protocol() is self:
            self._close()

    def _give_up(self, error: Exception) -> None:
        """End in the midst of an answer, so that the client can see it is not whole."""
        if not isinstance(error, (ConnectionError, TransferAborted)):  # which were reported
            logger.warning("an answer was cut: %r", error)
        self.abort()
