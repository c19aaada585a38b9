"""The entries of an archive, for listings. Nothing is unpacked."""

from __future__ import annotations

import errno
from itertools import islice
from typing import TYPE_CHECKING

from asyncstatic.files.root import Segments, fault
from asyncstatic.files.tree import Entry
from asyncstatic.files.zip_format import Member

if TYPE_CHECKING:
    from asyncstatic.files.zip_tree import Archive


class ZipEntries:
    """The part of `ZipTree` that lists: see `TreeReader`."""

    if TYPE_CHECKING:  # of ZipTree
        _below: Segments

        @property
        def _archive(self) -> Archive: ...

    def entries(self, directory: Segments, limit: int, *, sized: bool) -> list[Entry]:
        """Return the members and directories in a directory, `limit` at most."""
        found = self._archive.find((*self._below, *directory))
        if isinstance(found, Member):
            raise fault(errno.ENOTDIR)
        each = (self.entry((*directory, name)) for name in tuple(found))
        return list(islice(filter(None, each), limit))

    def entry(self, segments: Segments) -> Entry | None:
        """Return a member or a directory; None for a name that is not served."""
        archive = self._archive
        try:
            found = archive.find((*self._below, *segments))
        except FileNotFoundError:
            return None
        if isinstance(found, Member):
            return Entry(segments[-1], False, found.size, found.modified_ns)
        return Entry(segments[-1], True, 0, archive.identity.mtime_ns)
