"""Content that is too large for one write, sent at the client's pace.

The socket takes what it can at once (`SendfileCursor`). The rest follows on a duplicate of the
socket whenever the client has made room: the event loop calls `_go_on`. A task exists only while
the disk is waited for. Over TLS, which has no sendfile(2), and while the transport still has data of
its own to write, the content goes through the transport in chunks.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any, Protocol, cast

from asyncstatic.files.handle import Handle
from asyncstatic.files.source import Opened
from asyncstatic.http.model import ResponsePlan
from asyncstatic.serve.chunks import Chunks
from asyncstatic.serve.cut import TransferAborted, report_cut
from asyncstatic.serve.direct.deadline import Deadline
from asyncstatic.serve.direct.sendfile import SendfileCursor, Waits
from asyncstatic.serve.direct.writer import SocketWriter


class Client(Protocol):
    """The connection, as far as a transfer needs it."""

    transport: asyncio.Transport
    deadline: Deadline

    async def drained(self) -> None:
        """Wait until the transport takes more."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine, and keep it alive until it ends."""

    def transferred(self, error: Exception | None) -> None:
        """Go on after a transfer that took longer; with an error not all was sent."""


class Transfer:
    """Sends one response whose content is in a file, and closes the file.

    It fails with `ConnectionError` when the client has gone, and with `TransferAborted`, which has
    been reported, when the file changed or the disk failed: then what was sent must not end cleanly.

    Args:
        client: the connection.
        opened: the open file.
        head: goes first.
        plan: the content.
    """

    __slots__ = (
        "_client", "_cursor", "_head", "_opened", "_out", "_passed", "_plan", "_task", "_watched",
    )  # fmt: skip

    _out: socket.socket

    def __init__(self, client: Client, opened: Opened, head: bytes, plan: ResponsePlan) -> None:
        self._client = client
        self._opened = opened
        self._head = head
        self._plan = plan
        self._cursor: SendfileCursor | None = None
        self._passed = 0  # bytes of content, to the transport
        self._task: asyncio.Task[None] | None = None
        self._watched = False

    @property
    def _handle(self) -> Handle:
        return cast("Handle", self._opened.handle)

    @property
    def sent(self) -> int:
        """Bytes of content that have left, or wait in the transport."""
        if self._cursor is None:
            return self._passed
        return max((self._plan.length or 0) - self._cursor.unsent_bytes, 0)

    def cancel(self) -> None:
        """Send no more from now on; harmless after the end. The loop watches nothing then."""
        if self._task is not None:
            self._task.cancel()
        self._stop()

    def begin(self, writer: SocketWriter) -> bool:
        """Send what the socket takes at once; tell whether that was all. Else the client hears.

        Args:
            writer: the connection's, which nobody else uses meanwhile.
        """
        out = writer.socket()
        if out is None:
            self._task = self._client.spawn(self._begin_later(writer))
            return False
        try:
            waits = self._start_cursor(out).send(out)
        except BaseException as error:
            self._stop()
            if isinstance(error, ConnectionError) or not isinstance(error, Exception):
                raise
            raise TransferAborted(self._report(error)) from error
        if waits is Waits.NOTHING:
            self._stop()
            return True
        self._client.deadline.progress()
        self._wait_for(waits)
        return False

    async def _begin_later(self, writer: SocketWriter) -> None:
        """Send past the transport as soon as that has nothing to write, else through it."""
        self._client.deadline.progress()
        try:
            await asyncio.sleep(0)  # uvloop writes at the end of a loop iteration: let it
            out = writer.socket()
            if out is None:
                await self._go_through()
            else:
                self._start_cursor(out)
        except Exception as error:
            self._end(error)
            return
        except BaseException:
            self._stop()
            raise
        if out is None:
            self._end(None)
        else:
            self._go_on()

    # -- past the transport ----------------------------------------------------------------

    def _start_cursor(self, out: socket.socket) -> SendfileCursor:
        self._out = out
        cursor = SendfileCursor(self._handle, self._head, self._plan)
        cursor.look_ahead()
        self._cursor = cursor
        return cursor

    def _go_on(self) -> None:
        """Send what the client has made room for."""
        try:
            waits = cast("SendfileCursor", self._cursor).send(self._out)
        except Exception as error:
            self._end(error)
            return
        self._client.deadline.progress()
        if waits is Waits.NOTHING:
            self._end(None)
        else:
            self._wait_for(waits)

    def _wait_for(self, waits: Waits) -> None:
        self._watch(waits is Waits.CLIENT)
        if waits is Waits.DISK:
            self._client.deadline.hold()
            self._task = self._client.spawn(self._read())

    async def _read(self) -> None:
        """Have the next bytes read, which has a deadline of its own."""
        try:
            await cast("SendfileCursor", self._cursor).wait_for_disk()
        except Exception as error:
            self._end(error)
            return
        self._task = None
        self._client.deadline.progress()
        self._watch(True)

    def _watch(self, for_room: bool) -> None:
        """Have the loop call when there is room, or no more."""
        if for_room is self._watched:
            return
        self._watched = for_room
        loop = asyncio.get_running_loop()
        if for_room:
            loop.add_writer(self._out.fileno(), self._go_on)
        else:
            loop.remove_writer(self._out.fileno())

    def _stop(self) -> None:
        self._watch(False)
        self._opened.close()

    def _end(self, error: Exception | None) -> None:
        self._stop()
        if error is not None and not isinstance(error, ConnectionError):  # the client has gone
            error = TransferAborted(self._report(error))
        self._client.transferred(error)

    def _report(self, error: Exception) -> str:
        return report_cut(self._plan, self._opened, self.sent, error)

    # -- through it ------------------------------------------------------------------------

    async def _go_through(self) -> None:
        """Send all through the transport, in chunks."""
        self._client.transport.write(self._head)
        self._client.deadline.hold()  # while the disk is asked
        async with aclosing(aiter(Chunks(self._plan, self._handle))) as chunks:
            async for chunk, _ in chunks:
                self._client.transport.write(chunk)
                self._passed += len(chunk)
                await self._client.drained()
                self._client.deadline.hold()
        self._client.deadline.progress()
