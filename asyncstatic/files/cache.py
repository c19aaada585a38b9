"""The hot cache: representations that are asked for again, looked at before they are used.

There is no time for which an entry may be stale. Before it is used each of its witnesses -
the file, its directory where sidecars and index files appear, the original of a sidecar - is
asked by stat(2), and only an entry whose witnesses are all unchanged (device, inode, size,
mtime, ctime) is used. One look serves one turn of the event loop: the requests that were
waiting together when the turn began. What was read from a file that could still be
written within the same clock tick has no witnesses and is never kept.

Who asks again for what was given before may ask its entry: that costs no look-up.

Small content is kept in memory; of large content the handle is (`KeptHandles`).
"""

from __future__ import annotations

from collections import OrderedDict

from asyncstatic.files.kept import KeptHandles
from asyncstatic.files.source import Found, Opened, Source
from asyncstatic.files.turn import Turn
from asyncstatic.http.model import Absence, Lookup

# What an entry takes besides its content: key, facts, witnesses, memo (measured, rounded up).
_OVERHEAD = 4096
_ANY = (("*",),)  # no client's: theirs name codings
_MOST_NAMES = 8  # under which one entry is found; each is a way to say what a client accepts


class Entry:
    """What is remembered, by which lookups it is found, and what it is worth.

    Args:
        opened: the representation.
        turn: of the loop that uses it.

    Attributes:
        cost: octets that it takes.
        lookups: its keys.
        turn: the same.
        used: since it was last considered.
    """

    __slots__ = ("_looked_at", "_opened", "_witnesses", "cost", "lookups", "turn", "used")

    def __init__(self, opened: Opened, turn: Turn) -> None:
        self._opened: Opened | None = opened
        self._witnesses = opened.witnesses
        self._looked_at = -1
        self.cost = len(opened.content or b"") + _OVERHEAD
        self.lookups: list[Lookup] = []
        self.turn = turn
        self.used = False

    def recall(self) -> Opened | None:
        """Return what is remembered; None if it is forgotten, or no longer what it was."""
        if self._looked_at != self.turn.number:
            if self._opened is None or not self.turn.are_unchanged(self._witnesses):
                return None
            self._looked_at = self.turn.number
        self.used = True
        return self._opened

    def forget(self) -> None:
        """Let it go, also for those who still have this entry."""
        self._opened, self._looked_at = None, -1


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
        self._entries: dict[Lookup, Entry] = {}
        self._oldest_first: OrderedDict[Entry, None] = OrderedDict()
        self._turn = Turn()
        self._handles = KeptHandles(self._turn)

    def open_nowait(self, lookup: Lookup) -> Found | None:
        """Answer from memory, else from the source, without waiting."""
        kept = self._handles.get(lookup)
        if kept is not None:
            return kept
        entry = self._entries.get(lookup) or self._of_any_coding(lookup)
        if entry is not None:
            opened = entry.recall()
            if opened is not None:
                return opened
            self._forget(entry)
        found = self._source.open_nowait(lookup)
        if found is Absence.OVERLOADED and self._handles.close_all():
            found = self._source.open_nowait(lookup)
        return found if found is None else self._remembered(lookup, found)

    def entry_of(self, lookup: Lookup) -> Entry | None:
        """Return the entry that a lookup was answered from."""
        return self._entries.get(lookup) or self._entries.get(_any_coding(lookup))

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

    def _of_any_coding(self, lookup: Lookup) -> Entry | None:
        """Find what has no other representation, and be found at once the next time."""
        entry = self._entries.get(_any_coding(lookup))
        if entry is not None and len(entry.lookups) < _MOST_NAMES:
            self._name(entry, lookup)
        return entry

    def _name(self, entry: Entry, lookup: Lookup) -> None:
        self._entries[lookup] = entry
        entry.lookups.append(lookup)

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
        entry = Entry(found, self._turn)
        self._name(entry, lookup)
        self._oldest_first[entry] = None
        self._used += entry.cost
        while self._used > self._capacity:
            self._consider(next(iter(self._oldest_first)))
        return found

    def _consider(self, entry: Entry) -> None:
        """Let an entry go, unless it was used since it was last considered."""
        if entry.used:
            entry.used = False
            self._oldest_first.move_to_end(entry)
        else:
            self._forget(entry)

    def _forget(self, entry: Entry) -> None:
        entry.forget()
        del self._oldest_first[entry]
        self._used -= entry.cost
        for lookup in entry.lookups:
            if self._entries.get(lookup) is entry:
                del self._entries[lookup]


def _any_coding(lookup: Lookup) -> Lookup:
    return Lookup(lookup.segments, lookup.directory, _ANY)
