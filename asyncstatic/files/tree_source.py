"""A tree as a source.

One lookup: open the name, `fstat` the open file, and use only that handle from then on. The same
selection runs on the event loop, without waiting, and in the pool, where it may wait.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from asyncstatic.files import kernel
from asyncstatic.files.clean import CleanSelection
from asyncstatic.files.contents import Contents
from asyncstatic.files.handle import ReadBegunError
from asyncstatic.files.pool import Pool, PoolBusyError, Result
from asyncstatic.files.root import Segments
from asyncstatic.files.select import Selection
from asyncstatic.files.sidecar import sidecar_of
from asyncstatic.files.source import Found, Opened, absence_of
from asyncstatic.files.tree import TreeReader
from asyncstatic.http.model import SUFFIXES, Absence, DirectoryRedirect, Lookup
from asyncstatic.settings import Settings

_ROOT = Lookup((), True, ())
_WAITS = (0, 0.0003, 0.001)  # seconds before each attempt: for a flash disk, and a busy one


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
        limits = settings.limits
        self._pool = Pool(limits.pool_threads, limits.pool_timeout, tree.path)
        self._contents = Contents(settings, self._pool)
        is_plain = not settings.clean_urls and settings.trailing_slash == "auto"
        selection = Selection if is_plain else CleanSelection
        self._at_once = selection(settings, allowed, tree, self._contents)
        self._in_pool = selection(settings, allowed, tree.waiting(), self._contents)
        self._plain_selection = partial(Selection, settings, allowed, contents=self._contents)

    @property
    def waiting_calls(self) -> int:
        """Calls to the disk that wait for a thread."""
        return self._pool.waiting

    async def can_be_opened(self) -> bool:
        """Tell whether files below the root can be opened now; the pool waits for the disk."""
        try:
            await self._pool.run(self._enter_root)
        except (OSError, PoolBusyError):
            return False
        return True

    def _enter_root(self) -> None:
        try:
            kernel.stat(f"{self.tree.path}/.")  # needs search permission, as each file below does
        except NotADirectoryError:  # an archive
            self.tree.waiting().find(_ROOT, lambda _: Absence.MISSING)

    def open_nowait(self, lookup: Lookup) -> Found | None:
        """Look a file up in the kernel's caches only; None when that is impossible."""
        try:
            return self._find(self._at_once, lookup)
        except BlockingIOError:
            return None

    async def open(self, lookup: Lookup) -> Found:
        """Look a file up, and wait for the disk in the pool.

        While only the content is missing, which the kernel has begun to read, this waits a moment on
        the event loop: a hop to a thread and back costs more than a small read.
        """
        for seconds in _WAITS:
            await asyncio.sleep(seconds)
            try:
                return self._find(self._at_once, lookup)
            except ReadBegunError:
                continue
            except BlockingIOError:
                break
        return await self.in_pool(partial(self.find, lookup))

    def find(self, lookup: Lookup) -> Found:
        """Look a file up; may wait for the disk."""
        return self._find(self._in_pool, lookup)

    def has_file(self, segments: Segments) -> bool:
        """Tell whether there is a file, or a sidecar of it; may wait for the disk."""
        tree = self.tree.waiting()
        for name in (segments, *(sidecar_of(segments, coding) for coding in SUFFIXES)):
            with suppress(OSError):
                kernel.release(tree.open_file(name).fd)
                return True
        return False

    async def read(self, call: Callable[[], Result]) -> Result:
        """Call in the pool, where the disk may be waited for.

        Raises:
            PoolBusyError: no thread is free in time.
        """
        return await self._pool.run(call)

    async def in_pool(self, call: Callable[[], Found]) -> Found:
        """Find something in the pool, where the disk may be waited for."""
        return await find_in(self._pool, call)

    def close(self) -> None:
        """Close the tree, and end the threads."""
        self._pool.close()
        self._contents.close()
        self.tree.close()

    def _find(self, selection: Selection, lookup: Lookup) -> Found:
        """Find a file in the tree that the root leads to now, or else in the one before.

        Raises:
            BlockingIOError: the lookup would have to wait, and the tree does not wait.
        """
        if not lookup.available:
            return Absence.MISSING
        tree = selection.tree
        try:
            found = tree.find(lookup, selection.find_or_missing)
        except OSError as error:
            if tree.nowait and isinstance(error, BlockingIOError):
                raise
            found = absence_of(error, tree.path_of(lookup.segments))
        is_missing_file = found is Absence.MISSING and not lookup.directory
        return self._find_previous(tree, lookup) if is_missing_file else found

    def _find_previous(self, tree: TreeReader, lookup: Lookup) -> Found:
        """Find a file of the tree that a deploy has replaced, while its grace lasts.

        A page that was loaded just before a deploy requests scripts and images by names that the new
        release may not have. Only files are served, by their own names: no index and no redirect,
        since a new page must not be built from old ones. The answer has no stamps: it is not cached.
        """
        previous = tree.previous()
        if previous is None:
            return Absence.MISSING
        if tree.nowait:
            raise kernel.fault(errno.EAGAIN)
        found = self._find(self._plain_selection(previous), lookup)
        if isinstance(found, Opened):
            found.dependencies = ()
        return Absence.MISSING if isinstance(found, DirectoryRedirect) else found


async def find_in(pool: Pool, call: Callable[[], Found]) -> Found:
    """Call in a pool; OVERLOADED where no thread is free in time."""
    try:
        return await pool.run(call, discard=_close_found)
    except PoolBusyError:
        return Absence.OVERLOADED


def _close_found(found: Found) -> None:
    if isinstance(found, Opened):
        found.close()
