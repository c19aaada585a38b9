"""Zip archives made by hand, so that each field can be wrong."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MODIFIED = (2023, 11, 14, 22, 13, 20)
_DOS_TIME = 22 << 11 | 13 << 5 | 20 // 2
_DOS_DATE = (2023 - 1980) << 9 | 11 << 5 | 14


def write_zip(path: Path, files: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    """Write an archive as a well-behaved program does."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            member = zipfile.ZipInfo(name, MODIFIED)
            member.compress_type = method
            archive.writestr(member, content)
    return path


@dataclass
class Entry:
    """A member; what is None follows from the rest."""

    name: bytes
    content: bytes = b"content"
    deflated: bool = False
    method: int | None = None
    flags: int = 0
    crc: int | None = None
    size: int | None = None
    data: bytes | None = None
    compressed: int | None = None
    attributes: int = 0
    extra: bytes = b""
    offset: int | None = None
    disk: int = 0
    system: int = 3
    local_name: bytes | None = None
    local_method: int | None = None
    local_crc: int | None = None
    local_size: int | None = None
    local_flags: int | None = None
    local_extra: bytes = b""
    descriptor: bytes = b""

    def stored(self) -> bytes:
        if self.data is not None:
            return self.data
        if not self.deflated:
            return self.content
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        return deflate.compress(self.content) + deflate.flush()

    def fields(self) -> tuple[int, int, int, int, int]:
        """Method, time, date, CRC-32, bytes in the archive."""
        method = (8 if self.deflated else 0) if self.method is None else self.method
        crc = zlib.crc32(self.content) if self.crc is None else self.crc
        compressed = len(self.stored()) if self.compressed is None else self.compressed
        return method, _DOS_TIME, _DOS_DATE, crc, compressed

    def local(self) -> bytes:
        method, time, date, crc, compressed = self.fields()
        name = self.name if self.local_name is None else self.local_name
        size = len(self.content) if self.size is None else self.size
        header = struct.pack(
            "<4s5H3L2H",
            *(b"PK\3\4", 20, self.flags if self.local_flags is None else self.local_flags),
            method if self.local_method is None else self.local_method,
            *(time, date, crc if self.local_crc is None else self.local_crc, compressed),
            size if self.local_size is None else self.local_size,
            *(len(name), len(self.local_extra)),
        )
        return header + name + self.local_extra + self.stored() + self.descriptor

    def central(self, offset: int) -> bytes:
        size = len(self.content) if self.size is None else self.size
        header = struct.pack(
            "<4s6H3L5H2L",
            *(b"PK\1\2", self.system << 8 | 20, 20, self.flags, *self.fields(), size),
            *(len(self.name), len(self.extra), 0, self.disk, 0, self.attributes),
            offset if self.offset is None else self.offset,
        )
        return header + self.name + self.extra


def archive(
    entries: Sequence[Entry],
    *,
    before: bytes = b"",
    behind: bytes = b"",
    comment: bytes = b"",
    count: int | None = None,
    disk: int = 0,
    shift: int = 0,
    directory_extra: bytes = b"",
    zip64: bool = False,
) -> bytes:
    """Return an archive; the arguments say what is wrong with its end."""
    body, directory = before, b""
    for entry in entries:
        directory += entry.central(len(body))
        body += entry.local()
    directory += directory_extra
    number, start = len(entries) if count is None else count, len(body) + shift
    end = b""
    if zip64:
        position = len(body) + len(directory)
        record = struct.pack(
            "<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, number, number, len(directory), start
        )
        end = record + struct.pack("<4sLQL", b"PK\6\7", 0, position, 1)
        ends = (0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    else:
        ends = (number, number, len(directory), start)
    end += struct.pack("<4s4H2LH", b"PK\5\6", disk, disk, *ends, len(comment))
    return body + directory + end + comment + behind
