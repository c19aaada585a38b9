"""Files of the tree before the present one: still there, for a while after a deploy.

A page that was loaded just before a deploy asks just after it for scripts and pictures by names
(``app.3f2a1b9c.js``) that the new release may not have. What is missing is looked for in the tree
before, beneath the handle that was held of it, by the same resolver and the same rules.

Only files, by their own names: no index, no redirect to a directory, no answer by which a new
page could be built from old ones. Such an answer has no witnesses: it is never kept.
"""

from __future__ import annotations

from asyncstatic.files.directory import Directory
from asyncstatic.files.listing import DirectoryNames
from asyncstatic.files.root import OneTree, Tree
from asyncstatic.files.source import Found, Opened
from asyncstatic.files.witness import Witness
from asyncstatic.http.model import Absence, Folder, Lookup


class WithPrevious:
    """A source that has, for `previous_root_grace` seconds, what only the tree before has.

    Args:
        present: the directory, whose root may be replaced.
    """

    def __init__(self, present: Directory) -> None:
        self._present = present

    def open_nowait(self, lookup: Lookup) -> Found | None:
        """Answer without waiting for a disk; None when that cannot be."""
        found = self._present.open_nowait(lookup)
        before = self._before(lookup, found)
        return found if before is None else _file(before.open_nowait(lookup))

    async def open(self, lookup: Lookup) -> Found:
        """Answer, waiting in a thread where that is needed."""
        found = await self._present.open(lookup)
        before = self._before(lookup, found)
        return found if before is None else _file(await before.open(lookup)) or Absence.MISSING

    def close(self) -> None:
        """Give back everything that is held open."""
        self._present.close()

    def _before(self, lookup: Lookup, found: Found | None) -> Directory | None:
        """The tree before, where there is one and it may have what is missing."""
        if found is not Absence.MISSING or lookup.directory:
            return None
        tree = self._present.previous_tree()
        return None if tree is None else _Before(self._present, tree)


class _Before(Directory):
    """The same directory beneath the tree before: one pool, one memory of dates and digests.

    Made for one lookup, which so holds the tree until it ends.
    """

    def __init__(self, present: Directory, tree: Tree) -> None:
        vars(self).update(vars(present))
        self._resolver = self._resolver.beneath(OneTree(tree, present.path))
        self._names = DirectoryNames(self._resolver)
        self._begun = None

    def _directory_witness(self, segments: tuple[str, ...], nowait: bool) -> Witness:
        """The directory of this tree: its path leads into another one."""
        return Witness(self.path, self._identity_beneath(segments[:-1], nowait))


def _file(found: Found | None) -> Found | None:
    """What may be answered from the tree before, as it may be."""
    if isinstance(found, Folder):
        return Absence.MISSING
    if isinstance(found, Opened):
        found.witnesses = ()
    return found
