"""The not-found page: a site's own ``404.html``, sent for every missing name."""

from __future__ import annotations

from dataclasses import replace

from asyncstatic.files.source import Found, Opened, Source
from asyncstatic.http.model import Absence, Lookup


class NotFoundPage:
    """A source that returns the not-found page for names that another source does not have.

    The page is looked up like any file, with its codings, so it follows a deploy. If the root does
    not have the page either, the name stays missing.

    Args:
        source: is asked first.
        page: the path of the page below the root.
        missing: the absences that get the page; several where they must look alike.
    """

    def __init__(self, source: Source, page: str, missing: frozenset[Absence]) -> None:
        self._source = source
        self._segments = tuple(page.split("/"))
        self._missing = missing

    def open_nowait(self, lookup: Lookup) -> Found | None:
        """Look a file up without waiting for the disk; None when that is impossible."""
        found = self._source.open_nowait(lookup)
        if not self._is_missing(found):
            return found
        page = self._source.open_nowait(self._page_for(lookup))
        return None if page is None else _standing_in(page)

    async def open(self, lookup: Lookup) -> Found:
        """Look a file up, and wait for the disk in a thread if necessary."""
        found = await self._source.open(lookup)
        if not self._is_missing(found):
            return found
        page_lookup = self._page_for(lookup)
        page = self._source.open_nowait(page_lookup)
        return _standing_in(page or await self._source.open(page_lookup))

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _is_missing(self, found: Found | None) -> bool:
        return isinstance(found, Absence) and found in self._missing

    def _page_for(self, lookup: Lookup) -> Lookup:
        return Lookup(self._segments, False, lookup.codings)


def _standing_in(page: Found) -> Found:
    """Mark the page as the not-found page, without its cache entry: that is for the page itself."""
    if not isinstance(page, Opened):
        return Absence.MISSING
    facts = page.representation._replace(is_not_found_page=True)
    return replace(page, representation=facts, entry=None)
