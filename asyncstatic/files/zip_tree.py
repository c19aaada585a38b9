"""A zip archive as a tree. It is not unpacked, and an archive that is renamed over it is taken up."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from copy import copy
from functools import partial
from itertools import islice
from threading import Lock

from asyncstatic.files import kernel
from asyncstatic.files.dependency import FileStamp
from asyncstatic.files.handle import identity_of
from asyncstatic.files.root import Segments, absolute
from asyncstatic.files.source import Found, Opened, logger
from asyncstatic.files.tree import DirectoryEntry, File
from asyncstatic.files.unpacked import DamagedError
from asyncstatic.files.zip_archive import Archive
from asyncstatic.files.zip_format import STORED, ArchiveError, Member
from asyncstatic.http.model import ByteRange, Identity, Lookup

_MISSING_SECONDS = 0.25  # for which a missing archive may be between two renames
_RENEWALS = 10  # deploys, one right after another, during one lookup


class _Present:
    """The archive that a path leads to, which all readers of a root share.

    An archive that is renamed over the path is taken up once it can be read; until then, the one
    before is served. An archive that is rewritten in place is not served until it can be read.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._renewing = Lock()
        self._unreadable: Identity | None = None  # the last one that could not be read
        self._missing_since: float | None = None
        self._complaint = ""
        self.archive: Archive | None = Archive(path)

    def get(self, *, nowait: bool) -> Archive:
        """Return the archive to serve now.

        Raises:
            BlockingIOError: with `nowait`, it must be read; otherwise, it is being written.
            OSError: it is missing for longer than a moment, or may not be read.
        """
        current = self._current()
        if current is not None:
            return current
        if nowait:
            raise kernel.fault(errno.EAGAIN)
        with self._renewing:
            return self._current() or self._renew()

    def _current(self) -> Archive | None:
        """Return the open archive where it may be served; None where the path must be read."""
        archive = self.archive
        if archive is None:
            raise kernel.fault(errno.EBADF)
        identity = self._identity()
        if identity is None:
            return archive
        if identity == archive.identity:
            return archive if archive.is_settled or identity.racy(time.time_ns()) else None
        return self._before(identity) if identity == self._unreadable else None

    def _before(self, identity: Identity) -> Archive:
        """Return the open archive, if it is another file than the one that cannot be read."""
        archive = self.archive
        if archive is None or identity[:2] == archive.identity[:2]:  # device and inode
            raise kernel.fault(errno.EAGAIN)
        return archive

    def _identity(self) -> Identity | None:
        """Return what the path leads to; None for a moment in which it leads nowhere."""
        try:
            identity = identity_of(kernel.stat(self._path))
        except OSError:
            now = time.monotonic()
            self._missing_since = self._missing_since or now
            if now - self._missing_since > _MISSING_SECONDS:
                raise
            return None
        self._missing_since = None
        return identity

    def _renew(self) -> Archive:
        identity = identity_of(kernel.stat(self._path))
        try:
            archive = Archive(self._path)
        except OSError as error:
            return self._without(identity, f"cannot be read: {error.strerror}")
        except ArchiveError as error:
            self._unreadable = None if identity.racy(time.time_ns()) else identity
            return self._without(identity, f"cannot be served: it {error}")
        if self.archive is None:  # closed meanwhile
            raise kernel.fault(errno.EBADF)
        self.archive, self._complaint = archive, ""
        return archive

    def _without(self, identity: Identity, problem: str) -> Archive:
        """Do without the archive that the path leads to; log the reason once."""
        if problem != self._complaint:
            logger.warning("%s %s; only an archive that it replaced is served", self._path, problem)
        self._complaint = problem
        return self._before(identity)


class ZipTree:
    """The members of a zip archive; `TreeReader` describes its methods.

    Args:
        path: of the archive.
        below: the directory in it that is the root.

    Raises:
        ArchiveError: it cannot be served.
        OSError: it cannot be read, or has no such directory.
    """

    resolver_name = "zip"

    def __init__(self, path: str, below: Segments = ()) -> None:
        self.path = "/".join((path, *below))
        self.nowait = True
        self._present = _Present(path)
        self._below = below
        self.names((), self._archive.identity)

    def waiting(self) -> ZipTree:
        other = copy(self)
        other.nowait = False
        return other

    def find(self, lookup: Lookup, select: Callable[[Lookup], Found]) -> Found:
        for _ in range(_RENEWALS):
            archive = self._present.get(nowait=self.nowait)
            found = select(lookup)
            if self._present.archive is archive:
                return found
            if isinstance(found, Opened):
                found.close()
        raise kernel.fault(errno.EAGAIN)

    def renewed(self) -> FileStamp:
        """Return the stamp of the archive that the path leads to now.

        Raises:
            OSError: there is none.
        """
        return self._present.get(nowait=self.nowait).stamp

    def read(self, segments: Segments) -> bytes:
        """Read a member."""
        file = self.open_file(segments)
        try:
            return file.read(0, file.identity.length)
        finally:
            kernel.release(file.fd)

    def previous(self) -> None:
        """Return None: a replaced archive has no grace."""

    def open_file(self, segments: Segments, coding: str = "identity") -> File:
        """Open a member. Its own modification time counts, not that of the archive."""
        archive, segments = self._archive, (*self._below, *segments)
        member = archive.find(segments)
        if not isinstance(member, Member):
            raise kernel.fault(errno.EISDIR)
        try:
            if member.method == STORED:
                return self._stored(archive, member, coding)
            if self.nowait:
                raise kernel.fault(errno.EAGAIN)
            return self._unpacked(archive, segments, member, coding)
        except (ArchiveError, DamagedError) as error:
            if not archive.is_unchanged():  # it is rewritten in place
                raise kernel.fault(errno.EAGAIN) from None
            whose = "it" if isinstance(error, ArchiveError) else "its content"
            archive.leave_out(segments, f"{whose} {error}")
            raise kernel.fault(errno.ENOENT) from None

    def _stored(self, archive: Archive, member: Member, coding: str) -> File:
        first = member.data_offset(partial(archive.read, nowait=self.nowait))
        identity = archive.identity._replace(part=ByteRange(first, first + member.size - 1))
        fd = kernel.dup(archive.fd)
        return File(fd, identity, coding, archive.stamp, member.modified_ns)

    def _unpacked(self, archive: Archive, segments: Segments, member: Member, coding: str) -> File:
        unpacked = archive.unpack(segments, member)
        if not archive.is_unchanged():
            raise kernel.fault(errno.EAGAIN)
        identity = unpacked.identity._replace(part=unpacked.decoded)
        fd = kernel.dup(unpacked.fd)
        return File(fd, identity, coding, archive.stamp, member.modified_ns, unpacked)

    def stamp(self, directory: Segments) -> FileStamp:
        """Return the stamp of the archive: it changes with every name in it."""
        return self._archive.stamp

    def names(self, directory: Segments, identity: Identity) -> AbstractSet[str]:
        found = self._archive.find((*self._below, *directory))
        if isinstance(found, Member):
            raise kernel.fault(errno.ENOTDIR)
        return found.keys()

    def entries(self, directory: Segments, limit: int, *, sized: bool) -> list[DirectoryEntry]:
        names = tuple(self.names(directory, self._archive.identity))
        each = (self.entry((*directory, name)) for name in names)
        return list(islice(filter(None, each), limit))

    def entry(self, segments: Segments) -> DirectoryEntry | None:
        archive = self._archive
        try:
            found = archive.find((*self._below, *segments))
        except FileNotFoundError:
            return None
        if isinstance(found, Member):
            return DirectoryEntry(segments[-1], False, found.size, found.modified_ns)
        return DirectoryEntry(segments[-1], True, 0, archive.identity.mtime_ns)

    def path_of(self, segments: Segments) -> str:
        return "/".join((self.path, *segments))

    def close(self) -> None:
        """Close the archive with its last user."""
        self._present.archive = None

    @property
    def _archive(self) -> Archive:
        archive = self._present.archive
        if archive is None:
            raise kernel.fault(errno.EBADF)
        return archive


def archive_of(root: str) -> tuple[str, Segments] | None:
    """Return the file that a path names or goes through, and the rest; None for any other path."""
    path, below = absolute(root), ""
    while not os.path.exists(path):
        path, name = os.path.split(path)
        below = os.path.join(name, below)
    names = os.path.normpath(below).split(os.sep)
    if os.pardir in names or not os.path.isfile(path):
        return None
    return path, tuple(name for name in names if name != os.curdir)
