"""The cache entries that hold a file open, bounded in number and closed when idle.

An open file that nobody uses would hold the space of a deleted file, and keep its file system
busy. So unused ones are closed within twice `_IDLE_SECONDS`, and all are when the process runs
out of file descriptors.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asyncstatic.files import kernel

if TYPE_CHECKING:
    from asyncstatic.files.cache import Cache, CacheEntry

_IDLE_SECONDS = 0.5
_MOST_OPEN = 256
_SHARE = 8  # the cache may open this fraction of the descriptors that the process may have


class OpenFiles:
    """The entries of one cache that hold a file open.

    Args:
        cache: evicts an entry that must be closed.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._most = min(_MOST_OPEN, kernel.handle_limit() // _SHARE)
        self._entries: dict[CacheEntry, None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None  # the one that will close idle ones

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: CacheEntry) -> None:
        """Watch an entry; evict the oldest ones when there are too many."""
        self._entries[entry] = None
        entry.used = True
        while len(self._entries) > self._most:
            oldest = next(iter(self._entries))
            del self._entries[oldest]
            self._cache.evict(oldest)
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            loop.call_later(_IDLE_SECONDS, self._close_idle)

    def close_all(self) -> bool:
        """Close all files; tell whether there was one."""
        had = any(entry.value is not None for entry in self._entries)
        for entry in self._entries:
            self._cache.evict(entry)
        self._entries.clear()
        return had

    def _close_idle(self) -> None:
        self._loop = None
        for entry in tuple(self._entries):
            if entry.used and entry.value is not None:
                entry.used = False
            else:
                del self._entries[entry]
                self._cache.evict(entry)
        if self._entries:
            self._loop = asyncio.get_running_loop()
            self._loop.call_later(_IDLE_SECONDS, self._close_idle)
