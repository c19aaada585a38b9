"""The hot cache: small representations in memory, looked at again on every hit.

There is no time for which an entry may be stale. A hit costs one stat(2) for each witness
- the file, its directory where sidecars and index files appear, the original of a sidecar -
and only an entry whose witnesses are all unchanged (device, inode, size, mtime, ctime) is used.
What was read from a file that could still be written within the same clock tick has no
witnesses and is never kept.
"""

from __future__ import annotations

from collections import OrderedDict

from asyncstatic.files import kernel
from asyncstatic.files.source import Found, Opened, Source, Witness
from asyncstatic.http.model import Lookup

# What an entry takes besides its content: key, facts, witnesses, memo (measured, rounded up).
_OVERHEAD = 4096


class Cached:
    """A source with a memory, bounded in octets.

    Args:
        source: what is asked on a miss.
        capacity: octets of content and book-keeping together.
    """

    def __init__(self, source: Source, capacity: int) -> None:
        self._source = source
        self._capacity = capacity
        self._used = 0
        self._entries: OrderedDict[Lookup, Opened] = OrderedDict()

    def open_nowait(self, lookup: Lookup) -> Found | None:
        """Answer from memory, else from the source, without waiting."""
        entry = self._entries.get(lookup)
        if entry is not None:
            if _unchanged(entry.witnesses):
                self._entries.move_to_end(lookup)
                return entry
            self._forget(lookup)
        found = self._source.open_nowait(lookup)
        if found is not None:
            self._remember(lookup, found)
        return found

    async def open(self, lookup: Lookup) -> Found:
        """Ask the source, after `open_nowait` could not answer."""
        found = await self._source.open(lookup)
        self._remember(lookup, found)
        return found

    def close(self) -> None:
        """Forget everything and close the source."""
        self._entries.clear()
        self._used = 0
        self._source.close()

    def _remember(self, lookup: Lookup, found: Found) -> None:
        if not isinstance(found, Opened) or found.content is None or not found.witnesses:
            return
        if lookup in self._entries:
            self._forget(lookup)
        self._entries[lookup] = found
        self._used += len(found.content) + _OVERHEAD
        while self._used > self._capacity:
            self._forget(next(iter(self._entries)))

    def _forget(self, lookup: Lookup) -> None:
        entry = self._entries.pop(lookup)
        self._used -= len(entry.content or b"") + _OVERHEAD


def _unchanged(witnesses: tuple[Witness, ...]) -> bool:
    for path, identity in witnesses:
        try:
            now = kernel.stat(path)
        except OSError:
            return False
        if (
            now.st_ino != identity.inode
            or now.st_mtime_ns != identity.mtime_ns
            or now.st_ctime_ns != identity.ctime_ns
            or now.st_size != identity.size
            or now.st_dev != identity.device
        ):
            return False
    return True
