"""Several sources as one: a file that the first does not have is looked up in the next."""

from __future__ import annotations

from collections.abc import Sequence

from asyncstatic.files.source import Found, Source
from asyncstatic.http.model import Absence, Lookup


class Overlay:
    """A source made of others, which are asked in order for every lookup.

    The first result other than "missing" counts, also a refusal. Caches belong into the single
    sources: then a file that appears in an earlier source hides that of a later one at once.

    Args:
        sources: the first one is on top.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = tuple(sources)

    def open_nowait(self, lookup: Lookup) -> Found | None:
        """Look a file up without waiting for the disk; None when that is impossible."""
        for source in self._sources:
            found = source.open_nowait(lookup)
            if found is not Absence.MISSING:
                return found
        return Absence.MISSING

    async def open(self, lookup: Lookup) -> Found:
        """Look a file up, and wait for the disk in a thread if necessary."""
        for source in self._sources:
            found = source.open_nowait(lookup)
            if found is None:
                found = await source.open(lookup)
            if found is not Absence.MISSING:
                return found
        return Absence.MISSING

    def close(self) -> None:
        """Close all sources."""
        for source in self._sources:
            source.close()
