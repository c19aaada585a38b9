"""Stamps: a path with its identity. A cached answer holds while all its stamps are unchanged."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import NamedTuple

from asyncstatic.files import kernel
from asyncstatic.files.bounded import BoundedDict
from asyncstatic.files.handle import identity_of
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
        if identity != (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns):
            return False
    return True


def _is_same(identity: Identity, now: os.stat_result) -> bool:
    """Compare an identity with a stat result, without making a second identity."""
    return identity == (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)


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
        return "/".join((self._path, *directory))

    def of(self, directory: tuple[str, ...]) -> FileStamp:
        """Return the present stamp of a directory below the tree.

        Raises:
            OSError: the directory is missing, or stat is refused.
        """
        known = self._known.get(directory)
        path = self.path_of(directory) if known is None else known.path
        now = kernel.stat(path)
        if known is not None and _is_same(known.identity, now):
            return known
        stamp = FileStamp(path, identity_of(now))
        self._known.put(directory, stamp)
        return stamp
