"""A folder as a zip that is made while it is sent: nothing is stored, and memory is bounded."""

from __future__ import annotations

import errno
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from asyncstatic.files import kernel
from asyncstatic.files.handle import Handle
from asyncstatic.files.pool import Pool
from asyncstatic.files.root import Segments
from asyncstatic.files.samples import Samples, read_blocks
from asyncstatic.files.source import is_forbidden, is_missing
from asyncstatic.files.tree import File, TreeReader
from asyncstatic.http.model import SECOND, Identity

_STEP = 256 * 1024  # bytes of a chunk, and of a read
_LEVEL = 1  # of zlib: a server's processor is worth more than the last tenth of a size
#: The identity of content that is made for a request.
NO_FILE = Identity(0, 0, 0, 0, 0)
_MODE = 0o100644  # of a regular file that all may read
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Seconds that a zip can tell: from 1980 in its own form, to 2038 in the extended timestamp of 32 bits.
_FIRST, _LAST = 315_619_200, 2_147_483_647


class ZippedFile(NamedTuple):
    """A file of the archive.

    Attributes:
        tree: has the file.
        segments: of the file, below the root.
        name: in the archive.
        size: of the file when the folder was read, in bytes.
        mtime_ns: its modification time, ns since the epoch.
    """

    tree: TreeReader
    segments: Segments
    name: str
    size: int
    mtime_ns: int


class ZippedFolder(Handle):
    """An archive, in the place of an open file.

    A file that has vanished is left out. A file that grew has the size that it had. A file that is
    rewritten while it is read ends the archive too early: its checksum would be right.

    Args:
        members: the files, opened one after another.
        pool: its threads read and compress.
    """

    __slots__ = ("_members",)

    def __init__(self, members: list[ZippedFile], pool: Pool) -> None:
        super().__init__(-1, NO_FILE, pool)
        self._members = members

    async def sample(self) -> None:
        """Do nothing: there is no stored content."""

    async def is_unchanged(self) -> bool:
        """Return True: `chunks` raises if a file changes while it is read."""
        return True

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of the archive.

        Raises:
            OSError, PoolBusyError: the disk failed, or a file changed while it was read.
        """
        zipped = zip_of(self._members)
        try:
            while chunk := await self._pool.run(next, zipped, b""):
                yield chunk
        finally:
            with suppress(ValueError):  # a thread still runs it: it ends with its last reference
                zipped.close()


def zip_of(members: Iterable[ZippedFile]) -> Generator[bytes, None, None]:
    """Yield the bytes of an archive, made as they are read."""
    from stream_zip import ZIP_AUTO, stream_zip

    def files() -> Iterator[tuple[str, datetime, int, Any, Iterator[bytes]]]:
        for member in members:
            file = _opened(member)
            if file is None:
                continue
            try:
                seconds = min(max(member.mtime_ns // SECOND, _FIRST), _LAST)
                method = ZIP_AUTO(file.identity.length, level=_LEVEL)
                when = _EPOCH + timedelta(seconds=seconds)
                yield member.name, when, _MODE, method, _content(file)
            finally:
                kernel.release(file.fd)

    yield from stream_zip(files(), chunk_size=_STEP)


def _opened(member: ZippedFile) -> File | None:
    try:
        return member.tree.open_file(member.segments)
    except OSError as error:
        if is_missing(error) or is_forbidden(error):
            return None
        raise


def _content(file: File) -> Iterator[bytes]:
    """Yield the content that the file had when it was opened.

    Raises:
        OSError: it changed meanwhile.
    """
    samples = Samples(file.identity)
    is_whole = _compare(file, samples)
    for offset in range(0, file.identity.length, _STEP):
        yield file.read(offset, _STEP)
    is_whole = is_whole and (samples.expect(kernel.fstat(file.fd)) or _compare(file, samples))
    if not is_whole:
        raise OSError(errno.ESTALE, "a file changed while it was read")


def _compare(file: File, samples: Samples) -> bool:
    blocks = read_blocks(file.fd, samples.offsets(), samples.end, kernel.pread)
    return samples.compare(blocks) is True
