"""The structures of a zip archive (PKWARE APPNOTE.TXT 6.3.10), read strictly.

Readers of zip archives differ where an archive contradicts itself. So nothing is guessed here: an
archive whose counts, offsets or sizes disagree, whose members overlap, or which is spread over
several files is refused as a whole. A member that cannot be served is only left out.
"""

from __future__ import annotations

import re
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import chain
from operator import attrgetter
from typing import NamedTuple, TypeAlias

from asyncstatic.files.root import Segments
from asyncstatic.http.model import SECOND

STORED, DEFLATED = 0, 8
#: The largest deflated member that is unpacked, in bytes.
LARGEST_DEFLATED = 32 * 1024 * 1024
#: The most names of an archive, those of directories included.
MOST_NAMES = 100_000

_LARGEST_DIRECTORY = 32 * 1024 * 1024  # bytes
_DEEPEST = 64  # names in a path
_LONGEST_NAME = 255  # bytes, as on disk

_END = struct.Struct("<4s4H2LH")  # 4.3.16
_LONGEST_COMMENT = 65_535
_ZIP64_LOCATOR = struct.Struct("<4sLQL")  # 4.3.15
_ZIP64_END = struct.Struct("<4sQ2H2L4Q")  # 4.3.14
_CENTRAL = struct.Struct("<4s6H3L5H2L")  # 4.3.12
_LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7
_EXTRA = struct.Struct("<2H")  # 4.5.1
_IN_ZIP64 = 0xFFFFFFFF
_ZIP64, _UNIX_TIME, _UNICODE_PATH = 0x0001, 0x5455, 0x7075

_ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13  # 4.4.4
_HAS_DESCRIPTOR = 1 << 3
_UTF8 = 1 << 11
_UNIX = (3, 19)  # and macOS: the systems whose programs store names as they are (4.4.2)
_NEVER_IN_NAME = re.compile(r"[\\\x00-\x1f\x7f-\x9f]")

Read: TypeAlias = Callable[[int, int], bytes]  # offset, bytes


class ArchiveError(ValueError):
    """An archive cannot be served; the message completes the sentence "it ..."."""


class NotAnArchiveError(ArchiveError):
    """A file has no end of a zip archive."""


class Member(NamedTuple):
    """One entry of the central directory.

    Attributes:
        raw_name: as stored, in bytes.
        name: decoded.
        flags, method, crc: as stored.
        compressed, size: bytes in the archive, and of the content.
        offset: of the local header.
        end: offset that its data may not cross: of the next member, or of the directory.
        dos_time: date and time, as stored.
        unix_time: seconds since the epoch, where the archive has it.
        mode: permissions and kind of file (stat(2)); 0 if unknown.
    """

    raw_name: bytes
    name: str
    flags: int
    method: int
    crc: int
    compressed: int
    size: int
    offset: int
    end: int
    dos_time: int
    unix_time: int | None
    mode: int

    @property
    def modified_ns(self) -> int:
        """Modification time in ns since the epoch; 0 if it is no date. DOS times count as UTC."""
        if self.unix_time is not None:
            return self.unix_time * SECOND
        date, time = self.dos_time >> 16, self.dos_time & 0xFFFF
        day = (1980 + (date >> 9), date >> 5 & 15, date & 31)
        try:
            moment = datetime(*day, time >> 11, time >> 5 & 63, (time & 31) * 2, tzinfo=UTC)
        except ValueError:
            return 0
        return int(moment.timestamp()) * SECOND

    @property
    def is_directory(self) -> bool:
        """Whether the entry stands for a directory."""
        return self.name.endswith("/")

    def segments(self) -> Segments | None:
        """Return the names of the path; None where no request can name it."""
        names = tuple(self.name.removesuffix("/").split("/"))
        return names if len(names) <= _DEEPEST and all(map(_is_plain, names)) else None

    def problem(self) -> str:
        """Return why the content is not served, as the end of "it ..."; "" if it is."""
        if self.flags & _ENCRYPTED:
            return "is encrypted"
        if self.method not in (STORED, DEFLATED):
            return f"is compressed by method {self.method}; deflate or store it"
        if stat.S_IFMT(self.mode) not in (0, stat.S_IFREG):
            return "is a symbolic link, or another special file"
        if self.method == STORED and self.compressed != self.size:
            return "is stored, but has two sizes"
        if self.method == DEFLATED and max(self.size, self.compressed) > LARGEST_DEFLATED:
            return "is deflated, and larger than 32 MiB; store it (zip -0)"
        return ""

    def data_offset(self, read: Read) -> int:
        """Return the offset of the data, after the local header is compared with this entry.

        Raises:
            ArchiveError: they differ, or the data would cross the next member.
        """
        header = read(self.offset, _LOCAL.size + len(self.raw_name))
        fields = _LOCAL.unpack_from(header)
        signature, _, flags, method, _, _, crc, compressed, size, name_bytes, extra = fields
        checked = _ENCRYPTED | _HAS_DESCRIPTOR | _UTF8
        same = signature == b"PK\3\4" and method == self.method
        same = same and flags & checked == self.flags & checked
        same = same and name_bytes == len(self.raw_name) and header[_LOCAL.size :] == self.raw_name
        if not flags & _HAS_DESCRIPTOR:
            same = same and crc == self.crc
            same = same and compressed in (self.compressed, _IN_ZIP64)
            same = same and size in (self.size, _IN_ZIP64)
        if not same:
            raise ArchiveError("has two headers that differ")
        start: int = self.offset + _LOCAL.size + name_bytes + extra
        if start + self.compressed > self.end:
            raise ArchiveError("overlaps with what is behind it")
        return start


def read_members(read: Read, size: int) -> list[Member]:
    """Read the central directory of an archive.

    Args:
        read: reads bytes of it.
        size: its bytes.

    Raises:
        NotAnArchiveError: it is another kind of file.
        ArchiveError: it contradicts itself, or is larger than the bounds.
    """
    count, start, length = _find_directory(read, size)
    if count > MOST_NAMES or length > _LARGEST_DIRECTORY:
        raise ArchiveError(f"has more than {MOST_NAMES} names, or very long ones; unpack it")
    members = list(_entries(read(start, length), count))
    return list(_without_overlap(members, start))


def _find_directory(read: Read, size: int) -> tuple[int, int, int]:
    """Return the number of entries, and offset and bytes of the central directory."""
    behind = min(size, _END.size + _LONGEST_COMMENT)
    tail = read(size - behind, behind)
    found = tail.rfind(b"PK\5\6", 0, max(behind - _END.size + 4, 0))
    if found < 0:
        raise NotAnArchiveError("is no zip archive")
    position = size - behind + found
    _, disk, first_disk, here, count, length, start, comment = _END.unpack_from(tail, found)
    if position + _END.size + comment != size:
        raise ArchiveError("has bytes behind its end")
    before = max(position - _ZIP64_LOCATOR.size, 0)
    locator = read(before, position - before)
    if locator[:4] == b"PK\6\7":
        disk, first_disk, here, count, length, start = _zip64_end(
            read, locator, before, (disk, first_disk, here, count, length, start)
        )
        position = _ZIP64_LOCATOR.unpack(locator)[2]
    if disk or first_disk or here != count:
        raise ArchiveError("is one part of several")
    if start + length != position:
        raise ArchiveError(
            "has offsets that do not fit: it is damaged, or another file is before it"
        )
    return count, start, length


def _zip64_end(read: Read, locator: bytes, end: int, old: tuple[int, ...]) -> tuple[int, ...]:
    """Return the fields of the end of an archive from its Zip64 record, compared with the old one."""
    _, disk, offset, disks = _ZIP64_LOCATOR.unpack(locator)
    if offset + _ZIP64_END.size > end:
        raise ArchiveError("has a damaged Zip64 record")
    signature, length, _, _, *new = _ZIP64_END.unpack(read(offset, _ZIP64_END.size))
    if signature != b"PK\6\6" or offset + 12 + length != end or disk or disks > 1:
        raise ArchiveError("has a damaged Zip64 record")
    for small, large, nothing in zip(old, new, (*(0xFFFF,) * 4, *(_IN_ZIP64,) * 2), strict=True):
        if small not in (large, nothing):
            raise ArchiveError("has two ends that differ")
    return tuple(new)


def _entries(directory: bytes, count: int) -> Iterator[Member]:
    position = 0
    for _ in range(count):
        if position + _CENTRAL.size > len(directory):
            raise ArchiveError("has a directory that ends early")
        header = _CENTRAL.unpack_from(directory, position)
        signature, lengths, disk = header[0], header[10:13], header[13]
        if signature != b"PK\1\2":
            raise ArchiveError("has a damaged directory")
        first = position + _CENTRAL.size
        position = first + sum(lengths)
        if position > len(directory):
            raise ArchiveError("has a directory that ends early")
        name_end = first + lengths[0]
        extra = directory[name_end : name_end + lengths[1]]
        if disk:
            raise ArchiveError("is one part of several")
        yield _member(header, directory[first:name_end], extra)
    if position != len(directory):
        raise ArchiveError("has more entries than it counts")


def _member(header: tuple[int, ...], name: bytes, extra: bytes) -> Member:
    _, made_by, _, flags, method, time, date, crc, compressed, size, *_, attributes, offset = header
    unix_time, other_name = None, b""
    for kind, data in _extra_fields(extra) if extra else ():
        if kind == _ZIP64:
            numbers = iter(struct.unpack_from(f"<{len(data) // 8}Q", data))
            size, compressed, offset = (
                int(next(numbers, value)) if value == _IN_ZIP64 else value
                for value in (size, compressed, offset)
            )
        elif kind == _UNIX_TIME and len(data) >= 5 and data[0] & 1:
            unix_time = int.from_bytes(data[1:5], "little", signed=True)
        elif kind == _UNICODE_PATH and data[:5] == b"\1" + struct.pack("<L", zlib.crc32(name)):
            other_name = data[5:]
    is_utf8 = flags & _UTF8 or other_name or (made_by >> 8 in _UNIX and _is_utf8(name))
    text = (other_name or name).decode("utf-8" if is_utf8 else "cp437", "surrogateescape")
    mode, dos_time = attributes >> 16, date << 16 | time
    return Member(
        *(name, text, flags, method, crc, compressed, size, offset, 0),
        *(dos_time, unix_time, mode),
    )


def _is_utf8(name: bytes) -> bool:
    try:
        return bool(name.decode())
    except UnicodeDecodeError:
        return False


def _extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + _EXTRA.size <= len(extra):
        kind, length = _EXTRA.unpack_from(extra, position)
        position += _EXTRA.size
        yield kind, extra[position : position + length]
        position += length


def _without_overlap(members: list[Member], directory: int) -> Iterator[Member]:
    """Yield the members with the end of their data, in the order of their data."""
    members = sorted(members, key=attrgetter("offset"))
    ends = chain((member.offset for member in members[1:]), (directory,))
    for member, end in zip(members, ends, strict=False):
        if member.offset + _LOCAL.size + len(member.raw_name) + member.compressed > end:
            raise ArchiveError(f"has members that overlap, such as {member.name[:80]!a}")
        yield member._replace(end=end)


def _is_plain(name: str) -> bool:
    """Tell whether a request could name this, and every reader takes it for one name."""
    if name in ("", ".", "..") or _NEVER_IN_NAME.search(name):
        return False
    try:
        return len(name.encode()) <= _LONGEST_NAME
    except UnicodeEncodeError:  # it was no UTF-8
        return False
