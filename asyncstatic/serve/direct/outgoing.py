"""What is left of a response, and how its next octets get into the socket without waiting.

Up to 1 MiB of a file is copied, and leaves with its head in one call; what is sent again was copied
before, into a snapshot, and leaves that by sendfile(2) without another copy. Of what is longer the
head leaves by itself: it wakes the client, which then takes and acknowledges the content on its own
core while it is sent. (With MSG_MORE a server pays for that: a third more for 10 MiB.) The file
follows by sendfile(2), without a copy.

After sendfile(2) the socket holds references to the file's pages: who rewrites the file in place
rewrites what the client has not taken yet, on the same machine even what it has received. So the
last TAIL octets of a range are copied, more than a client that does not read receives; and the very
last leave only when most of these have left, if the file is still what it was. Else the transfer
ends visibly short.

A window of the file is in the page cache before sendfile(2) is called, so the loop does not wait for
the disk.
"""

from __future__ import annotations

import socket
from collections import deque
from enum import Enum, auto
from typing import cast

from asyncstatic.files import kernel
from asyncstatic.files.handle import Handle
from asyncstatic.files.snapshot import Snapshot
from asyncstatic.http.model import ByteRange, ResponsePlan
from asyncstatic.serve.direct.response import TAIL, WHOLE
from asyncstatic.serve.tcp import MORE, be_writable_when, unsent

WINDOW = 4 * 1024 * 1024
# What one connection sends before it is another's turn. As soon as there is room: a socket that is
# kept full is emptied on the client's processor, and 10 us of delay make 10 MiB a fifth dearer.
TURN = 2 * 1024 * 1024
LAST = 4096  # of these, held back until most others have left
CUSHION = 48 * 1024  # all but these: a client who has them all waits for the last


class ContentChangedError(Exception):
    """The file is no longer what the head promised."""


class Waits(Enum):
    """What is waited for before more can be sent."""

    NOTHING = auto()
    CLIENT = auto()
    DISK = auto()


class Outgoing:
    """The octets of one response, from its head to its end.

    First go octets that are in memory, then the stretch of the file behind them; both are of the
    part of the content that is under way, the others wait.

    Args:
        handle: where content comes from; not closed here.
        head: goes first.
        plan: the content; of a length that is known.
        tail: a snapshot of its last octets, if there is one: of a content in one part.
    """

    __slots__ = (
        "_draining",
        "_end",
        "_handle",
        "_octets",
        "_parts",
        "_position",
        "_refers",
        "_tail",
        "_warm_until",
    )

    def __init__(
        self, handle: Handle, head: bytes, plan: ResponsePlan, tail: Snapshot | None = None
    ) -> None:
        self._handle = handle
        self._tail = tail
        self._octets = head
        self._position = self._end = 0
        self._parts = deque(cast("tuple[bytes | ByteRange, ...]", plan.content))
        self._warm_until = 0
        self._refers = False  # the socket, to pages of the stretch
        self._draining = False
        self._is_over()
        handle.sample_nowait()  # before anything is sent; what is on the disk, in `wait_for_disk`

    @property
    def unsent_bytes(self) -> int:
        """Bytes that have not been sent yet, those of the head among them."""
        parts = sum(len(p) if isinstance(p, bytes) else p.length for p in self._parts)
        return len(self._octets) + self._end - self._position + parts

    # -- without waiting -------------------------------------------------------------------

    def send(self, out: socket.socket) -> Waits:
        """Send until something has to be waited for, or it is another connection's turn.

        Raises:
            ContentChangedError: the file changed; what was sent must not end cleanly.
            OSError: disk or connection failed.
        """
        if self._draining:
            self._draining = self._refers = False
            be_writable_when(out, unsent_below=0)
        room = TURN
        while room > 0 and not self._is_over():
            used = self._send_next(out, room)
            if used is None:
                return Waits.DISK
            room -= used
        self.look_ahead()
        return Waits.NOTHING if self._is_over() else Waits.CLIENT

    def look_ahead(self) -> None:
        """See now whether the next turn would wait for the disk: then there is no time for it."""
        if self._position + TURN > self._warm_until and not self._is_copied():
            self._is_warm()

    def _send_next(self, out: socket.socket, room: int) -> int | None:
        """Send something; None when the disk must be asked.

        Returns how much of the turn's room is used: all, when the socket is full. (To try once more
        costs an exception.)
        """
        if self._tail is None and self._is_copied():
            return self._send_copy(out, room)
        if self._octets:
            return self._send_octets(out, room)
        if self._tail is not None and self._is_copied():
            return self._send_snapshot(out, self._tail, room)
        if self._position >= self._warm_until and not self._is_warm():
            return None
        return self._send_pages(out, room)

    def _send_octets(self, out: socket.socket, room: int) -> int:
        snapshot_follows = self._tail is not None and self._is_copied()
        more = MORE if snapshot_follows and self._position < self._end else 0
        sent = _send(out, self._octets, flags=more)
        self._octets = self._octets[sent:]
        return room if self._octets else sent

    def _send_pages(self, out: socket.socket, room: int) -> int | None:
        """Send from the page cache, without a copy, all but the tail."""
        tail = TAIL if self._tail is None else len(self._tail)
        until = min(self._warm_until, self._end - tail, self._position + room)
        try:
            sent = kernel.sendfile(
                out.fileno(), self._handle.fd, self._position, until - self._position
            )
        except BlockingIOError:
            # Of a writable socket: then it is not the socket that would block.
            return self._send_copy(out, room) if room == TURN else room
        if not sent:
            raise ContentChangedError("the file became shorter")
        self._refers = True
        self._position += sent
        return room if self._position < until else sent

    def _send_copy(self, out: socket.socket, room: int) -> int | None:
        """Send octets as they were while the file was what the head says, and those before them."""
        before, count = self._octets, self._end - self._position
        if not count or (before and self._refers):  # of the tail, from the disk: before its last
            return self._send_octets(out, room)
        if self._refers and count <= LAST and not self._may_send_last(out):
            return room
        with kernel.scratch() as buffer:
            # All with the octets before, or a piece: a slow client leaves room for no more.
            piece = buffer[: count if before else min(self._allowed(), TAIL)]
            got = self._handle.read_into_nowait(piece, self._position)
            if got is None:
                return self._send_octets(out, room) if before else None
            if not self._check(got):
                return self._send_octets(out, room) if before else None
            sent = _send(out, before, piece[:got])
        self._octets = before[sent:]
        self._position += max(sent - len(before), 0)
        return sent if sent == len(before) + got else room

    def _send_snapshot(self, out: socket.socket, tail: Snapshot, room: int) -> int | None:
        """Send of the end, without a copy, while the file is what the head says."""
        if self._refers and self._end - self._position <= LAST and not self._may_send_last(out):
            return room
        count = self._allowed()
        if not self._check(count):
            return None
        first = self._position - self._end + len(tail)
        try:
            sent = kernel.sendfile(out.fileno(), tail.fd, first, count)
        except BlockingIOError:
            return room
        self._position += sent
        return sent if sent == count else room

    def _may_send_last(self, out: socket.socket) -> bool:
        """Tell whether most of the tail has left; else be called when it has."""
        self._draining = unsent(out) > CUSHION
        if self._draining:
            be_writable_when(out, unsent_below=CUSHION)
        else:
            self._refers = False
        return not self._draining

    # -- from the disk ---------------------------------------------------------------------

    async def wait_for_disk(self) -> None:
        """Have the next octets read in the pool, which has a deadline of its own.

        Raises:
            ContentChangedError, OSError: as `send`.
            PoolBusyError: the disk did not answer in time.
        """
        await self._handle.sample()
        if self._is_copied():
            octets = await self._handle.read(self._position, min(self._allowed(), TAIL))
            if not self._check(len(octets)) and not await self._handle.is_unchanged():
                raise _changed()
            self._position += len(octets)
            self._octets = octets
        else:
            count = min(WINDOW, self._end - self._position)
            await self._handle.warm(self._position, count)
            self._warm_until = self._position + count

    def _is_warm(self) -> bool:
        """Tell whether sendfile(2) would not wait, for a window from here on."""
        count = min(WINDOW, self._end - self._position)
        warm = self._handle.is_warm(self._position, count)
        if warm:
            self._warm_until = self._position + count
        return warm

    def _check(self, got: int) -> bool:
        """Refuse to go on with content that is not what it was; False if the disk must tell."""
        if not got:
            raise ContentChangedError("the file became shorter")
        unchanged = self._handle.is_unchanged_nowait()
        if unchanged is False:
            raise _changed()
        return unchanged is True

    # -- what is left ----------------------------------------------------------------------

    def _is_copied(self) -> bool:
        """Tell whether what is left of the stretch is a copy: all of a short one, else its tail."""
        left = self._end - self._position
        if self._tail is not None:
            return left <= len(self._tail)
        return left <= (TAIL if self._refers else WHOLE)

    def _allowed(self) -> int:
        """How much of the stretch may leave now: not its last, while the socket refers to others."""
        count = self._end - self._position
        return count - LAST if self._refers and count > LAST else count

    def _is_over(self) -> bool:
        """Tell whether nothing is left, after a look at what is next."""
        while self._position == self._end:
            if not self._parts:
                return not self._octets
            if isinstance(self._parts[0], bytes) and self._octets:
                return False
            self._take(self._parts.popleft())
        return False

    def _take(self, part: bytes | ByteRange) -> None:
        if isinstance(part, bytes):
            self._octets = part
        else:
            self._position, self._end = part.first, part.last + 1
            self._warm_until = 0  # it may lie before the last one
            self._refers = False


def _changed() -> ContentChangedError:
    return ContentChangedError("the file changed while it was sent")


def _send(out: socket.socket, *octets: bytes | memoryview, flags: int = 0) -> int:
    """Send what the socket takes."""
    try:
        return out.sendmsg(octets, (), flags)
    except BlockingIOError:
        return 0
