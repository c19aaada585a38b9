"""The names and files of a root, as the selection needs them: the protocol of every kind of tree.

A tree has two modes. The mode without waiting is for the event loop: it raises BlockingIOError
where the kernel would have to read from the disk. The other mode is for threads.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import NamedTuple, Protocol

from asyncstatic.files import kernel
from asyncstatic.files.dependency import FileStamp
from asyncstatic.files.handle import read_content
from asyncstatic.files.root import Segments
from asyncstatic.files.source import Found
from asyncstatic.files.unpacked import Unpacked
from asyncstatic.http.model import Identity, Lookup


class File(NamedTuple):
    """A regular file that is open; its holder closes `fd`.

    Attributes:
        fd: the descriptor.
        identity: of the content; its `part` says where a stored member of an archive is.
        coding: its content-coding, or "identity".
        stamp: proves the content, if that is not the file of this name: that of an archive.
        modified_ns: modification time, if that is not the time of the open file.
        unpacked: the content in memory, if it was deflated.
    """

    fd: int
    identity: Identity
    coding: str
    stamp: FileStamp | None = None
    modified_ns: int | None = None
    unpacked: Unpacked | None = None

    @property
    def version(self) -> Identity:
        """The identity of the file of this name, with the modification time that clients are told."""
        if self.stamp is None or self.modified_ns is None:
            return self.identity
        return self.stamp.identity._replace(mtime_ns=self.modified_ns)

    @property
    def is_gzip_of_unpacked(self) -> bool:
        """Whether this is the deflated data itself, of which the original was decoded."""
        return self.unpacked is not None and self.identity.part == self.unpacked.gzip

    def read(self, offset: int, count: int) -> bytes:
        """Read bytes of the content, at an offset relative to it; fewer only at its end."""
        return read_content(self.fd, self.identity, offset, count)

    def in_gzip(self) -> File | None:
        """Open the same content as gzip, if it was deflated, and is not gzip or coded already."""
        if self.unpacked is None or self.coding != "identity" or self.unpacked.is_gzip():
            return None
        fd = kernel.dup(self.unpacked.fd)
        identity = self.identity._replace(part=self.unpacked.gzip)
        return self._replace(fd=fd, identity=identity, coding="gzip")


class DirectoryEntry(NamedTuple):
    """A name in a directory, and what stat(2) says about it.

    Attributes:
        name: lone surrogates stand for bytes that are not UTF-8.
        is_directory: it is a directory; otherwise it is a regular file.
        size: bytes of a file; 0 where it was not asked for.
        mtime_ns: modification time, ns since the epoch; 0 where it was not asked for.
        is_link: it is a symbolic link; the others describe its target.
    """

    name: str
    is_directory: bool
    size: int = 0
    mtime_ns: int = 0
    is_link: bool = False


class TreeReader(Protocol):
    """The names and files of one root. A zip or an object store can be one, too.

    Every method raises OSError as the system does, and BlockingIOError where it would have to wait
    and `nowait` is set.

    Attributes:
        path: the absolute path of the root.
        resolver_name: the way names are opened, for the start-up line.
        nowait: whether this reader never waits for the disk.
    """

    path: str
    resolver_name: str
    nowait: bool

    def waiting(self) -> TreeReader:
        """Return the reader of the same root that waits for the disk."""

    def find(self, lookup: Lookup, select: Callable[[Lookup], Found]) -> Found:
        """Call `select`, again if the tree was replaced meanwhile; not at all if it has no such name.

        The other methods read one tree while `select` runs.
        """

    def previous(self) -> TreeReader | None:
        """Return the reader of the tree before a deploy, while its grace lasts."""

    def open_file(self, segments: Segments, coding: str = "identity") -> File:
        """Open a regular file; IsADirectoryError for a directory, ENOENT for other kinds."""

    def stamp(self, directory: Segments) -> FileStamp:
        """Examine a directory: a new or removed name in it changes its stamp."""

    def names(self, directory: Segments, identity: Identity) -> AbstractSet[str] | None:
        """Return all names in a directory; None when each name has to be looked up."""

    def entries(self, directory: Segments, limit: int, *, sized: bool) -> list[DirectoryEntry]:
        """Return the files and directories in a directory, `limit` at most.

        It is for listings, and always waits for the disk. An entry that cannot be opened may be
        among them.

        Args:
            directory: its names below the root.
            limit: the most entries.
            sized: with sizes and times.
        """

    def entry(self, segments: Segments) -> DirectoryEntry | None:
        """Return the file or directory of a name; None where a request would not get it.

        It is for listings, as `entries` is. No content is read.
        """

    def path_of(self, segments: Segments) -> str:
        """Return the path of a name; in an archive it leads nowhere."""

    def close(self) -> None:
        """Close the root. Lookups in flight finish first."""
