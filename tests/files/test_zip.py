"""Archives as trees: their names, their times, and archives that are made to do harm."""

from __future__ import annotations

import io
import logging
import os
import struct
import subprocess
import time
import tracemalloc
import zipfile
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncstatic.files import kernel, unpacked, zip_format, zip_tree
from asyncstatic.files.handle import identity_of
from asyncstatic.files.zip_archive import Archive
from asyncstatic.files.zip_format import LARGEST_DEFLATED, ArchiveError, NotAnArchiveError
from asyncstatic.files.zip_tree import ZipTree
from asyncstatic.http.model import Absence, Lookup
from tests.support.programs import require
from tests.support.zips import Entry, archive, write_zip

A = Entry(b"a.txt", b"first")
DEFLATED = Entry(b"b.txt", b"second " * 100, deflated=True)
LINK = 0o120777 << 16
FIFO = 0o010644 << 16
DEVICE = 0o060644 << 16


def opened(data: bytes, path: Path) -> ZipTree:
    path.write_bytes(data)
    return ZipTree(str(path)).waiting()


def content(tree: ZipTree, name: str) -> bytes:
    file = tree.open_file(tuple(name.split("/")))
    try:
        return file.read(0, file.identity.length)
    finally:
        kernel.release(file.fd)


def served(tree: ZipTree) -> dict[str, bytes]:
    """All files that can be opened."""
    found: dict[str, bytes] = {}

    def walk(directory: tuple[str, ...]) -> None:
        for name in tree.names(directory, tree.stamp(()).identity):
            try:
                found["/".join((*directory, name))] = content(tree, "/".join((*directory, name)))
            except IsADirectoryError:
                walk((*directory, name))
            except FileNotFoundError:
                pass

    walk(())
    return found


# -- good ones ---------------------------------------------------------------------------------

GOOD: list[tuple[str, bytes]] = [
    ("stored and deflated", archive([A, DEFLATED])),
    ("a comment", archive([A, DEFLATED], comment=b"made by hand")),
    ("Zip64", archive([A, DEFLATED], zip64=True)),
    ("directories", archive([Entry(b"d/", b""), A, DEFLATED])),
    ("a descriptor", archive([A, Entry(
        b"b.txt", b"second " * 100, deflated=True, flags=8,
        local_crc=0, local_size=0, descriptor=bytes(16),
    )])),
    ("extra fields", archive([A, Entry(
        b"b.txt", b"second " * 100, deflated=True,
        extra=b"\xfe\xca\0\0", local_extra=b"\xfe\xca\4\0abcd",
    )])),
    ("a gap between members", archive([A, Entry(
        b"b.txt", b"second " * 100, deflated=True, descriptor=b"gap",
    )])),
    ("sizes in Zip64 fields", archive([A, Entry(
        b"b.txt", b"second " * 100, size=0xFFFFFFFF, compressed=0xFFFFFFFF,
        extra=struct.pack("<HHQQ", 1, 16, 700, 700),
    )])),
]  # fmt: skip


@pytest.mark.parametrize(("what", "data"), GOOD, ids=[what for what, _ in GOOD])
def test_an_archive_of_each_form_is_read(tmp_path: Path, what: str, data: bytes) -> None:
    tree = opened(data, tmp_path / "a.zip")
    assert served(tree) == {"a.txt": b"first", "b.txt": b"second " * 100}


# -- archives that are refused as a whole --------------------------------------------------------

TWO = archive([A, DEFLATED])
REFUSED: list[tuple[str, bytes, str]] = [
    ("empty", b"", "no zip archive"),
    ("text", b"hello\n" * 20_000, "no zip archive"),
    ("cut at the end", TWO[:-1], "no zip archive"),
    ("cut in front", TWO[1:], "offsets that do not fit"),
    ("a program before it", b"#!/bin/sh\n" + TWO, "offsets that do not fit"),
    ("bytes behind it", TWO + b"more", "bytes behind its end"),
    ("an end in the comment", archive([A], comment=archive([])), "offsets that do not fit"),
    ("another number of entries", archive([A, DEFLATED], count=1), "more entries than it counts"),
    ("more than there are", archive([A, DEFLATED], count=3), "ends early"),
    ("many more", archive([A], count=60_000), "ends early"),
    ("100,001 entries", archive([A], count=100_001, zip64=True), "more than 100000 names"),
    ("several disks", archive([A, DEFLATED], disk=1), "one part of several"),
    ("an entry on another disk", archive([Entry(b"a", disk=1)]), "one part of several"),
    ("a shifted directory", archive([A, DEFLATED], shift=4), "offsets that do not fit"),
    ("data behind the entries", archive([A], directory_extra=b"xxxx"), "more entries"),
    ("no local header", archive([Entry(b"a.txt", offset=10**6)]), "overlap"),
    ("a member in the directory", archive([Entry(b"a.txt", compressed=10**6)]), "overlap"),
    ("a member twice", archive([A, Entry(b"other", b"first", offset=0)]), "overlap"),
    ("a member in a member", archive([Entry(b"a", A.local()), Entry(b"b", offset=31)]), "overlap"),
    ("4 GiB and no Zip64 field", archive([Entry(b"a", size=0xFFFFFFFF)]), ""),
    ("a Zip64 record that differs", archive([A], zip64=True)[:-12] + TWO[-12:], "two ends"),
    ("a Zip64 record that is cut", archive([A], zip64=True)[-42:], "damaged Zip64 record"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "data", "says"), REFUSED, ids=[what for what, *_ in REFUSED])
def test_an_archive_that_contradicts_itself_is_refused(
    tmp_path: Path, what: str, data: bytes, says: str
) -> None:
    if not says:  # a stored member of two sizes: it is left out
        assert served(opened(data, tmp_path / "a.zip")) == {}
        return
    with pytest.raises(ArchiveError, match=says):
        opened(data, tmp_path / "a.zip")


# -- members that are left out -------------------------------------------------------------------

NAME = "its name is none that a URL can have"
LEFT_OUT: list[tuple[str, list[Entry], str]] = [
    ("above the root", [Entry(b"../a")], NAME),
    ("above, from below", [Entry(b"d/../../a")], NAME),
    ("absolute", [Entry(b"/etc/passwd")], NAME),
    ("of Windows", [Entry(b"..\\a")], NAME),
    ("a drive", [Entry(b"c:\\a")], NAME),
    ("an empty segment", [Entry(b"d//a")], NAME),
    ("a dot segment", [Entry(b"./a")], NAME),
    ("no name", [Entry(b"")], NAME),
    ("a NUL", [Entry(b"b.txt\0.png")], NAME),
    ("a line", [Entry(b"b\r\nSet-Cookie: a=b")], NAME),
    ("no UTF-8", [Entry(b"\xff\xfe", flags=1 << 11)], NAME),
    ("256 bytes", [Entry(b"b" * 256)], NAME),
    ("65 levels", [Entry(b"d/" * 64 + b"a")], NAME),
    ("a symbolic link", [Entry(b"b", b"/etc/passwd", attributes=LINK)], "symbolic link"),
    ("a FIFO", [Entry(b"b", attributes=FIFO)], "special file"),
    ("a device", [Entry(b"b", attributes=DEVICE)], "special file"),
    ("encrypted", [Entry(b"b", flags=1)], "is encrypted"),
    ("strongly encrypted", [Entry(b"b", flags=1 << 6)], "is encrypted"),
    ("bzip2", [Entry(b"b", method=12)], "method 12; deflate or store it"),
    ("zstd", [Entry(b"b", method=93)], "method 93"),
    ("two sizes", [Entry(b"b", size=4)], "two sizes"),
    ("large and deflated", [Entry(b"b", b"", deflated=True, size=LARGEST_DEFLATED + 1)], "zip -0"),
    ("one name twice", [Entry(b"b", b"1"), Entry(b"b", b"2")], "is there twice"),
    ("one name thrice", [Entry(b"b", b"1"), Entry(b"b", b"2"), Entry(b"b", b"3")], "twice"),
    ("a file that is a directory", [Entry(b"b"), Entry(b"b/c")], "is there twice"),
    ("a directory that is a file", [Entry(b"b/c"), Entry(b"b")], "is there twice"),
    ("a directory entry too", [Entry(b"b/", b""), Entry(b"b")], "is there twice"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "entries", "says"), LEFT_OUT, ids=[what for what, *_ in LEFT_OUT])
def test_a_member_that_cannot_be_served_is_left_out_with_one_line(
    tmp_path: Path, caplog: Any, what: str, entries: list[Entry], says: str
) -> None:
    tree = opened(archive([A, *entries]), tmp_path / "a.zip")
    assert served(tree) == {"a.txt": b"first"}
    (record,) = caplog.records
    assert says in record.getMessage()
    assert record.getMessage().isprintable()


BROKEN: list[tuple[str, Entry, str]] = [
    ("another name", Entry(b"b", local_name=b"c"), "two headers that differ"),
    ("a longer name", Entry(b"b", local_name=b"bb"), "two headers that differ"),
    ("another method", Entry(b"b", local_method=8), "two headers that differ"),
    ("another checksum", Entry(b"b", local_crc=1), "two headers that differ"),
    ("another size", Entry(b"b", local_size=1), "two headers that differ"),
    ("encrypted in one of them", Entry(b"b", local_flags=1), "two headers that differ"),
    ("a long field in one of them", Entry(b"b", local_extra=bytes(9), data=b"",
     size=0, compressed=0, content=b"", offset=None), ""),
    ("a damaged stream", Entry(b"b", deflated=True, data=b"\xff" * 50), "cannot be decoded"),
    ("a stream that is cut", Entry(b"b", b"x" * 99, deflated=True, data=b"\x4b"), ""),
    ("a wrong checksum", Entry(b"b", deflated=True, crc=1), "cannot be decoded: .* data check"),
    ("longer than it says", Entry(b"b", b"x" * 10**6, deflated=True, size=10), "is longer"),
    ("shorter than it says", Entry(b"b", deflated=True, size=10), "cannot be decoded"),
    ("bytes behind the stream", Entry(b"b", deflated=True,
     data=Entry(b"", deflated=True).stored() + b"more"), ""),
]  # fmt: skip


@pytest.mark.parametrize(("what", "entry", "says"), BROKEN, ids=[what for what, *_ in BROKEN])
def test_a_member_that_is_damaged_is_left_out_from_its_first_request_on(
    tmp_path: Path, caplog: Any, what: str, entry: Entry, says: str
) -> None:
    tree = opened(archive([A, entry, DEFLATED]), tmp_path / "a.zip")
    if what.startswith("a long field"):  # it only moves the data
        assert served(tree)["b"] == b""
        return
    for _ in range(3):
        assert served(tree) == {"a.txt": b"first", "b.txt": b"second " * 100}
    (record,) = caplog.records
    assert "'b' is not served" in record.getMessage()
    assert says.split(":")[0] in record.getMessage()


def test_data_that_cross_the_next_member_are_left_out(tmp_path: Path, caplog: Any) -> None:
    """The central directory does not tell how long the field in front of the data is."""
    data = bytearray(archive([Entry(b"a"), Entry(b"b")]))
    struct.pack_into("<H", data, 28, 20)  # length of the extra field in the first local header
    assert served(opened(bytes(data), tmp_path / "a.zip")) == {"b": b"content"}
    assert "overlaps with what is behind it" in caplog.text


def test_names_that_are_left_out_cost_nothing(tmp_path: Path) -> None:
    """64 directories for each of many entries."""
    deep = [Entry(b"/".join(b"%d" % (n * 64 + d) for d in range(64)), b"") for n in range(1600)]
    with pytest.raises(ArchiveError, match="more than 100000 names"):
        opened(archive(deep), tmp_path / "a.zip")


def test_a_bomb_takes_no_more_memory_than_one_step(tmp_path: Path, caplog: Any) -> None:
    """64 MiB of zeros: one says that it has 10 MiB, and one says what it is."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(1024 * 1024)
    stream = b"".join(deflate.compress(zeros) for _ in range(64)) + deflate.flush()
    small = Entry(b"small", b"", deflated=True, data=stream, size=10 * 1024 * 1024)
    large = Entry(b"large", b"", deflated=True, data=stream, size=64 * 1024 * 1024)
    tree = opened(archive([small, large]), tmp_path / "a.zip")
    before = unpacked._Memory.held
    tracemalloc.start()
    try:
        assert served(tree) == {}
        assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert unpacked._Memory.held == before
    assert len(caplog.records) == 2


def test_unpacked_content_takes_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = unpacked._Memory.held
    monkeypatch.setattr(unpacked, "MOST", before + 3000)
    entries = [Entry(b"%d" % n, b"x" * 1000, deflated=True) for n in range(5)]
    tree = opened(archive(entries), tmp_path / "a.zip")
    files = [tree.open_file(("0",)), tree.open_file(("1",))]
    with pytest.raises(OSError, match="Cannot allocate"):
        tree.open_file(("2",))
    kernel.release(files.pop().fd)
    files.append(tree.open_file(("2",)))
    while files:
        kernel.release(files.pop().fd)
    assert unpacked._Memory.held == before


# -- names and times ---------------------------------------------------------------------------

NAMES: list[tuple[Entry, str]] = [
    (Entry("été".encode(), flags=1 << 11), "été"),
    (Entry("été".encode("cp437")), "été"),
    (Entry("été".encode(), system=3), "été"),  # Info-ZIP's zip
    (Entry("├⌐".encode("cp437"), system=0), "├⌐"),  # the same bytes as "é" in UTF-8
    (Entry(b"a b+c%20.txt"), "a b+c%20.txt"),
    (Entry(b"x", extra=struct.pack("<HHBL", 0x7075, 8, 1, zlib.crc32(b"x")) + b"\xc3\xa9"), "é"),
    (Entry(b"x", extra=struct.pack("<HHBL", 0x7075, 8, 1, 1) + b"\xc3\xa9"), "x"),
    (Entry(b"d/e/f.txt"), "d/e/f.txt"),
]


@pytest.mark.parametrize(("entry", "name"), NAMES, ids=[name for _, name in NAMES])
def test_names_are_read_as_the_format_says(tmp_path: Path, entry: Entry, name: str) -> None:
    assert served(opened(archive([entry]), tmp_path / "a.zip")) == {name: b"content"}


def modified(tree: ZipTree, name: str) -> float:
    file = tree.open_file((name,))
    kernel.release(file.fd)
    return file.version.mtime_ns / 1e9


def test_the_time_of_a_member_is_its_own_and_in_utc(tmp_path: Path) -> None:
    exact = Entry(b"b", extra=struct.pack("<HHBl", 0x5455, 5, 1, 1_700_000_001))
    for before in (b"", b"x"):
        other = Entry(b"c" + before, deflated=True)
        tree = opened(archive([A, exact, other]), tmp_path / "a.zip")
        expected = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC).timestamp()
        assert modified(tree, "a.txt") == modified(tree, "c" + before.decode()) == expected
        assert modified(tree, "b") == 1_700_000_001


def test_a_time_that_is_no_date_is_none(tmp_path: Path) -> None:
    data = bytearray(archive([A]))
    struct.pack_into("<HH", data, data.index(b"PK\1\2") + 12, 0xFFFF, 0xFFFF)
    assert modified(opened(bytes(data), tmp_path / "a.zip"), "a.txt") == 0


# -- any archive -------------------------------------------------------------------------------

names = st.lists(
    st.text("aéß.-_ ~%&0", min_size=1, max_size=6).filter(lambda name: name not in (".", "..")),
    min_size=1,
    max_size=3,
).map("/".join)


@settings(max_examples=60)
@given(
    files=st.dictionaries(names, st.binary(max_size=200), max_size=8),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
)
def test_any_archive_has_the_content_that_zipfile_reads(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], method: int
) -> None:
    files = {n: c for n, c in files.items() if not any(o.startswith(n + "/") for o in files)}
    path = write_zip(tmp_path_factory.mktemp("zip") / "a.zip", files, method)
    assert served(ZipTree(str(path)).waiting()) == files


@settings(max_examples=300)
@given(
    where=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 40),
)
def test_a_damaged_archive_is_refused_or_serves_what_it_had(
    tmp_path_factory: pytest.TempPathFactory, where: list[tuple[int, int]], cut: int
) -> None:
    """Any bytes may be wrong: no other error is raised, and deflated content is whole or missing."""
    data = bytearray(archive([Entry(b"a", b"first" * 9, deflated=True), DEFLATED]))
    for position, value in where:
        data[position % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "damaged.zip"
    try:
        found = served(opened(bytes(data[: len(data) - cut]), path))
    except ArchiveError:
        return
    assert {*found.values()} <= {b"first" * 9, b"second " * 100}


def test_each_cut_of_an_archive_is_refused(tmp_path: Path) -> None:
    for length in range(len(TWO)):
        with pytest.raises(NotAnArchiveError):
            opened(TWO[:length], tmp_path / "a.zip")


# -- other programs ------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [["-r"], ["-r", "-0"], ["-r", "-fz"], ["-r", "-fd"]], ids=str)
def test_what_info_zip_writes_is_read(tmp_path: Path, options: list[str]) -> None:
    site = tmp_path / "site"
    (site / "été").mkdir(parents=True)
    (site / "été" / "ü.txt").write_bytes(b"name")
    (site / "text.txt").write_bytes(b"text\n" * 1000)
    (site / "empty").write_bytes(b"")
    zip_program = require("zip", apt="zip")
    command = [zip_program, *options, str(tmp_path / "a.zip"), "."]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    subprocess.run(command, cwd=site, check=True, capture_output=True, env=environment)
    tree = ZipTree(str(tmp_path / "a.zip")).waiting()
    assert served(tree) == {
        "été/ü.txt": b"name",
        "text.txt": b"text\n" * 1000,
        "empty": b"",
    }
    assert modified(tree, "text.txt") == int((site / "text.txt").stat().st_mtime)


def test_a_stream_of_python_is_read(tmp_path: Path) -> None:
    """Without a place to go back to, sizes come behind the data."""

    class Stream(io.RawIOBase):
        written = b""

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            Stream.written += bytes(data)
            return len(data)

    with zipfile.ZipFile(Stream(), "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a.txt", b"first")
    assert served(opened(Stream.written, tmp_path / "a.zip")) == {"a.txt": b"first"}


# -- an archive that changes ---------------------------------------------------------------------


def settled(path: Path) -> None:
    while identity_of(path.stat()).racy(time.time_ns()):
        time.sleep(0.005)


def look(tree: ZipTree) -> dict[str, bytes]:
    """What one lookup sees."""
    found: dict[str, bytes] = {}

    def select(_: Lookup) -> Absence:
        found.update(served(tree))
        return Absence.MISSING

    tree.find(Lookup((), True, ()), select)
    return found


def test_an_archive_that_replaces_it_is_taken_up_at_once(tmp_path: Path) -> None:
    tree = opened(archive([A]), tmp_path / "a.zip")
    for number in range(20):
        (tmp_path / "next").write_bytes(archive([Entry(b"%d" % number, b"next")]))
        (tmp_path / "next").replace(tmp_path / "a.zip")
        assert look(tree) == {str(number): b"next"}


def test_one_lookup_sees_one_archive(tmp_path: Path) -> None:
    tree = opened(archive([A]), tmp_path / "a.zip")
    seen = []

    def select(_: Lookup) -> Absence:
        seen.append(sorted(served(tree)))
        if len(seen) == 1:
            (tmp_path / "next").write_bytes(archive([Entry(b"b")]))
            (tmp_path / "next").replace(tmp_path / "a.zip")
            look(tree)  # another thread
        return Absence.MISSING

    tree.find(Lookup((), True, ()), select)
    assert seen == [["a.txt"], ["b"]]


def test_the_one_before_stays_until_the_next_can_be_read(tmp_path: Path, caplog: Any) -> None:
    tree = opened(archive([A]), tmp_path / "a.zip")
    (tmp_path / "next").write_bytes(TWO[:-30])
    (tmp_path / "next").replace(tmp_path / "a.zip")
    settled(tmp_path / "a.zip")
    for _ in range(3):
        assert look(tree) == {"a.txt": b"first"}
    tree.nowait = True
    tree.find(Lookup((), True, ()), lambda _: Absence.MISSING)  # it is not read again
    tree.nowait = False
    assert len(caplog.records) == 1
    (tmp_path / "a.zip").write_bytes(archive([Entry(b"c")]))
    assert look(tree) == {"c": b"content"}


def test_an_archive_that_is_rewritten_in_place_waits_until_it_is_whole(
    tmp_path: Path, caplog: Any
) -> None:
    tree = opened(archive([A]), tmp_path / "a.zip")
    settled(tmp_path / "a.zip")
    for length in (0, 10, len(TWO) - 1):
        (tmp_path / "a.zip").write_bytes(TWO[:length])
        for _ in range(2):
            with pytest.raises(BlockingIOError):
                look(tree)
            settled(tmp_path / "a.zip")
    (tmp_path / "a.zip").write_bytes(TWO)
    assert look(tree) == {"a.txt": b"first", "b.txt": b"second " * 100}
    assert len(caplog.records) == 1


def test_a_removed_archive_is_missing_after_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = opened(archive([A]), tmp_path / "a.zip")
    (tmp_path / "a.zip").rename(tmp_path / "old")
    assert look(tree) == {"a.txt": b"first"}
    monkeypatch.setattr(zip_tree, "_MISSING_SECONDS", -1)
    with pytest.raises(FileNotFoundError):
        look(tree)
    (tmp_path / "old").rename(tmp_path / "a.zip")
    assert look(tree) == {"a.txt": b"first"}


def test_a_closed_archive_has_no_open_file(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    tree = opened(archive([A]), path)
    before = len(os.listdir("/proc/self/fd"))
    tree.close()
    assert len(os.listdir("/proc/self/fd")) == before - 1
    with pytest.raises(OSError, match="Bad file descriptor"):
        look(tree)


def test_a_refused_archive_leaves_no_open_file(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ArchiveError):
        opened(b"PK", tmp_path / "a.zip")
    assert len(os.listdir("/proc/self/fd")) == before


def test_each_name_takes_bounded_memory(tmp_path: Path) -> None:
    assert zip_format.MOST_NAMES == 100_000
    entries = [Entry(b"%d" % number, b"") for number in range(10_000)]
    (tmp_path / "a.zip").write_bytes(archive(entries))
    tracemalloc.start()
    kept = Archive(str(tmp_path / "a.zip"))
    memory = tracemalloc.get_traced_memory()[0] / 10_000
    tracemalloc.stop()
    assert kept.find(("9999",))
    assert memory < 700, memory


@pytest.fixture(autouse=True)
def logged(caplog: Any) -> None:
    caplog.set_level(logging.WARNING, "asyncstatic")
