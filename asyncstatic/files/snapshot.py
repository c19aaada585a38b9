"""Octets as they were once, where sendfile(2) finds them and nobody can change them.

What sendfile(2) sends from a file are the file's own pages: until the client has taken them, who
rewrites the file rewrites them. A copy per response is safe, and dear: it goes into memory that
another processor had last, and where the two share no cache it costs as much as all the rest. A
copy in an anonymous file (memfd_create(2)) is made once, and sent without another.
"""

from __future__ import annotations

from asyncstatic.files import kernel
from asyncstatic.files.root import release

LEAST = 32 * 1024  # octets from which sendfile(2) costs less than a copy


class Snapshot:
    """A copy of some octets, which goes with this object.

    What was handed to a socket stays there also after that.

    Args:
        octets: at least one.

    Attributes:
        fd: where they are.
        length: how many.

    Raises:
        OSError: the system has no anonymous files, or no more handles or memory.
    """

    __slots__ = ("fd", "length")

    def __init__(self, octets: bytes) -> None:
        self.fd = -1  # if there is none
        self.length = len(octets)
        self.fd = kernel.anonymous_file(octets)

    def __len__(self) -> int:
        return self.length

    def __del__(self) -> None:
        release(self.fd)

    def read(self, first: int = 0) -> bytes:
        """Return the octets from `first` on."""
        return kernel.pread_memory(self.fd, self.length - first, first)
