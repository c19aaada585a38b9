"""What a source is: the one question that a host asks of the disk."""

from __future__ import annotations

import errno
import logging
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from asyncstatic.files.cache import CacheEntry
from asyncstatic.files.handle import Handle
from asyncstatic.files.witness import Witness
from asyncstatic.http.model import Absence, Folder, Lookup, Representation

logger = logging.getLogger("asyncstatic")


@dataclass(slots=True)
class Opened:
    """A selected representation and its octets.

    Attributes:
        representation: its facts.
        content: all its octets, when it is small enough to be held in memory.
        handle: the open file otherwise. Whoever got this closes it.
        witnesses: what to look at again before the answer is used another time; empty
            when it must not be.
        entry: the cache entry that holds the same representation, if one does.
    """

    representation: Representation
    content: bytes | None = None
    handle: Handle | None = None
    witnesses: tuple[Witness, ...] = ()
    entry: CacheEntry | None = None

    def close(self) -> None:
        """Give the handle back, if there is one."""
        if self.handle is not None:
            self.handle.close()

    def shared(self) -> Opened:
        """Return the same representation for one more user, who closes it by itself."""
        if self.handle is None:
            return self
        return replace(self, handle=self.handle.again())


Found: TypeAlias = Opened | Folder | Absence


class Source(Protocol):
    """Where representations come from. Sources nest: one may wrap another."""

    def open_nowait(self, lookup: Lookup) -> Found | None:
        """Answer without waiting for a disk; None when that cannot be."""

    async def open(self, lookup: Lookup) -> Found:
        """Answer, waiting in a thread where that is needed."""

    def close(self) -> None:
        """Give back everything that is held open."""


_MISSING = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ELOOP,
        errno.EXDEV,
        errno.ENAMETOOLONG,
        errno.ENXIO,
        errno.ENODEV,
        errno.EISDIR,
    }
)
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})
_OVERLOADED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})


def is_missing(error: OSError) -> bool:
    """Tell whether an error says that there is nothing public under a name."""
    return error.errno in _MISSING


def is_forbidden(error: OSError) -> bool:
    """Tell whether an error says that we may not read what is there."""
    return error.errno in _FORBIDDEN


def absence_of(error: OSError) -> Absence:
    """Turn an error of the operating system into an answer; the only place that does.

    Nothing of its text reaches a client. What we cannot explain is logged.
    """
    if is_missing(error):
        return Absence.MISSING
    if is_forbidden(error):
        return Absence.FORBIDDEN
    if error.errno in _OVERLOADED:
        return Absence.OVERLOADED
    logger.error("reading failed: %s", str(error))  # the text: an error keeps handles alive
    return Absence.BROKEN
