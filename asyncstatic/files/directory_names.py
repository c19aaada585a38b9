"""The names in the directories of a tree.

A directory is read once for each identity it has: adding or removing a name changes its times
(inode(7)). The names tell which sidecars exist and which files are missing, without asking the
kernel. (With RESOLVE_CACHED the kernel cannot answer for a missing name: a thread would have to ask.)
"""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from threading import Lock
from typing import NamedTuple

from asyncstatic.files import kernel
from asyncstatic.files.dependency import DirectoryStamps, FileStamp, are_unchanged
from asyncstatic.files.handle import identity_of
from asyncstatic.files.root import Segments
from asyncstatic.files.spelling import from_os
from asyncstatic.http.model import Identity

_LARGEST = 50_000  # names in one directory; reading them takes about 25 ms, in the pool
_MOST = 200_000  # names in all directories; each takes about 110 bytes
_READ_AGAIN_AFTER = 1.0  # seconds


class KnownNames(NamedTuple):
    """The names in one directory, as it was when it was read.

    Attributes:
        stamp: of the directory.
        names: None when there are too many or they may not be read: each is looked up then.
        complete: whether a name that is not in `names` cannot be opened; False where the file
            system ignores case.
        read_at: the time of the reading, in seconds (`time.monotonic`).
    """

    stamp: FileStamp
    names: frozenset[str] | None
    complete: bool
    read_at: float


class DirectoryNames:
    """Reads directories and holds their names, bounded in number.

    A directory that changes all the time is read once a second at most. Safe to call from several
    threads at once.

    Args:
        open_directory: opens a directory of the tree, and may wait for the disk.
        stamps: examines directories by their paths. Where these lead to another tree, names must
            not be proven missing.
        suffixes: a name is not missing where one with such a suffix is there.
    """

    def __init__(
        self,
        open_directory: Callable[[Segments], int],
        stamps: DirectoryStamps,
        suffixes: Sequence[str],
    ) -> None:
        self._suffixes = suffixes
        self._open_directory = open_directory
        self._stamps = stamps
        self._known: dict[Segments, KnownNames] = {}
        self._size = 0
        self._lock = Lock()

    def tell_missing(self, segments: Segments) -> bool:
        """Prove by the directories on the way that a name and what may stand for it are missing.

        Each directory is proven unchanged by stat(2); no other system call is made, and none for a
        name that is there.
        """
        way = []
        for depth, name in enumerate(segments):
            known = self._known.get(segments[:depth])
            if known is None or known.names is None or not known.complete:
                return False
            way.append(known.stamp)
            if name not in known.names:
                is_last = depth == len(segments) - 1
                has_other = is_last and any(name + end in known.names for end in self._suffixes)
                return not has_other and are_unchanged(way)
        return False

    def learn_missing(self, segments: Segments, *, nowait: bool) -> None:
        """Read the directories on the way to a missing name, for `tell_missing`.

        Raises:
            BlockingIOError: with `nowait`, a directory has to be read.
        """
        try:
            for depth, name in enumerate(segments):
                directory = segments[:depth]
                identity = self._stamps.of(directory).identity
                if nowait and identity.racy(time.time_ns()):  # nothing would be held
                    return
                names = self.of(directory, identity, nowait=nowait)
                if names is None or name not in names:
                    return
        except OSError as error:
            if nowait and isinstance(error, BlockingIOError):
                raise

    def of(self, directory: Segments, identity: Identity, *, nowait: bool) -> frozenset[str] | None:
        """Return the names in a directory; None when every name has to be looked up.

        Args:
            directory: its names below the root.
            identity: of the directory, from a stat made just now.
            nowait: raise BlockingIOError rather than read the directory.

        Raises:
            OSError: the directory cannot be read.
        """
        known = self._known.get(directory)
        if known is not None and known.stamp.identity == identity:
            return known.names
        if known is not None and time.monotonic() - known.read_at < _READ_AGAIN_AFTER:
            return None
        if nowait:
            raise kernel.fault(errno.EAGAIN)
        known = self._read(directory, identity)
        if known is None:
            return None
        if not identity.racy(time.time_ns()):
            self._hold(directory, known)
        return known.names

    def _read(self, directory: Segments, identity: Identity) -> KnownNames | None:
        """Read a directory; None when its identity has changed meanwhile."""
        names, complete = None, False
        with suppress(PermissionError, NotADirectoryError):  # it may be searched only, or is a file
            fd = self._open_directory(directory)
            try:
                if identity_of(kernel.fstat(fd)) != identity:
                    return None
                with kernel.scandir_fd(fd) as entries:
                    listed = islice(entries, _LARGEST + 1)
                    found = frozenset(from_os(entry.name) for entry in listed)
                if len(found) <= _LARGEST:
                    names, complete = found, not _ignores_case(fd, found)
            finally:
                kernel.release(fd)
        stamp = FileStamp(self._stamps.path_of(directory), identity)
        return KnownNames(stamp, names, complete, time.monotonic())

    def _hold(self, directory: Segments, known: KnownNames) -> None:
        """Hold the names of a directory; drop those read first when there are too many."""
        with self._lock:
            self._drop(directory)
            self._known[directory] = known
            self._size += _size_of(known)
            while self._size > _MOST:
                self._drop(next(iter(self._known)))

    def _drop(self, directory: Segments) -> None:
        known = self._known.pop(directory, None)
        if known is not None:
            self._size -= _size_of(known)


def _size_of(known: KnownNames) -> int:
    return 10 + len(known.names or ())


def _ignores_case(fd: int, names: frozenset[str]) -> bool:
    """Tell whether the directory `fd` may open a name under another spelling.

    Linux folds case on vfat, SMB and where ext4 or F2FS are told to. A name in another case shows it.
    """
    if sys.platform != "linux":
        return True
    for name in names:
        other = name.swapcase()
        if other != name and other not in names:
            with suppress(OSError):
                kernel.lstat_at(fd, other)
                return True
            return False
    return False
