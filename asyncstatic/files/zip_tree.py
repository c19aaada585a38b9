"""A zip archive as a tree. It is not unpacked: stored members are parts of the open archive.

The directory of the archive is read once for each identity of the file. A deflated member is
unpacked into memory (`unpacked`), within a bound, when it is requested.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from copy import copy
from functools import partial
from itertools import islice
from threading import Lock
from weakref import WeakValueDictionary

from asyncstatic.files import kernel
from asyncstatic.files.bounded import BoundedDict
from asyncstatic.files.dependency import FileStamp
from asyncstatic.files.handle import identity_of, read_content, read_fully
from asyncstatic.files.root import Segments, fault, release
from asyncstatic.files.source import Found, Opened, logger
from asyncstatic.files.tree import Entry, File
from asyncstatic.files.unpacked import DamagedError, Unpacked
from asyncstatic.files.zip_entries import ZipEntries
from asyncstatic.files.zip_format import STORED, ArchiveError, Member, read_members
from asyncstatic.http.model import ByteRange, Identity, Lookup

_MOST_NAMES = 100_000  # files and directories
_MISSING_SECONDS = 0.25  # for which a missing archive may be between two renames
_RENEWALS = 10  # deploys, one right after another, during one lookup
_STEP = 64 * 1024

_reported: BoundedDict[str, Identity] = BoundedDict(256)  # lines of the log
_Directory = dict[str, "Member | _Directory | None"]  # None: a name that is not served


class Archive:
    """An open zip archive. It closes with its last user.

    Args:
        path: of the archive.

    Raises:
        ArchiveError: it cannot be served.
        OSError: it cannot be read.

    Attributes:
        fd: its descriptor.
        stamp: its path, with the identity that it had when it was opened.
        is_settled: whether it could not be written any more without a change of its times.
    """

    def __init__(self, path: str) -> None:
        self.fd = kernel.open_path(path)
        status = kernel.fstat(self.fd)
        if not stat.S_ISREG(status.st_mode):
            raise fault(errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.ENOTDIR)
        self.stamp = FileStamp(path, identity_of(status))
        members = read_members(self.read, status.st_size)
        if not self.is_unchanged():
            raise ArchiveError("is being written")
        self.is_settled = not self.identity.racy(time.time_ns())
        self._root: _Directory = {}
        self._count = 0
        self._unpacked: WeakValueDictionary[Segments, Unpacked] = WeakValueDictionary()
        self._unpacking: dict[Segments, Lock] = {}
        problems = {}
        for member in members:
            if problem := self._add(member):
                problems[member.name] = problem
        self._report(problems)

    @property
    def identity(self) -> Identity:
        """The identity that the archive had when it was opened."""
        return self.stamp.identity

    def is_unchanged(self) -> bool:
        """Tell whether the open file is still as it was; a rename over it changes its ctime only."""
        status, identity = kernel.fstat(self.fd), self.identity
        return (status.st_size, status.st_mtime_ns) == (identity.size, identity.mtime_ns)

    def read(self, offset: int, count: int, *, nowait: bool = False) -> bytes:
        """Read bytes of the archive.

        Raises:
            ArchiveError: it ends before.
            BlockingIOError: with `nowait`, they must be read from the disk.
        """
        data = read_fully(self.fd, offset, count, nowait=nowait)
        if len(data) < count:
            raise ArchiveError("ends early")
        return data

    def find(self, segments: Segments) -> Member | _Directory:
        """Return the member or the directory of a name.

        Raises:
            OSError: ENOENT.
        """
        found: Member | _Directory | None = self._root
        for name in segments:
            found = found.get(name) if isinstance(found, dict) else None
        if found is None:
            raise fault(errno.ENOENT)
        return found

    def unpack(self, segments: Segments, member: Member) -> Unpacked:
        """Return the content of a deflated member; requests at the same time share it.

        Raises:
            ArchiveError, DamagedError: it is not what the archive says.
        """
        try:
            with self._unpacking.setdefault(segments, Lock()):
                unpacked = self._unpacked.get(segments)
                if unpacked is None:
                    offset = member.data_offset(self.read)
                    data = self._steps(offset, offset + member.compressed)
                    unpacked = Unpacked(data, member.compressed, member.size, member.crc)
                    self._unpacked[segments] = unpacked
                return unpacked
        finally:
            self._unpacking.pop(segments, None)

    def _steps(self, offset: int, end: int) -> Iterator[bytes]:
        for start in range(offset, end, _STEP):
            yield self.read(start, min(_STEP, end - start))

    def leave_out(self, segments: Segments, reason: str) -> None:
        """Serve a name no more, because it cannot be."""
        above = self.find(segments[:-1])
        if isinstance(above, dict) and above.get(segments[-1]) is not None:
            above[segments[-1]] = None
            self._report({"/".join(segments): reason})

    def _add(self, member: Member) -> str:
        """Add a member to the tree; return why it is not served, or ""."""
        segments = member.segments()
        if segments is None:
            return "its name is none that a URL can have"
        problem = "" if member.is_directory else member.problem()
        *above, last = segments
        directory = self._root
        for name in above:
            found = self._enter(directory, name)
            if not isinstance(found, dict):
                return _TWICE
            directory = found
        if member.is_directory:
            return "" if isinstance(self._enter(directory, last), dict) else _TWICE
        self._count_one()
        if last in directory:
            directory[last] = None
            return _TWICE
        directory[last] = None if problem else member
        return problem

    def _enter(self, directory: _Directory, name: str) -> _Directory | None:
        """Return a directory, made where it is missing; None for a name that is a file as well."""
        if name not in directory:
            self._count_one()
            directory[name] = {}
        found = directory[name]
        if isinstance(found, dict):
            return found
        directory[name] = None
        return None

    def _count_one(self) -> None:
        self._count += 1
        if self._count > _MOST_NAMES:
            raise ArchiveError(f"has more than {_MOST_NAMES} names; unpack it")

    def _report(self, problems: dict[str, str]) -> None:
        if problems:
            name, reason = next(iter(problems.items()))
            others = f", and {len(problems) - 1} others" if len(problems) > 1 else ""
            line = f"{self.stamp.path}: {name[:200]!a} is not served: {reason}{others}"
            if _reported.get(line) != self.identity:  # an archive may be opened again
                _reported.put(line, self.identity)
                logger.warning("%s", line)

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            release(self.fd)


_TWICE = "its name is there twice, and readers differ in the one they take"


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
        kept = self._kept()
        if kept is not None:
            return kept
        if nowait:
            raise fault(errno.EAGAIN)
        with self._renewing:
            return self._kept() or self._renew()

    def _kept(self) -> Archive | None:
        """Return the open archive where it may be served; None where the path must be read."""
        archive = self.archive
        if archive is None:
            raise fault(errno.EBADF)
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
            raise fault(errno.EAGAIN)
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
            raise fault(errno.EBADF)
        self.archive, self._complaint = archive, ""
        return archive

    def _without(self, identity: Identity, problem: str) -> Archive:
        """Do without the archive that the path leads to; log the reason once."""
        if problem != self._complaint:
            logger.warning("%s %s; only an archive that it replaced is served", self._path, problem)
        self._complaint = problem
        return self._before(identity)


class ZipTree(ZipEntries):
    """The members of a zip archive.

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
        """Return the reader of the same archive that waits for the disk."""
        other = copy(self)
        other.nowait = False
        return other

    def find(self, lookup: Lookup, select: Callable[[Lookup], Found]) -> Found:
        """Select from the archive that the path leads to now."""
        for _ in range(_RENEWALS):
            archive = self._present.get(nowait=self.nowait)
            found = select(lookup)
            if self._present.archive is archive:
                return found
            if isinstance(found, Opened):
                found.close()
        raise fault(errno.EAGAIN)

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
            return read_content(file.fd, file.identity, 0, file.identity.length)
        finally:
            release(file.fd)

    def previous(self) -> None:
        """Return None: a replaced archive has no grace."""

    def open_file(self, segments: Segments, coding: str = "identity") -> File:
        """Open a member. Its own modification time counts, not that of the archive."""
        archive, segments = self._archive, (*self._below, *segments)
        member = archive.find(segments)
        if not isinstance(member, Member):
            raise fault(errno.EISDIR)
        try:
            if member.method == STORED:
                return self._stored(archive, member, coding)
            if self.nowait:
                raise fault(errno.EAGAIN)
            return self._unpacked(archive, segments, member, coding)
        except (ArchiveError, DamagedError) as error:
            if not archive.is_unchanged():  # it is rewritten in place
                raise fault(errno.EAGAIN) from None
            whose = "it" if isinstance(error, ArchiveError) else "its content"
            archive.leave_out(segments, f"{whose} {error}")
            raise fault(errno.ENOENT) from None

    def _stored(self, archive: Archive, member: Member, coding: str) -> File:
        first = member.data_offset(partial(archive.read, nowait=self.nowait))
        identity = archive.identity._replace(part=ByteRange(first, first + member.size - 1))
        fd = kernel.dup(archive.fd)
        return File(fd, identity, coding, archive.stamp, member.modified_ns)

    def _unpacked(self, archive: Archive, segments: Segments, member: Member, coding: str) -> File:
        unpacked = archive.unpack(segments, member)
        if not archive.is_unchanged():
            raise fault(errno.EAGAIN)
        identity = unpacked.identity._replace(part=unpacked.decoded)
        fd = kernel.dup(unpacked.fd)
        return File(fd, identity, coding, archive.stamp, member.modified_ns, unpacked)

    def stamp(self, directory: Segments) -> FileStamp:
        """Return the stamp of the archive: it changes with every name in it."""
        return self._archive.stamp

    def names(self, directory: Segments, identity: Identity) -> AbstractSet[str]:
        """Return the names in a directory of the archive."""
        found = self._archive.find((*self._below, *directory))
        if isinstance(found, Member):
            raise fault(errno.ENOTDIR)
        return found.keys()

    def entries(self, directory: Segments, limit: int, *, sized: bool) -> list[Entry]:
        """Return the members and directories in a directory of the archive."""
        found = self._archive.find((*self._below, *directory))
        if isinstance(found, Member):
            raise fault(errno.ENOTDIR)
        served = ((name, item) for name, item in sorted(found.items()) if item is not None)
        return [self._entry(name, item) for name, item in islice(served, limit)]

    def _entry(self, name: str, item: Member | _Directory) -> Entry:
        if isinstance(item, Member):
            return Entry(name, False, item.size, item.modified_ns)
        return Entry(name, True, 0, self._archive.identity.mtime_ns)

    def path_of(self, segments: Segments) -> str:
        """Return a path that leads nowhere."""
        return "/".join((self.path, *segments))

    def close(self) -> None:
        """Close the archive with its last user."""
        self._present.archive = None

    @property
    def _archive(self) -> Archive:
        archive = self._present.archive
        if archive is None:
            raise fault(errno.EBADF)
        return archive


def archive_of(root: str) -> tuple[str, Segments] | None:
    """Return the file that a path names or goes through, and the rest; None for any other path."""
    path = os.path.abspath(root)
    below: Segments = ()
    while not os.path.exists(path):
        path, name = os.path.split(path)
        below = (name, *below)
    return (path, below) if os.path.isfile(path) else None
