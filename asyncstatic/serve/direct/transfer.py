"""Large content of the direct lane: from the page cache to the socket, at the client's pace.

Up to 1 MiB is copied, and leaves with its head in one call: that costs half of what sendfile(2) does.
Of what is longer the head leaves by itself: it wakes the client, which then takes and acknowledges the
content on its own core while it is sent. (With MSG_MORE a server pays for that: a third more for 10
MiB.) The file follows by sendfile(2), without a copy. What is left goes on, on a duplicate of the
socket, whenever the client has made room: the loop calls `_go_on`, with no task between. Over TLS,
where there is no sendfile(2), or while the transport still has octets of its own to write, pieces go
through the transport.

After sendfile(2) the socket holds references to the file's pages: who rewrites the file in place
rewrites what the client has not taken yet, on the same machine even what it has received. So the last
TAIL octets of a range are copied, more than a client that does not read receives; and the very last
leave only when nothing waits to be sent, if the file is still what it was. Else the transfer ends visibly
short.

A window of the file is in the page cache before sendfile(2) is called, so the loop does not wait for
the disk.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from enum import Enum, auto
from typing import Protocol, cast

from asyncstatic.files import kernel
from asyncstatic.files.handle import Handle
from asyncstatic.http.model import ByteRange, ResponsePlan
from asyncstatic.serve.direct.outlet import be_writable_when

WINDOW = 4 * 1024 * 1024
# What one connection sends before it is another's turn. As soon as there is room: a socket that is
# kept full is emptied on the client's processor, and 10 us of delay make 10 MiB a fifth dearer.
TURN = 2 * 1024 * 1024
WHOLE = kernel.SCRATCH  # a range up to which it is copied
TAIL = 256 * 1024  # of a longer one, copied
LAST = 4096  # of these, held back until all others have left
PIECE = 256 * 1024


class ContentChangedError(Exception):
    """The file is no longer what the head promised."""


class Client(Protocol):
    """The connection, as far as a transfer needs it."""

    transport: asyncio.Transport

    def progress(self) -> None:
        """Note that octets moved: the client has another while."""

    def hold(self) -> None:
        """Note that it is not the client that is waited for."""

    async def drained(self) -> None:
        """Wait until the transport takes more."""


class _Waits(Enum):
    """What a transfer waits for."""

    NOTHING = auto()
    CLIENT = auto()
    DISK = auto()


class Transfer:
    """Sends one response whose content is in a file.

    Args:
        client: where to.
        handle: where from; not closed here.
        head: goes first.
        plan: the content.
    """

    def __init__(self, client: Client, handle: Handle, head: bytes, plan: ResponsePlan) -> None:
        self._client = client
        self._handle = handle
        # Of a length that is not known (`Decoded`) nothing comes here.
        self._parts = deque(cast("tuple[bytes | ByteRange, ...]", (head, *plan.content)))
        self._warm_until = 0
        self._refers = False  # the socket, to pages of the present range
        self._draining = False
        self._waits: _Waits | None = None

    def begin(self, out: socket.socket) -> bool:
        """Send what the socket takes at once; tell whether that was all.

        Raises:
            ContentChangedError, OSError: as `finish`.
        """
        self._look_ahead()
        self._waits = self._advance(out)
        return self._waits is _Waits.NOTHING

    async def finish(self, out: socket.socket | None) -> None:
        """Send what is left, at the client's pace.

        Args:
            out: the connection's duplicate; None to go through the transport.

        Raises:
            ContentChangedError: the file changed; what was sent must not end cleanly.
            OSError: disk or connection failed.
            PoolBusyError: the disk did not answer in time.
        """
        if out is None:
            await self._by_transport()
            return
        waits = self._waits or self._advance(out)
        while waits is not _Waits.NOTHING:
            if waits is _Waits.DISK:
                await self._wait_for_disk()
                waits = self._advance(out)
            else:
                waits = await self._paced(out)

    # -- past the transport ----------------------------------------------------------------

    async def _paced(self, out: socket.socket) -> _Waits:
        """Send whenever the client has made room, until something else is waited for."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[_Waits] = loop.create_future()
        loop.add_writer(out.fileno(), self._go_on, out, ready)
        try:
            return await ready
        finally:
            loop.remove_writer(out.fileno())

    def _go_on(self, out: socket.socket, ready: asyncio.Future[_Waits]) -> None:
        if ready.done():
            return
        try:
            waits = self._advance(out)
        except Exception as error:
            ready.set_exception(error)
            return
        self._client.progress()
        if waits is not _Waits.CLIENT:
            ready.set_result(waits)

    def _advance(self, out: socket.socket) -> _Waits:
        """Send until something has to be waited for, or it is another connection's turn."""
        if self._draining:
            self._draining = self._refers = False
            be_writable_when(out, all_has_left=False)
        room = TURN
        while self._parts and room > 0:
            sent = self._send_next(out, self._parts[0], room)
            if sent is None:
                return _Waits.DISK
            if not sent:
                break
            room -= sent
        self._look_ahead()
        return _Waits.CLIENT if self._parts else _Waits.NOTHING

    def _look_ahead(self) -> None:
        """See now whether the next turn would wait for the disk: then there is no time for it."""
        part = next((part for part in self._parts if isinstance(part, ByteRange)), None)
        if part and not self._is_copied(part) and part.first + TURN > self._warm_until:
            self._is_warm(part)

    def _send_next(self, out: socket.socket, part: bytes | ByteRange, room: int) -> int | None:
        """Send something of a part; 0 when the socket is full, None when the disk must be asked."""
        if isinstance(part, bytes):
            following = self._parts[1] if len(self._parts) > 1 else None
            if isinstance(following, ByteRange) and self._is_copied(following):
                return self._send_copy(out, following, head=part)
            return self._send_octets(out, part)
        if self._is_copied(part):
            return self._send_copy(out, part)
        if part.first >= self._warm_until and not self._is_warm(part):
            return None
        return self._send_pages(out, part, room)

    def _send_octets(self, out: socket.socket, octets: bytes) -> int:
        sent = _send(out, octets)
        self._replace(octets[sent:])
        return sent

    def _send_pages(self, out: socket.socket, part: ByteRange, room: int) -> int | None:
        """Send from the page cache, without a copy, all but the tail."""
        count = min(self._warm_until - part.first, part.length - TAIL, room)
        try:
            sent = kernel.sendfile(out.fileno(), self._handle.fd, part.first, count)
        except BlockingIOError:
            # Of a writable socket: then it is not the socket that would block.
            return self._send_copy(out, part) if room == TURN else 0
        if not sent:
            raise ContentChangedError("the file became shorter")
        self._refers = True
        self._went(part, sent)
        return sent

    def _send_copy(self, out: socket.socket, part: ByteRange, head: bytes = b"") -> int | None:
        """Send octets as they were when the file was still what the head says; and a head before."""
        if self._refers and part.length <= LAST:
            self._draining = True
            be_writable_when(out, all_has_left=True)
            return 0
        with kernel.scratch() as buffer:
            # All with the head, or a piece: a slow client leaves room for no more.
            piece = buffer[: part.length if head else min(self._allowed(part), TAIL)]
            got = self._handle.read_into_nowait(piece, part.first)
            if got is None:
                return self._send_octets(out, head) if head else None
            self._check(got)
            sent = _send(out, head, piece[:got])
        if sent < len(head):
            self._replace(head[sent:])
        else:
            if head:
                self._parts.popleft()
            self._went(part, sent - len(head))
        return sent

    def _is_copied(self, part: ByteRange) -> bool:
        """Tell whether what is left of a range is copied: all of a short one, else its tail."""
        return part.length <= (TAIL if self._refers else WHOLE)

    def _allowed(self, part: ByteRange) -> int:
        """How many octets of a range may leave now: not the last, while the socket refers to others."""
        return part.length - LAST if self._refers and part.length > LAST else part.length

    def _went(self, part: ByteRange, sent: int) -> None:
        """Go on behind what has been sent of a range."""
        self._replace(ByteRange(part.first + sent, part.last) if sent < part.length else None)

    def _replace(self, rest: bytes | ByteRange | None) -> None:
        """Put what is left of the part that is being sent in its place."""
        if rest:
            self._parts[0] = rest
        elif isinstance(self._parts.popleft(), ByteRange):
            self._warm_until = 0  # the next range may lie before this one
            self._refers = False

    # -- from the disk ---------------------------------------------------------------------

    def _is_warm(self, part: ByteRange) -> bool:
        """Tell whether sendfile(2) would not wait, for a window from the beginning of a range."""
        count = min(WINDOW, part.length)
        warm = self._handle.is_warm(part.first, count)
        if warm:
            self._warm_until = part.first + count
        return warm

    async def _wait_for_disk(self) -> None:
        """Have the next octets read in the pool, which has a deadline of its own."""
        part = self._parts[0]
        assert isinstance(part, ByteRange)  # noqa: S101 - only a range waits for the disk
        self._client.hold()
        if self._is_copied(part):
            octets = await self._handle.read(part.first, min(self._allowed(part), TAIL))
            self._check(len(octets))
            self._went(part, len(octets))
            self._parts.appendleft(octets)
        else:
            count = min(WINDOW, part.length)
            await self._handle.warm(part.first, count)
            self._warm_until = part.first + count
        self._client.progress()

    # -- by the transport ------------------------------------------------------------------

    async def _by_transport(self) -> None:
        for part in self._parts:
            if isinstance(part, bytes):
                self._client.transport.write(part)
            else:
                await self._write_range(part)
            await self._client.drained()

    async def _write_range(self, part: ByteRange) -> None:
        offset, end = part.first, part.last + 1
        while offset < end:
            self._client.hold()
            piece = await self._handle.read(offset, min(PIECE, end - offset))
            offset += len(piece)
            if offset == end or not piece:
                self._check(len(piece))
            self._client.transport.write(piece)
            await self._client.drained()

    def _check(self, got: int) -> None:
        """Refuse to go on with a file that is not what it was."""
        if not got:
            raise ContentChangedError("the file became shorter")
        if self._handle.changed():
            raise ContentChangedError("the file changed while it was sent")


def _send(out: socket.socket, *octets: bytes | memoryview) -> int:
    """Send what the socket takes."""
    try:
        return out.sendmsg(octets)
    except BlockingIOError:
        return 0
