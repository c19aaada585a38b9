"""The cache: one store, bounded in bytes, in which every hit is proven by stat(2).

An entry holds a value, its size in bytes, and its dependencies: the stamps of every file and
directory that was examined to make the value (`asyncstatic.files.witness`). `Cache.get` returns an
entry only while all stamps are unchanged. An entry is never stale, not even for a moment.

Eviction is second-chance (CLOCK): the oldest entry goes first, but an entry that was used since
the clock hand last passed it stays for one more round. A hit moves nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from asyncstatic.files.witness import Witness, are_unchanged

# Bytes that an entry takes besides its value and its key: the entry itself, its stamps, its place
# in both dictionaries (measured with tracemalloc, rounded up).
ENTRY_BYTES = 1024


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
        self, key: Hashable, value: Any, size: int, dependencies: tuple[Witness, ...]
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


class Cache:
    """A dictionary of values, bounded in bytes.

    Args:
        capacity: bytes of all values, keys and book-keeping together; 0 holds nothing.

    Attributes:
        size: bytes in use.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.size = 0
        self._entries: OrderedDict[Hashable, CacheEntry] = OrderedDict()
        self.find = self._entries.get

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> CacheEntry | None:
        """Return the entry of a key if it is fresh; evict it if it is not."""
        entry = self._entries.get(key)
        if entry is None or entry.is_fresh():
            return entry
        self.evict(entry)
        return None

    def put(
        self, key: Hashable, value: Any, size: int, dependencies: tuple[Witness, ...] = ()
    ) -> CacheEntry | None:
        """Store a value, and evict others while the bound is exceeded.

        Returns:
            The new entry; None when the value alone exceeds the bound.
        """
        before = self._entries.get(key)
        if before is not None:
            self.evict(before)
        entry = CacheEntry(key, value, size + ENTRY_BYTES, dependencies)
        if entry.size > self.capacity:
            return None
        self._entries[key] = entry
        self.size += entry.size
        while self.size > self.capacity:
            self._advance()
        return entry if entry.value is not None else None

    def grow(self, entry: CacheEntry, size: int) -> None:
        """Charge an entry for `size` more bytes that its value takes now."""
        if self._entries.get(entry.key) is entry:
            entry.size += size
            self.size += size
            while self.size > self.capacity:
                self._advance()

    def evict(self, entry: CacheEntry) -> None:
        """Drop an entry, and close its value if that is open; harmless when the entry is gone."""
        if self._entries.get(entry.key) is not entry:
            return
        del self._entries[entry.key]
        self.size -= entry.size
        value, entry.value = entry.value, None
        close = getattr(value, "close", None)
        if close is not None:
            close()

    def clear(self) -> None:
        """Drop all entries."""
        for entry in tuple(self._entries.values()):
            self.evict(entry)

    def _advance(self) -> None:
        """Move the hand by one entry: evict it, or give it its second chance."""
        key, entry = next(iter(self._entries.items()))
        if entry.used:
            entry.used = False
            self._entries.move_to_end(key)
        else:
            self.evict(entry)
