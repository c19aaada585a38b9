"""Copies of hot content that sendfile(2) can send: our own pages, which nobody else writes.

sendfile(2) puts references to pages on the socket, so what is sent changes when the file is
rewritten before the client has read it. Pages of this memory file are written once and never
again: dropping a copy punches a hole, and a socket that still refers to a page keeps it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from asyncstatic.files import kernel

_PAGE = 4096


class Copy(NamedTuple):
    """Where a copy is: octets `offset` to `offset + length` of `fd`."""

    fd: int
    offset: int
    length: int


class Arena:
    """One sparse memory file, written from its beginning on and never twice.

    Where the platform has none, `put` returns None and content is sent from memory.
    """

    def __init__(self) -> None:
        self._end = 0
        self._fd = -1
        if kernel.HAS_MEMORY_FILES:
            with suppress(OSError):
                self._fd = kernel.memory_file("asyncstatic-hot")

    def put(self, content: bytes) -> Copy | None:
        """Copy content; None when there is no room or no memory file."""
        if self._fd < 0:
            return None
        offset, self._end = self._end, self._end + len(content) + -len(content) % _PAGE
        copy = Copy(self._fd, offset, len(content))
        try:
            if kernel.pwrite(self._fd, content, offset) == len(content):
                return copy
        except OSError:
            pass
        self.drop(copy)
        return None

    def drop(self, copy: Copy) -> None:
        """Give the pages of a copy back, once no socket refers to them."""
        with suppress(OSError):
            kernel.punch_hole(copy.fd, copy.offset, copy.length + -copy.length % _PAGE)

    def close(self) -> None:
        """Give everything back."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            kernel.close(fd)
