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

from asyncstatic.files.kept import KeptHandles
from asyncstatic.files.source import Found, Opened, Source
from asyncstatic.files.witness import Seen, are_unchanged
from asyncstatic.http.model import Absence, Lookup

# What an entry takes besides its content: key, facts, witnesses, memo (measured, rounded up).
_OVERHEAD = 4096
_ANY = (("*",),)  # no client's: theirs name codings
_MOST_NAMES = 8  # under which one entry is found; each is a way to say what a client accepts


class _Entry:
    """What is remembered, by which lookups it is found, and what it is worth.

    Attributes:
        opened: the representation.
        lookups: its keys.
        looked_at: the turn of the loop in which its witnesses were unchanged.
        used: since it was last considered.
    """

    __slots__ = ("looked_at", "lookups", "opened", "used")

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self.lookups: list[Lookup] = []
        self.looked_at = -1
        self.used = False

    @property
    def cost(self) -> int:
        """Octets that it takes."""
        return len(self.opened.content or b"") + _OVERHEAD


class Cached:
    """A source with a memory, bounded in octets.

    What has not been used since it was last considered goes first, the oldest before the others
    (second chance: a use costs no reordering). What has but one representation is remembered once,
    whatever codings are asked for.

    Args:
        source: what is asked on a miss.
        capacity: octets of content and book-keeping together.
    """

    def __init__(self, source: Source, capacity: int) -> None:
        self._source = source
        self._capacity = capacity
        self._used = 0
        self._entries: dict[Lookup, _Entry] = {}
        self._oldest_first: OrderedDict[_Entry, None] = OrderedDict()
        self._turn = 0
        self._seen: Seen = {}
        self._handles = KeptHandles()

    def open_nowait(self, lookup: Lookup) -> Found | None:
        """Answer from memory, else from the source, without waiting."""
        entry = self._entries.get(lookup) or self._of_any_coding(lookup)
        if entry is not None:
            if entry.looked_at == self._turn or self._is_unchanged(entry):
                entry.used = True
                return entry.opened
            self._forget(entry)
        kept = self._handles.get(lookup)
        if kept is not None:
            return kept
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
        for entry in tuple(self._oldest_first):
            self._forget(entry)
        self._handles.close_all()
        self._source.close()

    def _of_any_coding(self, lookup: Lookup) -> _Entry | None:
        """Find what has no other representation, and be found at once the next time."""
        entry = self._entries.get(_any_coding(lookup))
        if entry is not None and len(entry.lookups) < _MOST_NAMES:
            self._name(entry, lookup)
        return entry

    def _name(self, entry: _Entry, lookup: Lookup) -> None:
        self._entries[lookup] = entry
        entry.lookups.append(lookup)

    def _is_unchanged(self, entry: _Entry) -> bool:
        """Look at an entry, and trust it until the loop has turned: then requests may have come."""
        if not self._seen:
            asyncio.get_running_loop().call_soon(self._end_turn)
        if not are_unchanged(entry.opened.witnesses, self._seen):
            return False
        entry.looked_at = self._turn
        return True

    def _end_turn(self) -> None:
        self._turn += 1
        self._seen.clear()

    def _remembered(self, lookup: Lookup, found: Found) -> Found:
        if not isinstance(found, Opened) or not found.witnesses:
            return found
        if found.content is None:
            self._handles.keep(lookup, found)
            return found
        if not found.representation.negotiable:
            lookup = _any_coding(lookup)
        if (before := self._entries.get(lookup)) is not None:
            self._forget(before)
        entry = _Entry(found)
        self._name(entry, lookup)
        self._oldest_first[entry] = None
        self._used += entry.cost
        while self._used > self._capacity:
            self._consider(next(iter(self._oldest_first)))
        return found

    def _consider(self, entry: _Entry) -> None:
        """Let an entry go, unless it was used since it was last considered."""
        if entry.used:
            entry.used = False
            self._oldest_first.move_to_end(entry)
        else:
            self._forget(entry)

    def _forget(self, entry: _Entry) -> None:
        del self._oldest_first[entry]
        self._used -= entry.cost
        for lookup in entry.lookups:
            if self._entries.get(lookup) is entry:
                del self._entries[lookup]


def _any_coding(lookup: Lookup) -> Lookup:
    return Lookup(lookup.segments, lookup.directory, _ANY)
