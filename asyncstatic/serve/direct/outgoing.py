"""What is left of a response, and how its next octets get into the socket without waiting.

Up to 1 MiB of a file is copied, and leaves with its head in one call: that costs half of what
sendfile(2) does. Of what is longer the head leaves by itself: it wakes the client, which then takes
and acknowledges the content on its own core while it is sent. (With MSG_MORE a server pays for
that: a third more for 10 MiB.) The file follows by sendfile(2), without a copy.

After sendfile(2) the socket holds references to the file's pages: who rewrites the file in place
rewrites what the client has not taken yet, on the same machine even what it has received. So the
last TAIL octets of a range are copied, more than a client that does not read receives; and the very
last leave only when nothing waits to be sent, if the file is still what it was. Else the transfer
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
from asyncstatic.http.model import ByteRange, ResponsePlan
from asyncstatic.serve.direct.outlet import be_writable_when

WINDOW = 4 * 1024 * 1024
# What one connection sends before it is another's turn. As soon as there is room: a socket that is
# kept full is emptied on the client's processor, and 10 us of delay make 10 MiB a fifth dearer.
TURN = 2 * 1024 * 1024
WHOLE = kernel.SCRATCH  # a range up to which it is copied
TAIL = 256 * 1024  # of a longer one, copied
LAST = 4096  # of these, held back until all others have left


class ContentChangedError(Exception):
    """The file is no longer what the head promised."""


class Waits(Enum):
    """What is waited for before more can be sent."""

    NOTHING = auto()
    CLIENT = auto()
    DISK = auto()


class Outgoing:
    """The octets of one response, from its head to its end.

    Args:
        handle: where content comes from; not closed here.
        head: goes first.
        plan: the content; of a length that is known.
    """

    def __init__(self, handle: Handle, head: bytes, plan: ResponsePlan) -> None:
        self._handle = handle
        self._parts = deque(cast("tuple[bytes | ByteRange, ...]", (head, *plan.content)))
        self._warm_until = 0
        self._refers = False  # the socket, to pages of the present range
        self._draining = False

    # -- without waiting -------------------------------------------------------------------

    def send(self, out: socket.socket) -> Waits:
        """Send until something has to be waited for, or it is another connection's turn.

        Raises:
            ContentChangedError: the file changed; what was sent must not end cleanly.
            OSError: disk or connection failed.
        """
        if self._draining:
            self._draining = self._refers = False
            be_writable_when(out, all_has_left=False)
        room = TURN
        while self._parts and room > 0:
            sent = self._send_next(out, self._parts[0], room)
            if sent is None:
                return Waits.DISK
            if not sent:
                break
            room -= sent
        self.look_ahead()
        return Waits.CLIENT if self._parts else Waits.NOTHING

    def look_ahead(self) -> None:
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

    # -- from the disk ---------------------------------------------------------------------

    async def wait_for_disk(self) -> None:
        """Have the next octets read in the pool, which has a deadline of its own.

        Raises:
            ContentChangedError, OSError: as `send`.
            PoolBusyError: the disk did not answer in time.
        """
        part = self._parts[0]
        assert isinstance(part, ByteRange)  # noqa: S101 - only a range waits for the disk
        if self._is_copied(part):
            octets = await self._handle.read(part.first, min(self._allowed(part), TAIL))
            self._check(len(octets))
            self._went(part, len(octets))
            self._parts.appendleft(octets)
        else:
            count = min(WINDOW, part.length)
            await self._handle.warm(part.first, count)
            self._warm_until = part.first + count

    def _is_warm(self, part: ByteRange) -> bool:
        """Tell whether sendfile(2) would not wait, for a window from the beginning of a range."""
        count = min(WINDOW, part.length)
        warm = self._handle.is_warm(part.first, count)
        if warm:
            self._warm_until = part.first + count
        return warm

    def _check(self, got: int) -> None:
        """Refuse to go on with a file that is not what it was."""
        if not got:
            raise ContentChangedError("the file became shorter")
        if self._handle.changed():
            raise ContentChangedError("the file changed while it was sent")

    # -- what is left ----------------------------------------------------------------------

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


def _send(out: socket.socket, *octets: bytes | memoryview) -> int:
    """Send what the socket takes."""
    try:
        return out.sendmsg(octets)
    except BlockingIOError:
        return 0
