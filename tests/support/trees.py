"""Trees for tests: a directory as a source, and the stored members of a zip as a tree."""

from __future__ import annotations

import errno
import os
import struct
import zipfile
from collections.abc import Callable
from copy import copy
from typing import Any

from asyncstatic.files import kernel
from asyncstatic.files.dependency import FileStamp
from asyncstatic.files.directory import open_directory
from asyncstatic.files.handle import identity_of
from asyncstatic.files.root import Segments, fault, release
from asyncstatic.files.source import Found
from asyncstatic.files.tree import File, TreeReader
from asyncstatic.files.tree_source import TreeSource
from asyncstatic.http.model import ByteRange, Identity, Lookup
from asyncstatic.settings import Settings


def directory_source(
    settings: Settings, allowed: Callable[[Segments], bool], **clock: Any
) -> TreeSource:
    """Open the directory that settings name, as a source."""
    return TreeSource(open_directory(settings, allowed, **clock), settings, allowed)


class _Archive:
    """An open zip: where its stored members are. It closes with its last user."""

    def __init__(self, path: str) -> None:
        self.fd = kernel.open_path(path)
        self.identity = identity_of(os.fstat(self.fd))
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
        assert all(member.compress_type == zipfile.ZIP_STORED for member in members)
        self.parts = {tuple(m.filename.split("/")): self._part(m) for m in members}
        self.directories = {name[:depth] for name in self.parts for depth in range(len(name))}

    def _part(self, member: zipfile.ZipInfo) -> ByteRange:
        """The local header has lengths of its own (APPNOTE.TXT 4.3.7)."""
        header = os.pread(self.fd, 30, member.header_offset)
        first = member.header_offset + 30 + sum(struct.unpack("<26xHH", header))
        return ByteRange(first, first + member.file_size - 1)

    def __del__(self) -> None:
        release(self.fd)


class ZipTree:
    """The stored members of a zip as a tree, without unpacking them; an archive renamed over it counts.

    Args:
        path: of the archive.

    Attributes:
        opened: the names that were opened, from the first on.
    """

    resolver_name = "zip"
    nowait = True

    def __init__(self, path: str) -> None:
        self.path = path
        self.opened: list[Segments] = []
        self._present = [_Archive(path)]  # one item, which both readers share

    def waiting(self) -> ZipTree:
        """Return the reader of the same archive that waits for the disk."""
        other = copy(self)
        other.nowait = False
        return other

    def find(self, lookup: Lookup, select: Callable[[Lookup], Found]) -> Found:
        """Select from the archive that the path leads to now."""
        if identity_of(kernel.stat(self.path)) != self._present[0].identity:
            if self.nowait:
                raise fault(errno.EAGAIN)
            self._present[:] = [_Archive(self.path)]
        return select(lookup)

    def previous(self) -> None:
        """Return None: a replaced archive has no grace."""

    def open_file(self, segments: Segments, coding: str = "identity") -> File:
        """Open a member: a duplicate of the archive's descriptor, and the member's part."""
        (archive,) = self._present
        if segments in archive.directories:
            raise fault(errno.EISDIR)
        if segments not in archive.parts:
            raise fault(errno.ENOENT)
        self.opened.append(segments)
        identity = archive.identity._replace(part=archive.parts[segments])
        return File(kernel.dup(archive.fd), identity, coding, self.path)

    def stamp(self, directory: Segments) -> FileStamp:
        """Return the stamp of the archive: it changes with every name in it."""
        return FileStamp(self.path, self._present[0].identity)

    def names(self, directory: Segments, identity: Identity) -> frozenset[str]:
        """Return the names in a directory of the archive."""
        (archive,), depth = self._present, len(directory)
        found = (*archive.parts, *archive.directories)
        return frozenset(n[depth] for n in found if len(n) > depth and n[:depth] == directory)

    def path_of(self, segments: Segments) -> str:
        """Return a path that leads nowhere."""
        return "/".join((self.path, *segments))

    def close(self) -> None:
        """Close the archive."""
        self._present.clear()


def open_zip(settings: Settings, _allowed: Callable[[Segments], bool]) -> TreeReader:
    """Open the archive that is the root, in the place of `asyncstatic.serve.roots.open_tree`."""
    return ZipTree(settings.root)
