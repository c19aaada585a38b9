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
from functools import partial

from asyncstatic.files.absent import AbsentNames
from asyncstatic.files.entry import Entry
from asyncstatic.files.kept import KeptHandles
from asyncstatic.files.source import Found, Opened, Source
from asyncstatic.files.turn import Turn
from asyncstatic.http.model import Absence, Lookup

_ANY = (("*",),)  # no client's: theirs name codings
_MOST_NAMES = 8  # under which one entry is found; each is a way to say what a client accepts
# What an entry takes besides its content: key, facts, witnesses, a memo of one (measured, rounded
# up).
_OVERHEAD = 4096
_MEMO_BYTES = 2048  # of these, for the memo


class _Kept(Entry):
    """An entry of the cache: what it costs in octets, and the lookups that find it."""

    __slots__ = ("cost", "lookups", "memo_bytes")

    def __init__(self, found: Opened, turn: Turn) -> None:
        super().__init__(found, found.witnesses, turn)
        self.cost = len(found.content or b"") + _OVERHEAD
        self.memo_bytes = _MEMO_BYTES
        self.lookups: list[Lookup] = []


class Cached:
    """A source with a memory, bounded in octets.

    What has not been used since it was last considered goes first, the oldest before the others
    (second chance: a use costs no reordering). What has but one representation is remembered once,
    whatever codings are asked for.

    Args:
        source: what is asked on a miss.
        capacity: octets of content and book-keeping together.
        path: the tree that it asks.
    """

    def __init__(self, source: Source, capacity: int, path: str) -> None:
        self._source = source
        self._capacity = capacity
        self._used = 0
        self._entries: dict[Lookup, _Kept] = {}
        self._oldest_first: OrderedDict[_Kept, None] = OrderedDict()
        self._turn = Turn()
        self._handles = KeptHandles(self._turn)
        self._absent = AbsentNames(path, self._turn)

    def open_nowait(self, lookup: Lookup) -> Found | None:
        """Answer from memory, else from the source, without waiting."""
        if not lookup.available:  # an available lookup may have cached the same segments
            return Absence.MISSING
        kept = self._handles.get(lookup)
        if kept is not None:
            return kept
        entry = self._entries.get(lookup) or self._of_any_coding(lookup)
        if entry is not None:
            remembered = entry.recall()
            if remembered is not None:
                return remembered
            self._forget(entry)
        elif (absent := self._absent.get(lookup.segments)) is not None:
            if absent.recall():
                return Absence.MISSING
            self._absent.forget(lookup.segments)
        found = self._source.open_nowait(lookup)
        if found is Absence.OVERLOADED and self._handles.close_all():
            found = self._source.open_nowait(lookup)
        return found if found is None else self._remembered(lookup, found)

    def entry_of(self, lookup: Lookup) -> Entry | None:
        """Return the entry that a lookup was answered from."""
        if not lookup.available:
            return None
        present = self._entries.get(lookup) or self._entries.get(_any_coding(lookup))
        return present or self._absent.get(lookup.segments)

    async def open(self, lookup: Lookup) -> Found:
        """Ask the source, after `open_nowait` could not answer."""
        if not lookup.available:
            return Absence.MISSING
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

    def _of_any_coding(self, lookup: Lookup) -> _Kept | None:
        """Find what has no other representation, and be found at once the next time."""
        entry = self._entries.get(_any_coding(lookup))
        if entry is not None and len(entry.lookups) < _MOST_NAMES:
            self._name(entry, lookup)
        return entry

    def _name(self, entry: _Kept, lookup: Lookup) -> None:
        self._entries[lookup] = entry
        entry.lookups.append(lookup)

    def _remembered(self, lookup: Lookup, found: Found) -> Found:
        if found is Absence.MISSING:
            self._absent.note(lookup.segments)
        if not isinstance(found, Opened) or not found.witnesses:
            return found
        if found.content is None:
            self._handles.keep(lookup, found)
            return found
        if not found.representation.negotiable:
            lookup = _any_coding(lookup)
        if (before := self._entries.get(lookup)) is not None:
            self._forget(before)
        entry = _Kept(found, self._turn)
        self._name(entry, lookup)
        self._oldest_first[entry] = None
        self._used += entry.cost
        self._make_room()
        found.charge = partial(self._charge, entry)
        return found

    def _charge(self, entry: _Kept, memo_bytes: int) -> None:
        """Account for what the memo of an entry takes now, if the entry is still here."""
        if entry in self._oldest_first:
            more = max(memo_bytes, _MEMO_BYTES) - entry.memo_bytes
            entry.memo_bytes += more
            entry.cost += more
            self._used += more
            self._make_room()

    def _make_room(self) -> None:
        while self._used > self._capacity:
            self._consider(next(iter(self._oldest_first)))

    def _consider(self, entry: _Kept) -> None:
        """Let an entry go, unless it was used since it was last considered."""
        if entry.used:
            entry.used = False
            self._oldest_first.move_to_end(entry)
        else:
            self._forget(entry)

    def _forget(self, entry: _Kept) -> None:
        entry.forget()
        del self._oldest_first[entry]
        self._used -= entry.cost
        for lookup in entry.lookups:
            if self._entries.get(lookup) is entry:
                del self._entries[lookup]


def _any_coding(lookup: Lookup) -> Lookup:
    return Lookup(lookup.segments, lookup.directory, _ANY)
