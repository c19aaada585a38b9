"""Files of the tree that a deploy has replaced, for a while.

A page that was loaded just before a deploy requests scripts and images just after it, by names
(``app.3f2a1b9c.js``) that the new release may not have. A missing name is looked up in the previous
tree, beneath its handle that is still open, by the same resolver and the same rules.

Only files are served, by their own names: no index and no redirect to a directory, since a new page
must not be built from old ones. Such an answer has no stamps, so it is never cached.
"""

from __future__ import annotations

from asyncstatic.files.source import Found, Opened
from asyncstatic.files.tree_source import TreeSource
from asyncstatic.http.model import Absence, Folder, Lookup


class WithPrevious:
    """A source that has, for `previous_root_grace` seconds, the files of the previous tree too.

    Args:
        present: the tree, which may be replaced.
    """

    def __init__(self, present: TreeSource) -> None:
        self._present = present

    def open_nowait(self, lookup: Lookup) -> Found | None:
        """Look a file up without waiting for the disk; None when that is impossible."""
        found = self._present.open_nowait(lookup)
        return None if self._may_be_previous(lookup, found) else found

    async def open(self, lookup: Lookup) -> Found:
        """Look a file up, and wait for the disk in a thread if necessary."""
        found = await self._present.open(lookup)
        if not self._may_be_previous(lookup, found):
            return found
        return _file(await self._present.open_previous(lookup))

    def close(self) -> None:
        """Close the tree."""
        self._present.close()

    def _may_be_previous(self, lookup: Lookup, found: Found | None) -> bool:
        missing = found is Absence.MISSING and lookup.available and not lookup.directory
        return missing and self._present.has_previous()


def _file(found: Found) -> Found:
    """Return a file of the previous tree without its stamps; every other result is missing."""
    if isinstance(found, Folder):
        return Absence.MISSING
    if isinstance(found, Opened):
        found.dependencies = ()
    return found
