"""The cache: one store, bounded in bytes, in which every hit is proven by stat(2).

An entry holds a value, its size in bytes, and its dependencies: the stamps of every file and
directory that was examined to make the value (`asyncstatic.files.dependency`). `Cache.get` returns an
entry only while all stamps are unchanged. An entry is never stale, not even for a moment.

Eviction is second-chance (CLOCK): the oldest entry goes first, but an entry that was used since
the clock hand last passed it stays for one more round. A hit moves nothing.

All roots of a process share one cache (`shared_cache`). Each has its own keys: tuples that begin
with an object of its own, the owner.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any
from weakref import WeakValueDictionary

from asyncstatic.files import kernel
from asyncstatic.files.dependency import FileStamp, are_unchanged

# Bytes that an entry takes besides its value and its key: the entry itself, its stamps, its place
# in both dictionaries (measured with tracemalloc, rounded up).
ENTRY_BYTES = 1024

_IDLE_SECONDS = 0.5
_MOST_OPEN = 256
_SHARE = 8  # the cache may open this fraction of the descriptors that the process may have


class CacheEntry:
    """A cached value that can prove itself fresh.

    Attributes:
        key: under which the cache finds it.
        value: the value; None once the entry is evicted, so check it before use.
        size: bytes that the value, the key and the entry take.
        dependencies: the stamps that prove the value fresh.
        used: whether the value was used since the clock hand last passed.
    """

    __slots__ = ("dependencies", "key", "size", "used", "value")

    def __init__(
        self, key: Hashable, value: Any, size: int, dependencies: tuple[FileStamp, ...]
    ) -> None:
        self.key = key
        self.value = value
        self.size = size
        self.dependencies = dependencies
        self.used = False

    def is_fresh(self) -> bool:
        """Prove by stat(2) that everything the value was made from is unchanged."""
        if self.value is None or not are_unchanged(self.dependencies):
            return False
        self.used = True
        return True


class OpenFiles:
    """The entries of one cache that hold a file open, bounded in number and closed when idle.

    An open file that nobody uses would hold the space of a deleted file, and keep its file system
    busy. So unused ones are closed within twice `_IDLE_SECONDS`, and all are when the process runs
    out of file descriptors.

    Args:
        evict: drops an entry of the cache, and closes its file.
    """

    def __init__(self, evict: Callable[[CacheEntry], None]) -> None:
        self._evict = evict
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
            self._evict(oldest)
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            loop.call_later(_IDLE_SECONDS, self._close_idle)

    def close_all(self) -> bool:
        """Close all files; tell whether there was one."""
        had = any(entry.value is not None for entry in self._entries)
        for entry in self._entries:
            self._evict(entry)
        self._entries.clear()
        return had

    def _close_idle(self) -> None:
        self._loop = None
        for entry in tuple(self._entries):
            if entry.used and entry.value is not None:
                entry.used = False
            else:
                del self._entries[entry]
                self._evict(entry)
        if self._entries:
            self._loop = asyncio.get_running_loop()
            self._loop.call_later(_IDLE_SECONDS, self._close_idle)


class Cache:
    """A dictionary of values, bounded in bytes.

    A cache belongs to the thread that made it: only there may entries be found and held. Another
    thread may evict the entries of an owner that it closes.

    Args:
        capacity: bytes of all values, keys and book-keeping together; 0 holds nothing.

    Attributes:
        size: bytes in use.
        open_files: the entries that hold a file open.
        hits, misses: lookups of files (`CachedSource`) that it answered, and that it did not.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.size = 0
        self.open_files = OpenFiles(self.evict)
        self.hits = self.misses = 0
        self._thread = threading.get_ident()
        self._lock = threading.RLock()  # `put` evicts
        self._entries: OrderedDict[Hashable, CacheEntry] = OrderedDict()
        self.find = self._entries.get

    def __len__(self) -> int:
        return len(self._entries)

    def is_of_this_thread(self) -> bool:
        """Tell whether the running thread may use the cache."""
        return self._thread == threading.get_ident()

    def get(self, key: Hashable) -> CacheEntry | None:
        """Return the entry of a key if it is fresh; evict it if it is not."""
        entry = self._entries.get(key)
        if entry is None or entry.is_fresh():
            return entry
        self.evict(entry)
        return None

    def put(
        self, key: Hashable, value: Any, size: int, dependencies: tuple[FileStamp, ...] = ()
    ) -> CacheEntry | None:
        """Store a value, and evict others while the bound is exceeded.

        The cache owns the value from now on: it closes a value that it does not hold any more.

        Returns:
            The new entry; None when the value alone exceeds the bound.
        """
        entry = CacheEntry(key, value, size + ENTRY_BYTES, dependencies)
        with self._lock:
            before = self._entries.get(key)
            if before is not None:
                self.evict(before)
            if entry.size <= self.capacity:
                self._entries[key] = entry
                self.size += entry.size
            while self.size > self.capacity:
                self._advance()
        if entry.size > self.capacity:
            _close(value)
            return None
        return entry if entry.value is not None else None

    def grow(self, entry: CacheEntry, size: int) -> None:
        """Charge an entry for `size` more bytes that its value takes now."""
        with self._lock:
            if self._entries.get(entry.key) is entry:
                entry.size += size
                self.size += size
                while self.size > self.capacity:
                    self._advance()

    def evict(self, entry: CacheEntry) -> None:
        """Drop an entry, and close its value if that is open; harmless when the entry is gone."""
        with self._lock:
            if self._entries.get(entry.key) is not entry:
                return
            del self._entries[entry.key]
            self.size -= entry.size
            value, entry.value = entry.value, None
        _close(value)

    def evict_all(self, owner: Hashable) -> None:
        """Drop the entries of one owner. Any thread may call this."""
        for entry in self.entries():
            if isinstance(entry.key, tuple) and entry.key[0] == owner:
                self.evict(entry)

    def entries(self) -> tuple[CacheEntry, ...]:
        """Return all entries."""
        with self._lock:
            return tuple(self._entries.values())

    def _advance(self) -> None:
        """Move the hand by one entry: evict it, or give it its second chance."""
        key, entry = next(iter(self._entries.items()))
        if entry.used:
            entry.used = False
            self._entries.move_to_end(key)
        else:
            self.evict(entry)


def _close(value: Any) -> None:
    close = getattr(value, "close", None)
    if close is not None:
        close()


class _Shared(threading.local):
    """The caches of one thread by capacity, as long as a root uses them."""

    def __init__(self) -> None:
        self.by_capacity: WeakValueDictionary[int, Cache] = WeakValueDictionary()


_shared = _Shared()


def shared_cache(capacity: int) -> Cache:
    """Return the cache of this capacity that all roots of the running thread share.

    A server answers in one thread, so its roots share one. Event loops in several threads of a
    process do not: what one of them reads from an entry, another one would evict meanwhile.
    """
    cache = _shared.by_capacity.get(capacity)
    if cache is None:
        cache = _shared.by_capacity[capacity] = Cache(capacity)
    return cache
