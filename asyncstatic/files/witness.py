"""Witnesses: what must be as it was for an answer to be given once more."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from asyncstatic.files import kernel
from asyncstatic.files.handle import identity_of
from asyncstatic.files.memory import BoundedDict
from asyncstatic.http.model import Identity

_DIRECTORIES = 1024  # remembered at the same time


class Witness(NamedTuple):
    """A path and what it was: while all witnesses are unchanged, an answer still holds."""

    path: str
    identity: Identity


def are_unchanged(witnesses: tuple[Witness, ...]) -> bool:
    """Ask stat(2) about each path, by name, as the next lookup would."""
    stat = kernel.stat
    for path, identity in witnesses:
        try:
            now = stat(path)
        except OSError:
            return False
        if identity != (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns):
            return False
    return True


def _is_same(identity: Identity, now: os.stat_result) -> bool:
    """Compare with what `identity_of` would return, without making that."""
    return identity == (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)


def lasting(witnesses: tuple[Witness, ...]) -> tuple[Witness, ...]:
    """Return them, or none where one could change without showing it."""
    now_ns = time.time_ns()
    return () if any(witness.identity.racy(now_ns) for witness in witnesses) else witnesses


class DirectoryWitnesses:
    """The directories of a tree: what a new or removed sidecar or index would change.

    All files of a directory share its witness: memory that is used together stays warm.

    Args:
        path: the tree.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._known: BoundedDict[tuple[str, ...], Witness] = BoundedDict(_DIRECTORIES)

    def path_of(self, directory: tuple[str, ...]) -> str:
        """Name a directory below the tree."""
        return "/".join((self._path, *directory))

    def of(self, directory: tuple[str, ...]) -> Witness:
        """Look at a directory below the tree, by its path.

        Raises:
            OSError: it is not there, or may not be looked at.
        """
        known = self._known.get(directory)
        path = self.path_of(directory) if known is None else known.path
        now = kernel.stat(path)
        if known is not None and _is_same(known.identity, now):
            return known
        witness = Witness(path, identity_of(now))
        self._known.put(directory, witness)
        return witness
