"""Several directories as one: what the first does not have, the next may."""

from __future__ import annotations

from collections.abc import Sequence

from asyncstatic.files.source import Found, Source
from asyncstatic.http.model import Absence, Lookup


class Overlay:
    """A source made of others, asked in their order each time.

    Whatever one of them answers counts, a refusal included; only what is missing there is looked
    for in the next. Memories belong into the sources: a file that appears in an earlier one hides
    that of a later one at once.

    Args:
        sources: the first one is on top.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = tuple(sources)

    def open_nowait(self, lookup: Lookup) -> Found | None:
        """Answer without waiting for a disk; None when that cannot be."""
        for source in self._sources:
            found = source.open_nowait(lookup)
            if found is not Absence.MISSING:
                return found
        return Absence.MISSING

    async def open(self, lookup: Lookup) -> Found:
        """Answer, waiting in a thread where that is needed."""
        for source in self._sources:
            found = source.open_nowait(lookup)
            if found is None:
                found = await source.open(lookup)
            if found is not Absence.MISSING:
                return found
        return Absence.MISSING

    def close(self) -> None:
        """Give back everything that is held open."""
        for source in self._sources:
            source.close()
