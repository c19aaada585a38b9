"""A page of the root that stands in for what is missing: a site's own ``404.html``."""

from __future__ import annotations

from dataclasses import replace

from asyncstatic.files.source import Found, Opened, Source
from asyncstatic.http.model import Absence, Lookup


class StandIn:
    """A source that has one page for all that another has not.

    The page is looked up like any file, negotiated codings included, so it follows a deploy.
    Where the root does not have it either, what is missing stays missing.

    Args:
        source: what is asked first.
        page: the name of the page below the root.
        missing: what counts as missing; more than one where they must look alike.
    """

    def __init__(self, source: Source, page: str, missing: frozenset[Absence]) -> None:
        self._source = source
        self._segments = tuple(page.split("/"))
        self._missing = missing

    def open_nowait(self, lookup: Lookup) -> Found | None:
        """Answer without waiting for a disk; None when that cannot be."""
        found = self._source.open_nowait(lookup)
        if not self._is_missing(found):
            return found
        page = self._source.open_nowait(self._page_for(lookup))
        return None if page is None else _standing_in(page)

    async def open(self, lookup: Lookup) -> Found:
        """Answer, waiting in a thread where that is needed."""
        found = await self._source.open(lookup)
        if not self._is_missing(found):
            return found
        page_lookup = self._page_for(lookup)
        page = self._source.open_nowait(page_lookup)
        return _standing_in(page or await self._source.open(page_lookup))

    def close(self) -> None:
        """Give back everything that is held open."""
        self._source.close()

    def _is_missing(self, found: Found | None) -> bool:
        return isinstance(found, Absence) and found in self._missing

    def _page_for(self, lookup: Lookup) -> Lookup:
        return Lookup(self._segments, False, lookup.codings)


def _standing_in(page: Found) -> Found:
    """The page as a stand-in: without its cache entry, which answers for the page itself."""
    if not isinstance(page, Opened):
        return Absence.MISSING
    facts = page.representation._replace(stands_in=True)
    return replace(page, representation=facts, entry=None)
