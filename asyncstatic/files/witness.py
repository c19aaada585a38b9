"""Witnesses: what must be as it was for an answer to be given once more."""

from __future__ import annotations

import time
from typing import NamedTuple, TypeAlias

from asyncstatic.files import kernel
from asyncstatic.http.model import Identity


class Witness(NamedTuple):
    """A path and what it was: while all witnesses are unchanged, an answer still holds."""

    path: str
    identity: Identity


#: What paths were when they were looked at, in one turn of the event loop.
Seen: TypeAlias = dict[str, Identity]


def are_unchanged(witnesses: tuple[Witness, ...], seen: Seen) -> bool:
    """Look at witnesses again; they are asked by name, as the next lookup would be.

    Args:
        witnesses: what must be as it was.
        seen: those that were looked at just now, and found unchanged, are not asked again; others
            are added. Files of one directory share its witness.
    """
    for path, identity in witnesses:
        if seen.get(path) == identity:
            continue
        try:
            now = kernel.stat(path)
        except OSError:
            return False
        if (
            now.st_ino != identity.inode
            or now.st_mtime_ns != identity.mtime_ns
            or now.st_ctime_ns != identity.ctime_ns
            or now.st_size != identity.size
            or now.st_dev != identity.device
        ):
            return False
        seen[path] = identity
    return True


def lasting(witnesses: tuple[Witness, ...]) -> tuple[Witness, ...]:
    """Return them, or none where one could change without showing it."""
    now_ns = time.time_ns()
    return () if any(witness.identity.racy(now_ns) for witness in witnesses) else witnesses
