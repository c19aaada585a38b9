"""Blocks of a file's content, which tell a file that only grew from one that was rewritten.

Size and modification time show that a file changed, but not how. A log that is appended to, or a
file that was touched, still has the content that a response promised. A file that was rewritten in
place does not. So a transfer begins by hashing a few blocks of the promised content: the first, the
last, and some between. When size or time have changed, the blocks are read again and compared. If
all agree, the transfer goes on, and the next check expects the new size and time.

A rewrite that falls only between the blocks is not noticed (docs/security.md).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

from asyncstatic.files import kernel
from asyncstatic.http.model import Identity

BLOCKS = 16
BLOCK_BYTES = 512
# A second write within this time after the first may leave size and modification time unchanged.
_SETTLED_NS = 2_000_000_000

Read: TypeAlias = Callable[[int, int, int], bytes | None]  # descriptor, bytes, offset


class Blocks(NamedTuple):
    """Blocks that were read.

    Attributes:
        size: the size of the file in bytes, just before the reading.
        mtime_ns: its modification time then.
        read: offset -> content; None where a block cannot be read, or not without waiting.
    """

    size: int
    mtime_ns: int
    read: dict[int, bytes | None]


def read_blocks(fd: int, offsets: Iterable[int], end: int, read: Read) -> Blocks:
    """Read blocks that begin at `offsets` and end before `end`."""
    status = kernel.fstat(fd)
    read_now = {offset: _read_block(fd, offset, end, read) for offset in offsets}
    return Blocks(status.st_size, status.st_mtime_ns, read_now)


def _read_block(fd: int, offset: int, end: int, read: Read) -> bytes | None:
    try:
        return read(fd, min(BLOCK_BYTES, end - offset), offset)
    except OSError:  # the sender of this part of the file sees the same error
        return None


class Samples:
    """Hashes of blocks of one open file.

    Args:
        identity: of the content when it was opened; its length is promised.

    Attributes:
        first: offset of the promised content in the file, in bytes.
        end: offset behind its last byte.
        are_complete: whether all blocks are known.
    """

    __slots__ = ("_hashes", "_is_settled", "_state", "are_complete", "end", "first")

    def __init__(self, identity: Identity) -> None:
        self.first = identity.offset
        self.end = self.first + identity.length
        self._state = (identity.size, identity.mtime_ns)
        self._is_settled = True
        self.are_complete = False
        self._hashes: dict[int, int] = {}  # offset -> hash of the block: shorter than its bytes

    @property
    def last(self) -> int:
        """Offset of the last block."""
        return max(self.end - BLOCK_BYTES, self.first)

    def offsets(self) -> list[int]:
        """Return the offsets of all blocks; none of them crosses a page, except perhaps the last."""
        first, length = self.first, self.last - self.first
        between = (first + length * number // (BLOCKS - 1) for number in range(BLOCKS - 1))
        aligned = (max(offset - offset % BLOCK_BYTES, first) for offset in between)
        return sorted({*aligned, self.last})

    def expect(self, status: os.stat_result) -> bool:
        """Tell whether the file has the size and time of the last check."""
        return self._is_settled and (status.st_size, status.st_mtime_ns) == self._state

    def compare(self, blocks: Blocks) -> bool | None:
        """Compare blocks with the known ones; if all agree, add the others.

        Args:
            blocks: all blocks, or only the last when nothing is known yet.

        Returns:
            True if the promised content is still there; False if it is not, or if nothing proves
            it; None if a known block cannot be read.
        """
        size, mtime_ns, read = blocks
        same = (size, mtime_ns) == self._state
        if size < self.end or not (same or self._hashes):
            return False
        for offset, known in self._hashes.items():
            block = read.get(offset)
            if block is None:
                return None
            if hash(block) != known:
                return False
        self._adopt(blocks, same)
        for offset, block in read.items():
            if block is not None:
                self._hashes[offset] = hash(block)
        of_all = len(read) > 1 or self.last == self.first
        self.are_complete = self.are_complete or (of_all and None not in read.values())
        return True

    def _adopt(self, blocks: Blocks, same: bool) -> None:
        """Expect this size and time from now on: another change must be compared again."""
        age = time.time_ns() - blocks.mtime_ns
        self._is_settled = (same and self._is_settled) or age >= _SETTLED_NS
        self._state = (blocks.size, blocks.mtime_ns)
