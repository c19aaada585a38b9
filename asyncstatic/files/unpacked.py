"""Deflated content in memory: decoded, and as gzip (RFC 1952) around the same deflated data.

Both are in one anonymous file, so they are sent like other files, and another program cannot
change them. Nothing of it is used before its length and its CRC-32 are proven.
"""

from __future__ import annotations

import errno
import hashlib
import threading
import zlib
from collections.abc import Iterator
from itertools import chain
from typing import Any, ClassVar

from asyncstatic.files import kernel
from asyncstatic.files.handle import Handle, identity_of
from asyncstatic.http.model import ByteRange

#: Bytes that all unpacked content of a process may take together.
MOST = 256 * 1024 * 1024

_STEP = 64 * 1024
_MAGIC = b"\x1f\x8b"
_HEADER = _MAGIC + b"\x08\0\0\0\0\0\0\xff"  # deflate, no time, unknown system (§2.3.1)
_TRAILER = 8


class DamagedError(Exception):
    """The data are not what the archive says; the message completes the sentence "its content ..."."""


class _Memory:
    """An anonymous file. `held` counts the bytes of all of them until they are closed.

    `Unpacked` is found by weak references. If its own `__del__` closed the file, another thread could
    still find it there, with a closed file. So the file belongs to this object.
    """

    held: ClassVar[int] = 0
    _lock: ClassVar[threading.RLock] = threading.RLock()  # `__del__` may run inside

    def __init__(self, size: int) -> None:
        self.fd = -1
        self.size = 0
        with self._lock:
            if _Memory.held + size > MOST:
                raise kernel.fault(errno.ENOMEM)
            _Memory.held += size
            self.size = size
        self.fd = kernel.anonymous_file()

    def __del__(self) -> None:
        if self.fd >= 0:
            kernel.release(self.fd)
        with self._lock:
            _Memory.held -= self.size


class Unpacked:
    """Unpacked content. Its memory is free once nothing refers to it any more.

    Args:
        data: the deflated data, in steps.
        compressed: their bytes.
        size: bytes of the content.
        crc: CRC-32 of the content.

    Raises:
        DamagedError: the data are damaged, or decode to more or less than `size` bytes.
        OSError: ENOMEM while others use the memory.

    Attributes:
        fd: the anonymous file.
        identity: of the file.
        decoded: the part of it that is the content.
        gzip: the part of it that is the same content in gzip.
        size: bytes that both take.
    """

    def __init__(self, data: Iterator[bytes], compressed: int, size: int, crc: int) -> None:
        in_gzip = len(_HEADER) + compressed + _TRAILER
        self.decoded = ByteRange(0, size - 1)
        self.gzip = ByteRange(size, size + in_gzip - 1)
        self._memory = _Memory(size + in_gzip)
        self.fd, self.size = self._memory.fd, self._memory.size
        self._digests = {self.decoded: hashlib.sha256(), self.gzip: hashlib.sha256()}
        self._positions = {self.decoded: self.decoded.first, self.gzip: self.gzip.first}
        self._unpack(data, crc.to_bytes(4, "little") + size.to_bytes(4, "little"))
        self.identity = identity_of(kernel.fstat(self.fd))

    def is_gzip(self) -> bool:
        """Tell whether the content is gzip itself.

        Firefox takes a gzip file in the coding gzip for a server's mistake, and does not decode it.
        """
        return kernel.pread_memory(self.fd, len(_MAGIC), self.decoded.first) == _MAGIC

    def digest(self, part: ByteRange | None) -> bytes | None:
        """Return the SHA-256 of one of the two parts."""
        digest = self._digests.get(part) if part else None
        return digest.digest() if digest else None

    def _unpack(self, data: Iterator[bytes], trailer: bytes) -> None:
        """Write both forms. zlib compares length and CRC-32 of the content with the trailer."""
        decoder = zlib.decompressobj(zlib.MAX_WBITS | 16)
        for step in chain((_HEADER,), data, (trailer,)):
            self._write(self.gzip, step)
            rest = step
            while rest:
                rest = self._decode(decoder, rest)
        if not decoder.eof:
            raise DamagedError("ends early")

    def _decode(self, decoder: Any, data: bytes) -> bytes:
        """Decode some data, and return those that are left."""
        try:
            decoded = decoder.decompress(data, _STEP)
        except zlib.error as error:
            raise DamagedError(f"cannot be decoded: {error}") from None
        if decoder.unused_data:
            raise DamagedError("ends before its data do")
        if self._positions[self.decoded] + len(decoded) > self.decoded.last + 1:
            raise DamagedError("is longer than the archive says")
        self._write(self.decoded, decoded)
        left: bytes = decoder.unconsumed_tail
        return left

    def _write(self, part: ByteRange, data: bytes) -> None:
        self._digests[part].update(data)
        rest = memoryview(data)
        while rest:
            written = kernel.pwrite(self.fd, rest, self._positions[part])
            self._positions[part] += written
            rest = rest[written:]


class UnpackedHandle(Handle):
    """A handle on one form of unpacked content. It never waits, and the content never changes."""

    __slots__ = ()

    def read_nowait(self, offset: int, count: int) -> bytes:
        """Read bytes; memory never waits."""
        return kernel.pread_memory(self.fd, count, self.offset + offset)

    def read_into_nowait(self, buffer: memoryview, offset: int) -> int:
        """Fill a buffer; memory never waits."""
        data = self.read_nowait(offset, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def is_warm(self, offset: int, count: int) -> bool:
        """Return True: the content is in memory."""
        return True

    def is_unchanged_nowait(self) -> bool:
        """Return True: nothing else can write the content."""
        return True

    def sample_nowait(self) -> None:
        """Do nothing: the content cannot change."""

    async def sample(self) -> None:
        """Do nothing: the content cannot change."""
