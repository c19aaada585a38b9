"""Content in an open regular file: it is read by position, checked for changes, and closed once.

The content is the whole file, or a part of it: then each position is relative to the part, and the
checks are about the whole file.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from typing import Protocol, Self

from asyncstatic.files import kernel
from asyncstatic.files.pool import Pool, Result
from asyncstatic.files.samples import Samples, read_blocks
from asyncstatic.http.model import ByteRange, Identity

_STRIDE = 1024 * 1024
_ATTEMPTS = 3  # to read a file in one state while it is being written
_WARM_SECONDS = 0.05  # after a check, pages are assumed to stay in the page cache for so long


class InMemory(Protocol):
    """Content in memory, of `size` bytes, which is free once nothing refers to it any more."""

    size: int


class _Descriptor:
    """The state that all handles on one file descriptor share.

    Attributes:
        holders: the number of handles.
        warm: the range of bytes that was in the page cache lately.
        seen: when the first of them were checked (`time.monotonic`).
        samples: hashes of blocks of the content.
        held: the content in memory that the descriptor leads to.
    """

    __slots__ = ("held", "holders", "samples", "seen", "warm")

    def __init__(self, identity: Identity, held: InMemory | None) -> None:
        self.holders = 1
        self.held = held
        self.samples = Samples(identity)
        self.warm = range(0)
        self.seen = 0.0

    def is_warm(self, first: int, end: int) -> bool:
        """Tell whether these bytes were in the page cache a moment ago."""
        warm = self.warm
        if first < warm.start or end > warm.stop:
            return False
        return time.monotonic() - self.seen < _WARM_SECONDS

    def saw(self, first: int, end: int) -> None:
        """Note that bytes are in the page cache; extend the range that was noted lately."""
        warm, now = self.warm, time.monotonic()
        if now - self.seen < _WARM_SECONDS and first <= warm.stop and end >= warm.start:
            self.warm = range(min(first, warm.start), max(end, warm.stop))
        else:
            self.warm, self.seen = range(first, end), now


def identity_of(status: os.stat_result, part: ByteRange | None = None) -> Identity:
    """Return the identity of a file, or of a part of it, from the file's stat result."""
    return Identity(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, part
    )


def has_identity(fd: int, identity: Identity) -> bool:
    """Tell whether an open file still has an identity."""
    return identity_of(kernel.fstat(fd), identity.part) == identity


class Handle:
    """Content in a file, with the pool whose threads wait for its disk.

    Closing twice is harmless. Using a closed handle is an error of the caller. Nothing checks that
    a caller asks for bytes of the content only: the rest of the file may be private.

    A method that reads raises OSError if the disk failed. One that waits for the disk raises
    PoolBusyError if the disk did not answer in time.

    Args:
        fd: the descriptor of the file.
        identity: of the content; its `part` says which bytes of the file that is.
        pool: its threads wait for the disk.
        held: content in memory; the last handle that is closed lets go of it.

    Attributes:
        fd, identity: the arguments; `fd` is -1 when the handle is closed.
        offset: position of the content's first byte in the file.
    """

    __slots__ = ("_descriptor", "_pool", "fd", "identity", "offset")

    def __init__(
        self, fd: int, identity: Identity, pool: Pool, held: InMemory | None = None
    ) -> None:
        self.fd = fd
        self.identity = identity
        self.offset = identity.offset
        self._pool = pool
        self._descriptor = _Descriptor(identity, held)

    @property
    def memory(self) -> int:
        """The bytes of memory that the content takes, apart from the page cache."""
        held = self._descriptor.held
        return 0 if held is None else held.size

    def shared(self) -> Self:
        """Make another handle on the same descriptor, which closes with its last handle."""
        other = object.__new__(type(self))  # cheaper than by __init__
        other.fd, other.identity, other.offset = self.fd, self.identity, self.offset
        other._pool, other._descriptor = self._pool, self._descriptor
        self._descriptor.holders += 1
        return other

    def fileno(self) -> int:
        """Return the descriptor, as files do; the owner of the handle closes it."""
        return self.fd

    def read_nowait(self, offset: int, count: int) -> bytes | None:
        """Read `count` bytes if they are in the page cache, else None; fewer only at the end."""
        return kernel.pread_nowait(self.fd, count, self.offset + offset)

    def read_into_nowait(self, buffer: memoryview, offset: int) -> int | None:
        """Fill a buffer from the page cache, from `offset` on; return the number of bytes.

        Possibly short, 0 at the end of the file, None if reading would block.
        """
        return kernel.pread_into_nowait(self.fd, buffer, self.offset + offset)

    def send_to(self, out: int, offset: int, count: int) -> int:
        """Send bytes to a socket by sendfile(2); return how many.

        Raises:
            BlockingIOError: the socket is full, or the file would have to be read from the disk.
            OSError: disk or connection failed.
        """
        return kernel.sendfile(out, self.fd, self.offset + offset, count)

    async def read(self, offset: int, count: int) -> bytes:
        """Read `count` bytes, fewer only at the end of the file.

        The read runs on the loop when the bytes are in the page cache, else in the pool.
        """
        data = self.read_nowait(offset, count)
        if data is None:
            data = await self._in_pool(read_fully, self.offset + offset, count)
        return data

    def is_warm(self, offset: int, count: int) -> bool:
        """Tell whether bytes are in the page cache, as far as the kernel tells.

        Checks one byte in each stride, and both ends: read-ahead loads the bytes between. A
        range that was checked a moment ago is not checked again.
        """
        first = self.offset + offset
        end = first + count
        if self._descriptor.is_warm(first, end):
            return True
        for position in (end - 1, *range(first, end - 1, _STRIDE)):
            if not kernel.is_resident(self.fd, position):
                return False
        self._descriptor.saw(first, end)
        return True

    async def warm(self, offset: int, count: int) -> None:
        """Load bytes into the page cache, unless `is_warm` says that they are there."""
        if not self.is_warm(offset, count):
            await self._in_pool(_load, self.offset + offset, count)

    async def _in_pool(self, call: Callable[..., Result], *args: object) -> Result:
        """Call with a duplicate: a caller that is cancelled may close the handle meanwhile."""
        return await self._pool.run(_call, call, _Duplicate(kernel.dup(self.fd)), *args)

    # -- is the promised content still there? ----------------------------------------------

    def sample_end(self, *, nowait: bool) -> None:
        """Hash the last block of the content, right after the file was opened.

        Args:
            nowait: do not wait for the disk; then the block may stay unknown.
        """
        samples = self._descriptor.samples
        for read in (kernel.pread_nowait,) if nowait else (kernel.pread_nowait, kernel.pread):
            blocks = read_blocks(self.fd, [samples.last], samples.end, read)
            if blocks.read[samples.last] is not None:
                samples.compare(blocks)
                break

    def sample_nowait(self) -> None:
        """Hash those blocks of the content that are in the page cache."""
        if not self._descriptor.samples.are_complete:
            self._compare_nowait()

    async def sample(self) -> None:
        """Hash some blocks of the content, before it is sent."""
        self.sample_nowait()
        if not self._descriptor.samples.are_complete:
            await self._compare()

    def is_unchanged_nowait(self) -> bool | None:
        """Tell whether the content is the same as when the handle was opened.

        A file that only grew, or only got another time, still has its content, as far as its
        `Samples` can tell. The change time (ctime) is not compared: a deploy that renames another
        file over the name changes it, and the content of this file stays.

        Returns:
            None if a block would have to be read from the disk.
        """
        if self._descriptor.samples.expect(kernel.fstat(self.fd)):
            return True
        return self._compare_nowait()

    async def is_unchanged(self) -> bool:
        """Tell whether the content is unchanged, and wait for the disk if necessary."""
        unchanged = self.is_unchanged_nowait()
        return await self._compare() if unchanged is None else unchanged

    def _compare_nowait(self) -> bool | None:
        samples = self._descriptor.samples
        return samples.compare(
            read_blocks(self.fd, samples.offsets(), samples.end, kernel.pread_nowait)
        )

    async def _compare(self) -> bool:
        samples = self._descriptor.samples
        every, end = samples.offsets(), samples.end
        blocks = await self._in_pool(read_blocks, every, end, kernel.pread)
        return samples.compare(blocks) is True

    def close(self) -> None:
        """Close the handle, and with the last one the descriptor."""
        fd, self.fd = self.fd, -1
        if fd < 0:
            return
        self._descriptor.holders -= 1
        if not self._descriptor.holders:
            self._descriptor.held = None
            kernel.release(fd)


def open_handle(fd: int, identity: Identity, pool: Pool, *, nowait: bool) -> Handle:
    """Make a handle of a descriptor just opened, and hash the last block of its content.

    Args:
        fd: the descriptor; the handle owns it from then on.
        identity: of the content. The handle has a newer one if the file is being written.
        pool: its threads wait for the disk.
        nowait: do not wait for the disk now.
    """
    for _ in range(_ATTEMPTS):
        handle = Handle(fd, identity, pool)
        handle.sample_end(nowait=nowait)
        identity = identity_of(kernel.fstat(fd), identity.part)
        if identity == handle.identity:
            break
    return handle


class _Duplicate:
    """A descriptor that is closed with the last reference: also where its call never begins."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        kernel.release(self.fd)


def _call(call: Callable[..., Result], duplicate: _Duplicate, *args: object) -> Result:
    return call(duplicate.fd, *args)


def _load(fd: int, offset: int, count: int) -> None:
    for start in range(offset, offset + count, _STRIDE):
        kernel.pread(fd, min(_STRIDE, offset + count - start), start)


def read_fully(fd: int, offset: int, count: int, *, nowait: bool = False) -> bytes:
    """Read until `count` bytes are there or the file ends; read(2) may return fewer.

    Raises:
        ReadBegunError: with `nowait`, the bytes are not in the page cache yet.
        OSError: the disk failed.
    """
    if nowait:
        found = kernel.pread_nowait(fd, count, offset)
        if found is None:
            raise ReadBegunError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return found
    data = kernel.pread(fd, count, offset)
    if len(data) == count:
        return data
    parts = [data]
    while data:
        offset, count = offset + len(data), count - len(data)
        data = kernel.pread(fd, count, offset) if count else b""
        parts.append(data)
    return b"".join(parts)


def read_content(fd: int, identity: Identity, offset: int, count: int) -> bytes:
    """Read bytes of a content, at an offset relative to it; fewer only at its end."""
    return read_fully(fd, identity.offset + offset, min(count, identity.length - offset))


def read_version(fd: int, identity: Identity, *, nowait: bool) -> tuple[Identity, bytes] | None:
    """Read the whole content of one version of a small file.

    A file that is being written is read again. If it is written all the time, the content that two
    readings in a row agree on counts.

    Args:
        fd: of the file.
        identity: of the content, from the last fstat.
        nowait: as `read_fully`.

    Returns:
        The content with its identity; None if no two readings agree.

    Raises:
        ReadBegunError, OSError: as `read_fully`.
    """
    earlier, earlier_identity = b"", identity
    for attempt in range(_ATTEMPTS):
        content = read_fully(fd, identity.offset, identity.length, nowait=nowait)
        before, identity = identity, identity_of(kernel.fstat(fd), identity.part)
        if before == identity and len(content) == identity.length:
            return before, content
        if attempt < _ATTEMPTS - 1:
            earlier, earlier_identity = content, before
    only_grew = len(earlier) == earlier_identity.length > 0 and content.startswith(earlier)
    return (earlier_identity, earlier) if only_grew else None


class ReadBegunError(BlockingIOError):
    """The bytes are not in the page cache, but the kernel has begun to read them."""
