"""A directory as a source.

One lookup: open the name, `fstat` the open file, and use only that handle from then on. The same
selection runs on the event loop, without waiting, and in the pool, where it may wait.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from asyncstatic.files.contents import Contents
from asyncstatic.files.dependency import DirectoryStamps
from asyncstatic.files.handle import ReadBegunError
from asyncstatic.files.listing import DirectoryNames
from asyncstatic.files.pool import Pool, PoolBusyError
from asyncstatic.files.resolver import Resolver, choose_resolver
from asyncstatic.files.root import OneTree, Segments, Tree
from asyncstatic.files.select import Selection
from asyncstatic.files.source import Found, Opened, absence_of, is_missing
from asyncstatic.files.tree import DirectoryTree
from asyncstatic.http.model import Absence, Lookup
from asyncstatic.settings import Settings

_RENEWALS = 10  # deploys, one right after another, during one lookup
_READ_TAKES = (0.0003, 0.001)  # seconds: a flash disk, and a busy one


class Directory:
    """Serves the files below one directory.

    Args:
        settings: root, symlinks, index, precompressed, etag, resolver, previous_root_grace and
            limits are used.
        allowed: the name policy; asked about names that the request did not name itself: targets of
            links, index files, sidecars.

    Raises:
        OSError: the root is missing, is not a directory, or cannot be read.
        ValueError: the chosen resolver does not work here.
    """

    def __init__(self, settings: Settings, allowed: Callable[[Segments], bool]) -> None:
        self._settings = settings
        self._allowed = allowed
        self._resolver = choose_resolver(
            settings.root,
            symlinks=settings.symlinks,
            allowed=allowed,
            prefer=settings.resolver,
            grace=settings.previous_root_grace,
        )
        self.path = os.path.abspath(settings.root)
        self._pool = Pool(settings.limits.pool_threads, settings.limits.pool_timeout)
        self._contents = Contents(settings, self._pool)
        self._stamps = DirectoryStamps(self.path)
        self._names = DirectoryNames(self._resolver, self._stamps)
        self._at_once = self._selection(self._resolver, self._names, nowait=True)
        self._in_pool = self._selection(self._resolver, self._names, nowait=False)
        self._begun: Lookup | None = None

    @property
    def resolver_name(self) -> str:
        """The resolver that works on this root, for the start-up line."""
        return self._resolver.name

    def open_nowait(self, lookup: Lookup) -> Found | None:
        """Look a file up in the kernel's caches only; None when that is impossible."""
        self._begun = None
        try:
            return self._find(lookup, nowait=True)
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
        try:
            return await self._pool.run(self._find, lookup, False, discard=_close_found)
        except PoolBusyError:
            return Absence.OVERLOADED

    async def open_previous(self, lookup: Lookup) -> Found:
        """Look a file up in the tree that a deploy has replaced, while its grace lasts.

        The lookup keeps the tree open until it ends.
        """
        tree = self._resolver.root.previous()
        if tree is None:
            return Absence.MISSING
        try:
            return await self._pool.run(self._find_previous, tree, lookup, discard=_close_found)
        except PoolBusyError:
            return Absence.OVERLOADED

    def has_previous(self) -> bool:
        """Tell whether the grace of a replaced tree lasts."""
        return self._resolver.root.previous() is not None

    def close(self) -> None:
        """Close the root handle, and end the threads."""
        self._pool.close()
        self._contents.close()
        self._resolver.close()

    def _selection(
        self, resolver: Resolver, names: DirectoryNames, *, nowait: bool, follows_path: bool = True
    ) -> Selection:
        tree = DirectoryTree(
            resolver, self._stamps, names, nowait=nowait, follows_path=follows_path
        )
        return Selection(self._settings, self._allowed, tree, self._contents)

    def _find(self, lookup: Lookup, nowait: bool) -> Found:
        if not lookup.available or self._names.tell_missing(lookup.segments):
            return Absence.MISSING
        try:
            found = self._find_present(lookup, nowait)
            if found is Absence.MISSING:
                self._names.learn_missing(lookup.segments, nowait=nowait)
        except OSError as error:
            if nowait and isinstance(error, BlockingIOError):
                raise
            return absence_of(error)
        return found

    def _find_present(self, lookup: Lookup, nowait: bool) -> Found:
        """Find a file, or prove it missing from the tree that the root leads to now.

        The root's handle is renewed a few times a second; a deploy may delete the old tree at once.
        """
        root, selection = self._resolver.root, self._at_once if nowait else self._in_pool
        for _ in range(_RENEWALS):
            tree = root.tree(cached_only=nowait)
            found = _find_or_missing(selection, lookup)
            if found is not Absence.MISSING or root.leads_to(tree):
                break
            root.renew(cached_only=nowait)
        return found

    def _find_previous(self, tree: Tree, lookup: Lookup) -> Found:
        resolver = self._resolver.beneath(OneTree(tree, self.path))
        selection = self._selection(
            resolver, DirectoryNames(resolver), nowait=False, follows_path=False
        )
        try:
            return _find_or_missing(selection, lookup)
        except OSError as error:
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
