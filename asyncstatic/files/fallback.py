"""Fallbacks: the pages of a site that are sent for names without a file of their own.

The shell of a single-page app answers a navigation to a missing name. An error page, such as the
site's ``404.html``, is sent with the status of the error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from asyncstatic.files.root import Segments
from asyncstatic.files.source import Found, Opened, Source
from asyncstatic.http.model import Absence, Lookup

#: Begins a page that is looked for in the directory of the missing name, then up the tree.
NEAREST = "**/"
_DEEPEST = 16  # directories in which the nearest page is looked for, counted from the root


class Fallbacks:
    """A `Source` that returns a page of the site for names that another source does not have.

    A page is looked up like any file, with its codings, so it follows a deploy. If the root does
    not have the page either, the outcome stays what it was.

    Args:
        source: is asked first.
        shell: the path below the root of the page for missing names where `Lookup.navigation` is
            set; none if "".
        pages: the paths of error pages below the root by status; with "**/" in front the nearest
            one, from the directory of the missing name up to the root.
        statuses: the status of the answer to each absence; equal where two must look alike.
        allowed: the name policy, asked about the directories of the nearest page.
    """

    def __init__(
        self,
        source: Source,
        shell: str,
        pages: Mapping[int, str],
        statuses: Mapping[Absence, int],
        allowed: Callable[[Segments], bool],
    ) -> None:
        self._source = source
        self._shell = tuple(shell.split("/")) if shell else ()
        self._pages = pages
        self._statuses = statuses
        self._allowed = allowed

    def open_nowait(self, lookup: Lookup) -> Found | None:
        found = self._source.open_nowait(lookup)
        if not isinstance(found, Absence):
            return found
        for segments, status in self._fallbacks(found, lookup):
            page = self._source.open_nowait(Lookup(segments, False, lookup.codings))
            if page is None:
                return None
            if isinstance(page, Opened):
                return _instead(page, status)
        return found

    async def open(self, lookup: Lookup) -> Found:
        found = await self._source.open(lookup)
        return await self.instead_of(found, lookup) if isinstance(found, Absence) else found

    async def instead_of(self, absence: Absence, lookup: Lookup) -> Found:
        """Return the page that is sent for an absence, or the absence if there is no page."""
        for segments, status in self._fallbacks(absence, lookup):
            wanted = Lookup(segments, False, lookup.codings)
            page = self._source.open_nowait(wanted) or await self._source.open(wanted)
            if isinstance(page, Opened):
                return _instead(page, status)
        return absence

    def close(self) -> None:
        self._source.close()

    def _fallbacks(self, absence: Absence, lookup: Lookup) -> Iterator[tuple[Segments, int]]:
        """Yield the pages to try, best first, with the status of each."""
        status = self._statuses[absence]
        if lookup.navigation and self._shell and status == 404:
            yield self._shell, 200
        page = self._pages.get(status, "")
        if not page:
            return
        names = tuple(page.removeprefix(NEAREST).split("/"))
        if page.startswith(NEAREST):
            directory = lookup.segments if lookup.directory else lookup.segments[:-1]
            for depth in range(min(len(directory), _DEEPEST), 0, -1):
                if self._allowed(directory[:depth]):
                    yield (*directory[:depth], *names), status
        yield names, status


def _instead(page: Opened, status: int) -> Opened:
    """Mark a page as a fallback, without its cache entry: that is for the page's own name."""
    facts = page.representation._replace(fallback=status)
    return replace(page, representation=facts, entry=None)


async def page_with(status: int, lookup: Lookup, source: Source) -> Opened | None:
    """Return the site's own page for a status, if the source has fallbacks and this is one."""
    if not isinstance(source, Fallbacks):
        return None
    page = await source.instead_of(Absence(status), lookup._replace(navigation=False))
    if not isinstance(page, Opened):
        return None
    if page.representation.fallback == status:
        return page
    page.close()
    return None
