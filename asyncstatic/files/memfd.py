"""Content in an anonymous file: sendfile(2) can send it, and no other program can change it.

From a file on disk, sendfile(2) sends the pages of that file: a program that rewrites the file
rewrites bytes that the client has not received yet. A copy for each response is safe, but it fills
memory that another processor used last, which costs as much as the rest of the response. A copy in
an anonymous file (memfd_create(2)) is made once, and sent without a further copy.
"""

from __future__ import annotations

from typing import ClassVar

from asyncstatic.files import kernel

LEAST = 32 * 1024  # bytes; from this size on sendfile(2) costs less than a copy
_MOST = 256  # anonymous files
_SHARE = 8  # they may use this fraction of the descriptors that the process may have


class MemoryFile:
    """A copy of some bytes. Data that a socket has taken from it stays valid after `close`.

    Args:
        data: at least one byte.

    Raises:
        OSError: the system has no anonymous files, or no more descriptors or memory.
    """

    __slots__ = ("fd", "length")

    _count: ClassVar[int] = 0

    def __init__(self, data: bytes) -> None:
        self.fd = kernel.memory_file(data)
        self.length = len(data)
        MemoryFile._count += 1

    @classmethod
    def has_room(cls) -> bool:
        """Tell whether there may be one more."""
        return cls._count < min(_MOST, kernel.handle_limit() // _SHARE)

    def read(self, first: int) -> bytes:
        """Return the bytes from `first` on."""
        return kernel.pread_memory(self.fd, self.length - first, first)

    def close(self) -> None:
        """Close the file; harmless when it is closed."""
        if self.fd >= 0:
            kernel.release(self.fd)
            self.fd = -1
            MemoryFile._count -= 1

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            self.close()
