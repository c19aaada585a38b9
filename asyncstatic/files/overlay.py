"""Several sources as one: a file that the first does not have is looked up in the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from asyncstatic.files.source import Found, Opened, Source
from asyncstatic.http.model import Absence, Lookup


class Overlay:
    """A source made of others, which are asked in order for every lookup.

    The first result other than "missing" counts, also a refusal. Caches belong into the single
    sources: then a file that appears in an earlier source hides that of a later one at once. So
    what a later one has is returned without its cache entry, which does not prove that the earlier
    ones still lack the name.

    Args:
        sources: the first one is on top.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = tuple(sources)

    def open_nowait(self, lookup: Lookup) -> Found | None:
        """Look a file up without waiting for the disk; None when that is impossible.

        None also for a page of a later source that is to be redirected: see `_behind`.
        """
        for position, source in enumerate(self._sources):
            found = source.open_nowait(lookup)
            if found is Absence.MISSING:
                continue
            if position == 0 or not isinstance(found, Opened):
                return found
            if found.representation.moved_to:
                found.close()
                return None
            return replace(found, entry=None)
        return Absence.MISSING

    async def open(self, lookup: Lookup) -> Found:
        for position, source in enumerate(self._sources):
            found = source.open_nowait(lookup) or await source.open(lookup)
            if found is Absence.MISSING:
                continue
            if position == 0 or not isinstance(found, Opened):
                return found
            return await _behind(self._sources[:position], lookup, found)
        return Absence.MISSING

    def close(self) -> None:
        for source in self._sources:
            source.close()


async def _behind(earlier: Sequence[Source], lookup: Lookup, found: Opened) -> Opened:
    """Return what a later source has; not as moved to a URL where an earlier one has something."""
    facts = found.representation
    try:
        if facts.moved_to and await _have(earlier, _target_of(lookup, facts.moved_to)):
            facts = facts._replace(moved_to="")
    except BaseException:
        found.close()
        raise
    return replace(found, representation=facts, entry=None)


async def _have(sources: Sequence[Source], lookup: Lookup) -> bool:
    """Tell whether one of the sources has anything under a name."""
    for source in sources:
        found = source.open_nowait(lookup) or await source.open(lookup)
        if isinstance(found, Opened):
            found.close()
        if found is not Absence.MISSING:
            return True
    return False


def _target_of(lookup: Lookup, reference: str) -> Lookup:
    """Return the lookup of a reference such as ``../about`` (`Representation.moved_to`)."""
    names = list(lookup.segments if lookup.directory else lookup.segments[:-1])
    for name in reference.rstrip("/").split("/"):
        if name == "..":
            names.pop()
        elif name != ".":
            names.append(name)
    return lookup._replace(segments=tuple(names), directory=reference.endswith("/"))
