"""A directory tree, as the selection needs it: open a file, stamp a directory, list its names.

A tree has two modes. The mode without waiting is for the event loop: it raises BlockingIOError
where the kernel would have to read from the disk. The other mode is for threads.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple, Protocol

from asyncstatic.files import kernel
from asyncstatic.files.dependency import DirectoryStamps, FileStamp
from asyncstatic.files.handle import identity_of
from asyncstatic.files.listing import DirectoryNames
from asyncstatic.files.resolver import Resolver
from asyncstatic.files.root import Segments, fault, release
from asyncstatic.http.model import Identity

_NOBODY_MAY_READ = 0o444


class File(NamedTuple):
    """A regular file that is open; its holder closes `fd`."""

    fd: int
    identity: Identity
    coding: str


class TreeReader(Protocol):
    """The names and files of one tree. A zip or an object store can be one, too.

    Every method raises OSError as the system does, and BlockingIOError where it would have to wait
    and `nowait` is set.

    Attributes:
        nowait: whether this reader never waits for the disk.
    """

    @property
    def nowait(self) -> bool: ...

    def waiting(self) -> TreeReader:
        """Return the reader of the same tree that waits for the disk."""

    def open_file(self, segments: Segments, coding: str = "identity") -> File:
        """Open a regular file; IsADirectoryError for a directory, ENOENT for other kinds."""

    def stamp(self, directory: Segments) -> FileStamp:
        """Examine a directory: a new or removed name in it changes its stamp."""

    def names(self, directory: Segments, identity: Identity) -> frozenset[str] | None:
        """Return all names in a directory; None when each name has to be looked up."""

    def path_of(self, segments: Segments) -> str:
        """Return the path of a name, for its stamp."""


class DirectoryTree:
    """A tree on disk, read through a resolver.

    Args:
        resolver: opens names below the root.
        stamps: examines directories by their paths.
        names: lists directories.
        nowait: whether this reader never waits for a disk.
        follows_path: whether the path of the root leads to this tree. It leads elsewhere once a
            deploy has replaced the tree: then directories are examined by their handles.
    """

    def __init__(
        self,
        resolver: Resolver,
        stamps: DirectoryStamps,
        names: DirectoryNames,
        *,
        nowait: bool,
        follows_path: bool = True,
    ) -> None:
        self.nowait = nowait
        self._resolver = resolver
        self._stamps = stamps
        self._names = names
        self._follows_path = follows_path
        self.path_of = stamps.path_of

    def waiting(self) -> DirectoryTree:
        """Return the reader of the same tree that waits for the disk."""
        follows = self._follows_path
        return DirectoryTree(
            self._resolver, self._stamps, self._names, nowait=False, follows_path=follows
        )

    def open_file(self, segments: Segments, coding: str = "identity") -> File:
        """Open a regular file; IsADirectoryError for a directory, ENOENT for other kinds."""
        fd = self._resolver.open(segments, cached_only=self.nowait)
        try:
            status = kernel.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise fault(errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.ENOENT)
            # Root can read every file; a file without any read bit is hidden from clients anyway.
            if not status.st_mode & _NOBODY_MAY_READ and os.name == "posix":
                raise fault(errno.EACCES)
        except BaseException:
            release(fd)
            raise
        return File(fd, identity_of(status), coding)

    def stamp(self, directory: Segments) -> FileStamp:
        """Examine a directory: a new or removed name in it changes its stamp."""
        if self._follows_path:
            try:
                return self._stamps.of(directory)
            except FileNotFoundError:  # for instance between the two renames of a deploy
                pass
        fd = self._resolver.open(directory, cached_only=self.nowait)
        try:
            return FileStamp(self.path_of(directory), identity_of(kernel.fstat(fd)))
        finally:
            release(fd)

    def names(self, directory: Segments, identity: Identity) -> frozenset[str] | None:
        """Return all names in a directory; None when each name has to be looked up."""
        return self._names.of(directory, identity, nowait=self.nowait)
