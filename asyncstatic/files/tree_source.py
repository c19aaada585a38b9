"""A tree as a source.

One lookup: open the name, `fstat` the open file, and use only that handle from then on. The same
selection runs on the event loop, without waiting, and in the pool, where it may wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from asyncstatic.files.contents import Contents
from asyncstatic.files.handle import ReadBegunError
from asyncstatic.files.pool import Pool, PoolBusyError
from asyncstatic.files.root import Segments, release
from asyncstatic.files.select import Selection
from asyncstatic.files.sidecar import SUFFIXES, sidecar_of
from asyncstatic.files.source import Found, Opened, absence_of, is_missing
from asyncstatic.files.tree import TreeReader
from asyncstatic.http.model import Absence, Lookup
from asyncstatic.settings import Settings

_READ_TAKES = (0.0003, 0.001)  # seconds: a flash disk, and a busy one


class TreeSource:
    """Serves the files of a tree.

    Args:
        tree: the names and files, read without waiting; closed with the source.
        settings: index, precompressed, etag and limits are used.
        allowed: the name policy; asked about names that the request did not name itself: index
            files, sidecars.

    Attributes:
        tree: the argument.
    """

    def __init__(
        self, tree: TreeReader, settings: Settings, allowed: Callable[[Segments], bool]
    ) -> None:
        self.tree = tree
        self._pool = Pool(settings.limits.pool_threads, settings.limits.pool_timeout)
        self._contents = Contents(settings, self._pool)
        self._selection = partial(Selection, settings, allowed, contents=self._contents)
        self._at_once = self._selection(tree)
        self._in_pool = self._selection(tree.waiting())
        self._begun: Lookup | None = None

    def open_nowait(self, lookup: Lookup) -> Found | None:
        """Look a file up in the kernel's caches only; None when that is impossible."""
        self._begun = None
        try:
            return _find(self._at_once, lookup)
        except ReadBegunError:
            self._begun = lookup
        except BlockingIOError:
            pass
        return None

    async def open(self, lookup: Lookup) -> Found:
        """Look a file up, and wait for the disk in the pool.

        If the kernel has begun to read the file, this first waits a moment on the event loop: a hop
        to a thread and back costs more than a small read.
        """
        if self._begun is lookup:
            for seconds in _READ_TAKES:
                await asyncio.sleep(seconds)
                found = self.open_nowait(lookup)
                if found is not None:
                    return found
        return await self._wait_for(self._in_pool, lookup)

    async def open_previous(self, lookup: Lookup) -> Found:
        """Look a file up in the tree that a deploy has replaced, while its grace lasts.

        The lookup keeps the tree open until it ends.
        """
        previous = self.tree.previous()
        if previous is None:
            return Absence.MISSING
        return await self._wait_for(self._selection(previous), lookup)

    def has_previous(self) -> bool:
        """Tell whether the grace of a replaced tree lasts."""
        return self.tree.previous() is not None

    def has_file(self, segments: Segments) -> bool:
        """Tell whether there is a file, or a sidecar of it; may wait for the disk."""
        tree = self.tree.waiting()
        for name in (segments, *(sidecar_of(segments, coding) for coding in SUFFIXES)):
            with suppress(OSError):
                release(tree.open_file(name).fd)
                return True
        return False

    def close(self) -> None:
        """Close the tree, and end the threads."""
        self._pool.close()
        self._contents.close()
        self.tree.close()

    async def _wait_for(self, selection: Selection, lookup: Lookup) -> Found:
        try:
            return await self._pool.run(_find, selection, lookup, discard=_close_found)
        except PoolBusyError:
            return Absence.OVERLOADED


def _find(selection: Selection, lookup: Lookup) -> Found:
    """Find a file in the tree that the root leads to now.

    Raises:
        BlockingIOError: the lookup would have to wait, and the tree does not wait.
    """
    if not lookup.available:
        return Absence.MISSING
    tree = selection.tree
    try:
        return tree.find(lookup, partial(_find_or_missing, selection))
    except OSError as error:
        if tree.nowait and isinstance(error, BlockingIOError):
            raise
        return absence_of(error)


def _find_or_missing(selection: Selection, lookup: Lookup) -> Found:
    try:
        return selection.find(lookup)
    except OSError as error:
        if not is_missing(error):
            raise
        return Absence.MISSING


def _close_found(found: Found) -> None:
    if isinstance(found, Opened):
        found.close()
