"""Stamps: a path with its identity. A cached answer holds while all its stamps are unchanged."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from asyncstatic.files import kernel
from asyncstatic.files.bounded import BoundedDict
from asyncstatic.files.handle import identity_of
from asyncstatic.files.spelling import for_os
from asyncstatic.http.model import Identity

_DIRECTORIES = 1024  # stamps that are held


class FileStamp(NamedTuple):
    """A stamp: a path, and the identity of the file or directory that was found there."""

    path: str
    identity: Identity


def are_unchanged(dependencies: Sequence[FileStamp]) -> bool:
    """Check each path by stat(2): by name, as the next lookup would."""
    stat = kernel.stat
    for path, identity in dependencies:
        try:
            now = stat(path)
        except OSError:
            return False
        # Without an `Identity` of its own: this runs for every answer from the cache.
        if identity != (
            now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns, None,
        ):  # fmt: skip
            return False
    return True


def lasting(dependencies: tuple[FileStamp, ...]) -> tuple[FileStamp, ...]:
    """Return the stamps, or none if a file could still change without a change of its stamp."""
    now_ns = time.time_ns()
    for _, identity in dependencies:
        if identity.racy(now_ns):
            return ()
    return dependencies


class DirectoryStamps:
    """The stamps of a tree's directories, which a new or removed sidecar or index would change.

    All files of a directory share one stamp object, so the processor's caches stay warm.

    Args:
        path: the path of the tree.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._known: BoundedDict[tuple[str, ...], FileStamp] = BoundedDict(_DIRECTORIES)

    def path_of(self, directory: tuple[str, ...]) -> str:
        """Return the path of a directory below the tree."""
        return f"{self._path}/{for_os('/'.join(directory))}" if directory else self._path

    def of(self, directory: tuple[str, ...]) -> FileStamp:
        """Return the present stamp of a directory below the tree.

        Raises:
            OSError: the directory is missing, or stat is refused.
        """
        known = self._known.get(directory)
        if known is not None and are_unchanged((known,)):
            return known
        path = self.path_of(directory)
        stamp = FileStamp(path, identity_of(kernel.stat(path)))
        self._known.put(directory, stamp)
        return stamp
