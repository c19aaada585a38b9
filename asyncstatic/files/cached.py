"""A source whose answers are cached: content of small files, and open large files."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeAlias

from asyncstatic.files.cache import Cache, CacheEntry
from asyncstatic.files.dependency import FileStamp
from asyncstatic.files.source import Found, Opened, Source
from asyncstatic.http.model import Absence, Lookup

Stamps: TypeAlias = tuple[FileStamp, ...]
_FACTS_BYTES = 1536  # a representation's facts and stamps (measured, rounded up)


class CachedSource:
    """A `Source` that asks the cache first, and then another source.

    A resource with one representation is cached once, whatever codings a client accepts. In another
    thread than that of the cache, the source alone is asked.

    Args:
        source: answers what the cache cannot.
        cache: holds the answers; may be shared with other sources.
        add_stamps: adds stamps to the dependencies of an answer; none, if it must not be cached.

    Attributes:
        cache: the argument.
    """

    def __init__(
        self,
        source: Source,
        cache: Cache,
        *,
        add_stamps: Callable[[Stamps], Stamps] | None = None,
    ) -> None:
        self._source = source
        self._add_stamps = add_stamps
        self.cache = cache
        self._owner = object()  # begins its keys: other sources may answer differently

    def open_nowait(self, lookup: Lookup) -> Found | None:
        if not lookup.available:  # another lookup may have cached the same segments
            return Absence.MISSING
        if not self.cache.is_of_this_thread():
            return self._source.open_nowait(lookup)
        entry = self._find(lookup)
        if entry is not None:
            self.cache.hits += 1
            value: Opened = entry.value
            return value.shared()
        self.cache.misses += 1
        found = self._source.open_nowait(lookup)
        if found is Absence.OVERLOADED and self.cache.open_files.close_all():
            found = self._source.open_nowait(lookup)
        return None if found is None else self._cached(lookup, found)

    async def open(self, lookup: Lookup) -> Found:
        """Look a file up in the source; call it after `open_nowait` returned None."""
        found = await self._source.open(lookup)
        if not self.cache.is_of_this_thread():
            return found
        if found is Absence.OVERLOADED and self.cache.open_files.close_all():
            found = await self._source.open(lookup)
        return self._cached(lookup, found)

    def close(self) -> None:
        """Evict the entries of this source, and close the source."""
        self.cache.evict_all(self._owner)
        self._source.close()

    def _find(self, lookup: Lookup) -> CacheEntry | None:
        key = (self._owner, lookup.segments, lookup.directory)
        return self.cache.get(key) or self.cache.get((*key, lookup.codings))

    def _cached(self, lookup: Lookup, found: Found) -> Found:
        if not isinstance(found, Opened) or not found.dependencies:
            return found
        if self._add_stamps is not None:
            found.dependencies = self._add_stamps(found.dependencies)
            if not found.dependencies:
                return found
        key: tuple[Hashable, ...] = (self._owner, lookup.segments, lookup.directory)
        if found.representation.negotiable:  # else for all codings
            key = (*key, lookup.codings)
        size = len(found.content or b"") + _FACTS_BYTES
        if found.handle is not None:
            size += found.handle.memory
        entry = self.cache.put(key, found.shared(), size, found.dependencies)
        if entry is None:
            return found
        entry.value.entry = found.entry = entry
        if found.handle is not None:
            self.cache.open_files.add(entry)
        return found
