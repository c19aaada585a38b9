"""The unsent rest of one response, sent by system calls that never wait.

Up to 1 MiB of a file is copied, and leaves with its head in one call. The head of a longer range
leaves first, by itself: it wakes the client, which then takes and acknowledges the content on its
own core while it is sent. (MSG_MORE would save a packet and cost a third more CPU for 10 MiB.) The
file follows by sendfile(2), without a copy.

After sendfile(2) the socket holds references to the file's pages. A program that rewrites the file
in place also rewrites bytes that the client has not taken yet; on the same machine even bytes that
it has received. So the last `TAIL` bytes of a range are copied: more than a client receives that
does not read. The very last bytes leave only when most of these have left, and only if the file is
still what the head promised. Otherwise the transfer ends visibly short.

A window of the file is in the page cache before sendfile(2) is called, so the event loop does not
wait for the disk.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from enum import Enum, auto
from typing import cast

from asyncstatic.files import kernel
from asyncstatic.files.handle import Handle
from asyncstatic.http.model import ByteRange, ResponsePlan
from asyncstatic.serve.tcp import be_writable_when, unsent

WHOLE = kernel.SCRATCH  # a range of at most so many bytes is copied as a whole
TAIL = 256 * 1024  # the last bytes of a longer range, which are copied
LAST = 4096  # the very last bytes, held back until most others have left
WINDOW = 4 * 1024 * 1024
# Bytes that one connection sends before the event loop serves others. More is sent as soon as there
# is room: a delay of 10 us makes 10 MiB a fifth dearer.
SHARE = 2 * 1024 * 1024
CUSHION = 48 * 1024  # bytes that may be unsent when the last ones leave
# Errors of file systems without sendfile(2), and of sandboxes (sendfile(2), NOTES: then copy).
_REFUSED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)


class ContentChangedError(Exception):
    """The file is no longer what the head promised."""


class Waits(Enum):
    """The event to wait for before more can be sent."""

    NOTHING = auto()
    CLIENT = auto()
    DISK = auto()


class SendfileCursor:
    """The position in one response: bytes in memory first, then a stretch of the file.

    Both belong to the part of the content that is under way; the other parts wait.

    Args:
        handle: the file; not closed here.
        head: goes first.
        plan: the content; its length must be known.
    """

    __slots__ = (
        "_bytes", "_copies", "_draining", "_end", "_handle", "_parts", "_position", "_refers",
        "_warm_until",
    )  # fmt: skip

    def __init__(self, handle: Handle, head: bytes, plan: ResponsePlan) -> None:
        self._handle = handle
        self._bytes = head
        self._position = self._end = 0  # the stretch of the file
        self._parts = deque(cast("tuple[bytes | ByteRange, ...]", plan.content))
        self._warm_until = 0
        self._refers = False  # whether the socket holds references to pages of the stretch
        self._draining = False
        self._copies = False  # whether the system refuses sendfile(2) from this file
        self._is_over()
        handle.sample_nowait()  # before anything is sent; what is on the disk, in `wait_for_disk`

    @property
    def unsent_bytes(self) -> int:
        """Bytes that have not been sent yet, those of the head among them."""
        parts = sum(len(p) if isinstance(p, bytes) else p.length for p in self._parts)
        return len(self._bytes) + self._end - self._position + parts

    # -- without waiting -------------------------------------------------------------------

    def send(self, out: socket.socket) -> Waits:
        """Send until something has to be waited for, or until the share of this connection is sent.

        Raises:
            ContentChangedError: the file changed; what was sent must not end cleanly.
            OSError: disk or connection failed.
        """
        if self._draining:
            self._draining = self._refers = False
            be_writable_when(out, unsent_below=0)
        room = SHARE
        while room > 0 and not self._is_over():
            used = self._send_next(out, room)
            if used is None:
                return Waits.DISK
            room -= used
        self.look_ahead()
        return Waits.NOTHING if self._is_over() else Waits.CLIENT

    def look_ahead(self) -> None:
        """Find out now whether the next share would wait for the disk: later there is no time."""
        if self._position + SHARE > self._warm_until and not self._is_copied():
            self._is_warm()

    def _send_next(self, out: socket.socket, room: int) -> int | None:
        """Send something; None when the disk must be asked.

        Returns how much of the share is used: all of it when the socket is full, since another try
        would cost an exception.
        """
        if self._is_copied():
            return self._send_copy(out, room)
        if self._bytes:
            return self._send_bytes(out, room)
        if self._position >= self._warm_until and not self._is_warm():
            return None
        return self._send_pages(out, room)

    def _send_bytes(self, out: socket.socket, room: int) -> int:
        sent = _send(out, self._bytes)
        self._bytes = self._bytes[sent:]
        return room if self._bytes else sent

    def _send_pages(self, out: socket.socket, room: int) -> int | None:
        """Send from the page cache, without a copy, all but the tail."""
        until = min(self._warm_until, self._end - TAIL, self._position + room)
        try:
            sent = self._handle.send_to(out.fileno(), self._position, until - self._position)
        except BlockingIOError:
            # The socket was writable, so the file would block.
            return self._send_copy(out, room) if room == SHARE else room
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
            self._copies = True
            return 0
        if not sent:
            raise ContentChangedError("the file became shorter")
        self._refers = True
        self._position += sent
        return room if self._position < until else sent

    def _send_copy(self, out: socket.socket, room: int) -> int | None:
        """Send pending bytes and a copied chunk, after a check that the file is unchanged."""
        before, count = self._bytes, self._end - self._position
        if not count or (before and self._refers):  # bytes of the tail that came from the disk
            return self._send_bytes(out, room)
        if self._refers and count <= LAST and not self._may_send_last(out):
            return room
        with kernel.scratch() as buffer:
            # All of it behind pending bytes, or a chunk: a slow client leaves room for no more.
            chunk = buffer[: count if before else min(self._allowed(), TAIL)]
            got = self._handle.read_into_nowait(chunk, self._position)
            if got is None:
                return self._send_bytes(out, room) if before else None
            if not self._check(got):
                return self._send_bytes(out, room) if before else None
            sent = _send(out, before, chunk[:got])
        self._bytes = before[sent:]
        self._position += max(sent - len(before), 0)
        return sent if sent == len(before) + got else room

    def _may_send_last(self, out: socket.socket) -> bool:
        """Tell whether most of the tail has left; if not, the socket is writable when it has."""
        self._draining = unsent(out) > CUSHION
        if self._draining:
            be_writable_when(out, unsent_below=CUSHION)
        else:
            self._refers = False
        return not self._draining

    # -- from the disk ---------------------------------------------------------------------

    async def wait_for_disk(self) -> None:
        """Read the next bytes in the pool, which has a deadline of its own.

        Raises:
            ContentChangedError, OSError: as `send`.
            PoolBusyError: the disk did not answer in time.
        """
        await self._handle.sample()
        if self._is_copied():
            data = await self._handle.read(self._position, min(self._allowed(), TAIL))
            if not self._check(len(data)) and not await self._handle.is_unchanged():
                raise _changed()
            self._position += len(data)
            self._bytes = data
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
        """Refuse to go on with changed content; False when only the disk can tell."""
        if not got:
            raise ContentChangedError("the file became shorter")
        unchanged = self._handle.is_unchanged_nowait()
        if unchanged is False:
            raise _changed()
        return unchanged is True

    # -- what is left ----------------------------------------------------------------------

    def _is_copied(self) -> bool:
        """Tell whether the rest of the stretch is copied: all of a short one, else its tail."""
        return self._copies or self._end - self._position <= (TAIL if self._refers else WHOLE)

    def _allowed(self) -> int:
        """Return how much may leave now: not the last bytes while the socket refers to others."""
        count = self._end - self._position
        return count - LAST if self._refers and count > LAST else count

    def _is_over(self) -> bool:
        """Tell whether all was sent; take the next part when one ended."""
        while self._position == self._end:
            if not self._parts:
                return not self._bytes
            if isinstance(self._parts[0], bytes) and self._bytes:
                return False
            self._take(self._parts.popleft())
        return False

    def _take(self, part: bytes | ByteRange) -> None:
        if isinstance(part, bytes):
            self._bytes = part
        else:
            self._position, self._end = part.first, part.last + 1
            self._warm_until = 0  # it may lie before the last one
            self._refers = False


def _changed() -> ContentChangedError:
    return ContentChangedError("the file changed while it was sent")


def _send(out: socket.socket, *buffers: bytes | memoryview) -> int:
    """Send as much as the socket takes; return how many bytes."""
    try:
        return out.sendmsg(buffers)
    except BlockingIOError:
        return 0
