"""A directory as a tree: names are opened below the root by a resolver."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from functools import partial
from itertools import islice

from asyncstatic.files import kernel
from asyncstatic.files.dependency import DirectoryStamps, FileStamp
from asyncstatic.files.directory_names import DirectoryNames
from asyncstatic.files.handle import identity_of
from asyncstatic.files.resolver import Resolver, choose_resolver
from asyncstatic.files.root import RootHandle, Segments, TreeHandle
from asyncstatic.files.sidecar import CLEAN_SUFFIXES
from asyncstatic.files.source import Found, is_forbidden, is_missing
from asyncstatic.files.spelling import from_os
from asyncstatic.files.tree import DirectoryEntry, File
from asyncstatic.http.model import SUFFIXES, Absence, Identity, Lookup
from asyncstatic.settings import Settings

_NOBODY_MAY_READ = 0o444
_RENEWALS = 10  # deploys, one right after another, during one lookup


def open_directory(
    settings: Settings,
    allowed: Callable[[Segments], bool],
    *,
    recheck: float = 0.25,
    monotonic: Callable[[], float] = time.monotonic,
) -> DirectoryTree:
    """Open the directory that is the root, for lookups that do not wait.

    Args:
        settings: root, symlinks, resolver and previous_root_grace are used.
        allowed: the name policy; asked about the targets of links.
        recheck: seconds between two checks of where the root leads.
        monotonic: the clock, in seconds.

    Raises:
        OSError: the root is missing, is not a directory, or cannot be read.
        ValueError: the chosen resolver does not work here.
    """
    grace = settings.previous_root_grace
    root = RootHandle(settings.root, recheck=recheck, grace=grace, monotonic=monotonic)
    try:
        resolver = choose_resolver(
            root, symlinks=settings.symlinks, allowed=allowed, prefer=settings.resolver
        )
    except BaseException:
        root.close()
        raise
    stamps = DirectoryStamps(_path_of(root))
    return DirectoryTree(resolver, stamps, clean_urls=settings.clean_urls)


def _path_of(root: RootHandle) -> str:
    """Return the absolute path of a root.

    It has no dot segments, unless it leads elsewhere without them: ".." behind a link may.
    """
    path = os.path.abspath(root.path)
    with suppress(OSError):
        if root.tree().is_at(path):
            return path
    return root.path


class DirectoryTree:
    """A tree on disk, read through a resolver; `TreeReader` describes its methods.

    Args:
        resolver: opens names below the root.
        stamps: examines directories by their paths.
        nowait: whether this reader never waits for a disk.
        tree: the tree before a deploy; None for the tree that the root leads to now. No path leads
            to an earlier tree, so its directories are examined by their handles.
        clean_urls: whether ``about.html`` is found under the name ``about`` as well.
    """

    def __init__(
        self,
        resolver: Resolver,
        stamps: DirectoryStamps,
        *,
        nowait: bool = True,
        tree: TreeHandle | None = None,
        clean_urls: bool = False,
    ) -> None:
        self.nowait = nowait
        self.path = stamps.path_of(())
        self.path_of = stamps.path_of
        self.resolver_name = resolver.name
        self._resolver = resolver
        self._stamps = stamps
        suffixes = (*SUFFIXES.values(), *(CLEAN_SUFFIXES if clean_urls else ()))
        opens = partial(resolver.open, tree=tree)
        self._names = DirectoryNames(opens, stamps, suffixes)
        self._tree = tree

    def waiting(self) -> DirectoryTree:
        reader = copy(self)
        reader.nowait = False
        return reader

    def find(self, lookup: Lookup, select: Callable[[Lookup], Found]) -> Found:
        """Find a file, or prove it missing from the tree that the root leads to now.

        The root's handle is renewed a few times a second; a deploy may delete the old tree at once.
        """
        if self._tree is not None:
            return select(lookup)
        if self._names.tell_missing(lookup.segments):
            return Absence.MISSING
        root = self._resolver.root
        for _ in range(_RENEWALS):
            tree = root.tree(cached_only=self.nowait)
            found = select(lookup)
            if found is not Absence.MISSING or root.leads_to(tree):
                break
            root.renew(cached_only=self.nowait)
        if found is Absence.MISSING:
            self._names.learn_missing(lookup.segments, nowait=self.nowait)
        return found

    def previous(self) -> DirectoryTree | None:
        tree = self._resolver.root.previous() if self._tree is None else None
        if tree is None:
            return None
        return DirectoryTree(self._resolver, self._stamps, nowait=False, tree=tree)

    def open_file(self, segments: Segments, coding: str = "identity") -> File:
        fd, status = self._open(segments)
        if stat.S_ISDIR(status.st_mode):
            kernel.release(fd)
            raise kernel.fault(errno.EISDIR)
        return File(fd, identity_of(status), coding)

    def _open(self, segments: Segments) -> tuple[int, os.stat_result]:
        """Open a regular file or a directory; ENOENT for other kinds."""
        fd = self._resolver.open(segments, cached_only=self.nowait, tree=self._tree)
        try:
            status = kernel.fstat(fd)
            if stat.S_ISDIR(status.st_mode):
                return fd, status
            if not stat.S_ISREG(status.st_mode):
                raise kernel.fault(errno.ENOENT)
            # Root can read every file; a file without any read bit is hidden from clients anyway.
            if not status.st_mode & _NOBODY_MAY_READ and os.name == "posix":
                raise kernel.fault(errno.EACCES)
        except BaseException:
            kernel.release(fd)
            raise
        return fd, status

    def stamp(self, directory: Segments) -> FileStamp:
        if self._tree is None:
            try:
                return self._stamps.of(directory)
            except FileNotFoundError:  # for instance between the two renames of a deploy
                pass
        fd = self._resolver.open(directory, cached_only=self.nowait, tree=self._tree)
        try:
            return FileStamp(self.path_of(directory), identity_of(kernel.fstat(fd)))
        finally:
            kernel.release(fd)

    def names(self, directory: Segments, identity: Identity) -> frozenset[str] | None:
        return self._names.of(directory, identity, nowait=self.nowait)

    def entries(self, directory: Segments, limit: int, *, sized: bool) -> list[DirectoryEntry]:
        fd = self._resolver.open(directory, tree=self._tree)
        try:
            with kernel.scandir_fd(fd) as found:
                each = (self._entry(fd, directory, entry, sized) for entry in found)
                return list(islice(filter(None, each), limit))
        finally:
            kernel.release(fd)

    def _entry(
        self, fd: int, directory: Segments, found: os.DirEntry[str], sized: bool
    ) -> DirectoryEntry | None:
        """Return an entry; None for a device, a file that has vanished, or a link that leads nowhere."""
        name = from_os(found.name)
        if found.is_symlink():
            target = self.entry((*directory, name))
            return target._replace(is_link=True) if target else None
        is_directory = found.is_dir(follow_symlinks=False)
        if not is_directory and not found.is_file(follow_symlinks=False):
            return None
        if not sized:
            return DirectoryEntry(name, is_directory)
        try:
            status = kernel.lstat_at(fd, name)
        except FileNotFoundError:
            return None
        return DirectoryEntry(name, is_directory, status.st_size, status.st_mtime_ns)

    def entry(self, segments: Segments) -> DirectoryEntry | None:
        """Open a name, as a request would, and return its entry."""
        try:
            fd, status = self._open(segments)
        except OSError as error:
            if is_missing(error) or is_forbidden(error):
                return None
            raise
        kernel.release(fd)
        is_directory = stat.S_ISDIR(status.st_mode)
        size = 0 if is_directory else status.st_size
        return DirectoryEntry(segments[-1], is_directory, size, status.st_mtime_ns)

    def close(self) -> None:
        self._resolver.root.close()
