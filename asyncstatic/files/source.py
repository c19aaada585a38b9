"""The protocol of sources: a lookup goes in, a representation or an absence comes out."""

from __future__ import annotations

import errno
import logging
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from asyncstatic.files.cache import CacheEntry
from asyncstatic.files.dependency import FileStamp
from asyncstatic.files.handle import Handle
from asyncstatic.http.model import Absence, DirectoryRedirect, Lookup, Representation

logger = logging.getLogger("asyncstatic")


@dataclass(slots=True)
class Opened:
    """A selected representation and its content.

    Attributes:
        representation: its facts.
        content: all its bytes, when it is small enough to be held in memory.
        handle: the open file otherwise. The receiver of this object closes it.
        dependencies: the stamps that must be unchanged when this is used again; empty when it must
            not be cached.
        entry: the cache entry that holds the same representation, if there is one.
    """

    representation: Representation
    content: bytes | None = None
    handle: Handle | None = None
    dependencies: tuple[FileStamp, ...] = ()
    entry: CacheEntry | None = None

    def close(self) -> None:
        """Close the handle, if there is one."""
        if self.handle is not None:
            self.handle.close()

    def shared(self) -> Opened:
        """Return the same representation for one more user, which closes it separately."""
        if self.handle is None:
            return self
        return replace(self, handle=self.handle.shared())


Found: TypeAlias = Opened | DirectoryRedirect | Absence


class Source(Protocol):
    """Finds representations. Sources nest: one may wrap another."""

    def open_nowait(self, lookup: Lookup) -> Found | None:
        """Look a file up without waiting for the disk; None when that is impossible."""

    async def open(self, lookup: Lookup) -> Found:
        """Look a file up, and wait for the disk in a thread if necessary."""

    def close(self) -> None:
        """Close all handles and threads."""


_MISSING = frozenset(
    {
        *(errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV),
        *(errno.ENAMETOOLONG, errno.ENXIO, errno.ENODEV, errno.EISDIR),
    }
)
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


def is_missing(error: OSError) -> bool:
    """Tell whether an error means that there is nothing public under a name."""
    return error.errno in _MISSING


def is_forbidden(error: OSError) -> bool:
    """Tell whether an error means that this process may not read the file."""
    return error.errno in _FORBIDDEN


def absence_of(error: OSError, path: str) -> Absence:
    """Turn an error of the operating system about a path into an absence; the only place that does.

    Nothing of its text reaches a client. A fault is logged: of the disk, or a limit of this system.
    """
    if is_missing(error):
        return Absence.MISSING
    if is_forbidden(error):
        return Absence.FORBIDDEN
    if error.errno == errno.EAGAIN:  # it is being changed
        return Absence.OVERLOADED
    reason = error.strerror or str(error)  # only the text: an error keeps handles alive
    logger.error("%a cannot be read: %s", path, reason)
    return Absence.OVERLOADED if error.errno in _EXHAUSTED else Absence.BROKEN
