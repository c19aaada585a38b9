"""An open zip archive: its names, and the content of its members.

A stored member is a part of the archive. A deflated one is unpacked into memory (`unpacked`), within a
bound, when it is requested.
"""

from __future__ import annotations

import errno
import stat
import time
from collections.abc import Iterator
from threading import Lock
from weakref import WeakValueDictionary

from asyncstatic.files import kernel
from asyncstatic.files.bounded import BoundedDict
from asyncstatic.files.dependency import FileStamp
from asyncstatic.files.handle import identity_of, read_fully
from asyncstatic.files.root import Segments
from asyncstatic.files.source import logger
from asyncstatic.files.unpacked import Unpacked
from asyncstatic.files.zip_format import MOST_NAMES, ArchiveError, Member, read_members
from asyncstatic.http.model import Identity

_STEP = 64 * 1024
_TWICE = "its name is there twice, and readers differ in the one they take"

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
            raise kernel.fault(errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.ENOTDIR)
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
            raise kernel.fault(errno.ENOENT)
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
        if self._count > MOST_NAMES:
            raise ArchiveError(f"has more than {MOST_NAMES} names; unpack it")

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
            kernel.release(self.fd)
