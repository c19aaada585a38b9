"""The hot cache: representations that are asked for again, looked at before they are used.

There is no time for which an entry may be stale. Before it is used each of its witnesses -
the file, its directory where sidecars and index files appear, the original of a sidecar - is
asked by stat(2), and only an entry whose witnesses are all unchanged (device, inode, size,
mtime, ctime) is used. One look serves one turn of the event loop: the requests that were
waiting together when the turn began. What was read from a file that could still be
written within the same clock tick has no witnesses and is never kept.

Small content is kept in memory; of large content the handle is (`KeptHandles`).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from asyncstatic.files.arena import Arena
from asyncstatic.files.kept import KeptHandles
from asyncstatic.files.source import Found, Opened, Source, are_unchanged
from asyncstatic.http.model import Absence, Lookup

# Content from this size on is also copied to the arena, in octets: below it, copying it once
# more to the socket is cheaper than the second system call.
ARENA_FROM = 16 * 1024

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
        self._this_turn: dict[Lookup, Opened] = {}
        self._arena = Arena()
        self._handles = KeptHandles()

    def open_nowait(self, lookup: Lookup) -> Found | None:
        """Answer from memory, else from the source, without waiting."""
        entry = self._this_turn.get(lookup)
        if entry is not None:
            return entry
        entry = self._entries.get(lookup)
        if entry is not None:
            if are_unchanged(entry.witnesses):
                self._looked_at(lookup, entry)
                return entry
            self._forget(lookup)
        entry = self._handles.get(lookup)
        if entry is not None:
            return entry
        found = self._source.open_nowait(lookup)
        if found is Absence.OVERLOADED and self._handles.close_all():
            found = self._source.open_nowait(lookup)
        return found if found is None else self._remembered(lookup, found)

    async def open(self, lookup: Lookup) -> Found:
        """Ask the source, after `open_nowait` could not answer."""
        found = await self._source.open(lookup)
        if found is Absence.OVERLOADED and self._handles.close_all():
            found = await self._source.open(lookup)
        return self._remembered(lookup, found)

    def close(self) -> None:
        """Forget everything and close the source."""
        self._entries.clear()
        self._this_turn.clear()
        self._used = 0
        self._arena.close()
        self._handles.close_all()
        self._source.close()

    def _looked_at(self, lookup: Lookup, entry: Opened) -> None:
        """Trust an entry until the loop has turned: then new requests may have come."""
        self._entries.move_to_end(lookup)
        if not self._this_turn:
            asyncio.get_running_loop().call_soon(self._this_turn.clear)
        self._this_turn[lookup] = entry

    def _remembered(self, lookup: Lookup, found: Found) -> Found:
        if not isinstance(found, Opened) or not found.witnesses:
            return found
        if found.content is None:
            self._handles.keep(lookup, found)
            return found
        if lookup in self._entries:
            self._forget(lookup)
        if len(found.content) >= ARENA_FROM:
            found.copy = self._arena.put(found.content)
        self._entries[lookup] = found
        self._used += _cost(found)
        while self._used > self._capacity:
            self._forget(next(iter(self._entries)))
        return found

    def _forget(self, lookup: Lookup) -> None:
        entry = self._entries.pop(lookup)
        self._this_turn.pop(lookup, None)
        self._used -= _cost(entry)
        if entry.copy is not None:
            self._arena.drop(entry.copy)
            entry.copy = None


def _cost(entry: Opened) -> int:
    octets = len(entry.content or b"")
    return octets * (2 if entry.copy is not None else 1) + _OVERHEAD
