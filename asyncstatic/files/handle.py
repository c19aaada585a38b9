"""An open regular file: read by position, compared with what it was, closed once."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable

from asyncstatic.files import kernel
from asyncstatic.files.pool import Pool, Result
from asyncstatic.files.root import release
from asyncstatic.http.model import Identity

_STRIDE = 1024 * 1024
_WARM_SECONDS = 0.05  # for which what was seen in the page cache is taken to be there still


class _Descriptor:
    """What all handles on one file descriptor share.

    Attributes:
        holders: how many they are.
        warm: octets that were in the page cache lately.
        seen: when the first of them were (`time.monotonic`).
    """

    __slots__ = ("holders", "seen", "warm")

    def __init__(self) -> None:
        self.holders = 1
        self.warm = range(0)
        self.seen = 0.0

    def is_warm(self, first: int, end: int) -> bool:
        """Tell whether octets were in the page cache a moment ago."""
        warm = self.warm
        if first < warm.start or end > warm.stop:
            return False
        return time.monotonic() - self.seen < _WARM_SECONDS

    def saw(self, first: int, end: int) -> None:
        """Remember octets, together with those around them if they were seen lately, too."""
        warm, now = self.warm, time.monotonic()
        if now - self.seen < _WARM_SECONDS and first <= warm.stop and end >= warm.start:
            self.warm = range(min(first, warm.start), max(end, warm.stop))
        else:
            self.warm, self.seen = range(first, end), now


def identity_of(status: os.stat_result) -> Identity:
    """Tell which bytes a stat result stands for."""
    return Identity(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


class Handle:
    """A file descriptor of our own, with the pool that waits for its disk.

    Closing twice is harmless; using it after closing is an error of the caller.
    """

    __slots__ = ("_descriptor", "_pool", "fd", "identity")

    def __init__(self, fd: int, identity: Identity, pool: Pool) -> None:
        self.fd = fd
        self.identity = identity
        self._pool = pool
        self._descriptor = _Descriptor()

    def again(self) -> Handle:
        """Make another handle on the same descriptor; the last one that is closed closes it."""
        other = Handle(self.fd, self.identity, self._pool)
        other._descriptor = self._descriptor
        self._descriptor.holders += 1
        return other

    def read_nowait(self, offset: int, count: int) -> bytes | None:
        """Read `count` octets if they are in the page cache, else None; fewer only at the end.

        Raises:
            OSError: the disk failed.
        """
        return kernel.pread_nowait(self.fd, count, offset)

    def read_into_nowait(self, buffer: memoryview, offset: int) -> int | None:
        """Fill a buffer with what the page cache holds from `offset` on; tell how much it is.

        0 at the end of the file; None when the disk has to be waited for.

        Raises:
            OSError: the disk failed.
        """
        return kernel.pread_into_nowait(self.fd, buffer, offset)

    async def read(self, offset: int, count: int) -> bytes:
        """Read `count` octets, fewer only at the end of the file.

        On the loop when they are in the page cache, else in the pool.

        Raises:
            OSError: the disk failed.
            PoolBusyError: it did not answer in time.
        """
        octets = self.read_nowait(offset, count)
        if octets is None:
            octets = await self._in_pool(_read_and_close, offset, count)
        return octets

    def is_warm(self, offset: int, count: int) -> bool:
        """Tell whether the octets are in the page cache, as far as the kernel lets us see.

        Looks at one octet in each stride, and at both ends: what is between came in with them
        by read-ahead. Not again within a moment: a look at a page costs more than finding it.
        """
        end = offset + count
        if self._descriptor.is_warm(offset, end):
            return True
        for position in (end - 1, *range(offset, end - 1, _STRIDE)):
            if not kernel.is_resident(self.fd, position):
                return False
        self._descriptor.saw(offset, end)
        return True

    async def warm(self, offset: int, count: int) -> None:
        """Have the octets in the page cache, as far as `is_warm` can tell.

        Raises:
            OSError, PoolBusyError: as `read`.
        """
        if not self.is_warm(offset, count):
            await self._in_pool(_warm_and_close, offset, count)

    async def _in_pool(self, call: Callable[..., Result], offset: int, count: int) -> Result:
        """Call with a duplicate: a caller who is cancelled may close the handle meanwhile."""
        self._pool.admit()  # before there is a duplicate, which only the call closes
        return await self._pool.run(call, kernel.dup(self.fd), offset, count)

    def changed(self) -> bool:
        """Tell whether the bytes may have changed since the handle was opened.

        Not by ctime: a rename over the name by a deploy changes that of the old file,
        whose bytes stay what they were.
        """
        status = kernel.fstat(self.fd)
        return (status.st_size, status.st_mtime_ns) != (
            self.identity.size,
            self.identity.mtime_ns,
        )

    def close(self) -> None:
        """Give the descriptor back."""
        fd, self.fd = self.fd, -1
        if fd < 0:
            return
        self._descriptor.holders -= 1
        if not self._descriptor.holders:
            release(fd)


def _read_and_close(fd: int, offset: int, count: int) -> bytes:
    try:
        return read_fully(fd, offset, count)
    finally:
        release(fd)


def _warm_and_close(fd: int, offset: int, count: int) -> None:
    try:
        for start in range(offset, offset + count, _STRIDE):
            kernel.pread(fd, min(_STRIDE, offset + count - start), start)
    finally:
        release(fd)


def read_fully(fd: int, offset: int, count: int, *, nowait: bool = False) -> bytes:
    """Read until `count` octets are there or the file ends; read(2) may return fewer.

    Raises:
        ReadBegunError: with `nowait`, they are not in the page cache yet.
        OSError: the disk failed.
    """
    if nowait:
        return _read_nowait(fd, offset, count)
    octets = kernel.pread(fd, count, offset)
    if len(octets) == count:
        return octets
    parts = [octets]
    while octets:
        offset, count = offset + len(octets), count - len(octets)
        octets = kernel.pread(fd, count, offset) if count else b""
        parts.append(octets)
    return b"".join(parts)


class ReadBegunError(BlockingIOError):
    """The octets are not in the page cache, but asking made the kernel begin to read them."""


def _read_nowait(fd: int, offset: int, count: int) -> bytes:
    octets = kernel.pread_nowait(fd, count, offset)
    if octets is None:
        raise ReadBegunError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return octets
