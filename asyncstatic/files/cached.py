"""A source whose answers are cached: content of small files, and open large files.

An open file keeps the space of a deleted file in use, and its file system busy. So idle files are
closed within twice `_IDLE_SECONDS`. All are closed when the process runs out of file descriptors.
"""

from __future__ import annotations

import asyncio

from asyncstatic.files import kernel
from asyncstatic.files.cache import Cache, CacheEntry
from asyncstatic.files.source import Found, Opened, Source
from asyncstatic.http.model import Absence, Lookup

_ANY = (("*",),)  # stands for all codings; a client's list never equals it
_IDLE_SECONDS = 0.5
_MOST_OPEN = 256
_SHARE = 8  # the cache may open this fraction of the descriptors that the process may have
_FACTS_BYTES = 1536  # a representation's facts and stamps (measured, rounded up)


class CachedSource:
    """Asks the cache first, and then another source.

    A resource with one representation is cached once, whatever codings a client accepts.

    Args:
        source: finds what the cache does not hold.
        cache: holds the results; may be shared with other sources.
        path: the directory that `source` serves. It is part of every key.

    Attributes:
        cache, path: the arguments.
    """

    def __init__(self, source: Source, cache: Cache, path: str) -> None:
        self._source = source
        self.cache = cache
        self.path = path
        self._open = _OpenFiles(cache)

    def open_nowait(self, lookup: Lookup) -> Found | None:
        """Look a file up without waiting for the disk; None when that is impossible."""
        if not lookup.available:  # another lookup may have cached the same segments
            return Absence.MISSING
        entry = self._find(lookup)
        if entry is not None:
            value: Opened = entry.value
            return value.shared()
        found = self._source.open_nowait(lookup)
        if found is Absence.OVERLOADED and self._open.close_all():
            found = self._source.open_nowait(lookup)
        return None if found is None else self._cached(lookup, found)

    async def open(self, lookup: Lookup) -> Found:
        """Look a file up in the source; call it after `open_nowait` returned None."""
        if not lookup.available:
            return Absence.MISSING
        found = await self._source.open(lookup)
        if found is Absence.OVERLOADED and self._open.close_all():
            found = await self._source.open(lookup)
        return self._cached(lookup, found)

    def close(self) -> None:
        """Empty the cache, and close the source."""
        self.cache.clear()
        self._source.close()

    def _find(self, lookup: Lookup) -> CacheEntry | None:
        get, path = self.cache.get, self.path
        return get((path, lookup)) or get((path, lookup._replace(codings=_ANY)))

    def _cached(self, lookup: Lookup, found: Found) -> Found:
        if not isinstance(found, Opened) or not found.witnesses:
            return found
        if not found.representation.negotiable:
            lookup = lookup._replace(codings=_ANY)
        size = len(found.content or b"") + _FACTS_BYTES
        entry = self.cache.put((self.path, lookup), found.shared(), size, found.witnesses)
        if entry is None:
            return found
        entry.value.entry = found.entry = entry
        if found.handle is not None:
            self._open.add(entry)
        return found


class _OpenFiles:
    """The entries that hold an open file: bounded in number, closed when idle."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._most = min(_MOST_OPEN, kernel.handle_limit() // _SHARE)
        self._entries: dict[CacheEntry, None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None  # its timer closes idle files

    def add(self, entry: CacheEntry) -> None:
        """Track an entry; evict the oldest ones when there are too many."""
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
        """Close all files; return whether one was open."""
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
