"""A directory as a source: what is found for a lookup, from one trip to the disk."""

from __future__ import annotations

import asyncio
import errno
import gzip
import hashlib
import itertools
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import brotli  # type: ignore[import-untyped]  # it has no types
import pytest
import zstandard

from asyncstatic.files import kernel
from asyncstatic.files.source import Found, Opened
from asyncstatic.files.tree_source import TreeSource
from asyncstatic.http.model import Absence, DirectoryRedirect, Lookup, Representation
from asyncstatic.http.target import is_public
from asyncstatic.settings import Settings
from tests.files.conftest import without_privileges
from tests.support.trees import directory_source

pytestmark = pytest.mark.usefixtures("no_handle_leaks")

TEXT = b"some text that is worth a sidecar " * 40
LARGE = os.urandom(100_000)
SITE: Mapping[str, bytes] = {
    "index.html": b"<p>home",
    "a.txt": TEXT,
    "a.txt.gz": gzip.compress(TEXT, mtime=0),
    "a.txt.br": brotli.compress(TEXT),
    "a.txt.zst": zstandard.ZstdCompressor().compress(TEXT),
    "plain.txt": TEXT,
    "empty": b"",
    "large.bin": LARGE,
    "lone.js.gz": gzip.compress(TEXT, mtime=0),
    "rare.js.br": brotli.compress(TEXT),
    "stale.txt": TEXT,
    "stale.txt.gz": gzip.compress(TEXT + b"!", mtime=0),
    "docs/index.html": b"<p>docs",
    "docs/é.html": b"<p>accent",
    "second/home.htm": b"<p>second choice",
    "none/other.txt": b"no index here",
    "packed/index.html.gz": gzip.compress(b"<p>packed", mtime=0),
    "folder.txt.gz/inside": b"a directory named like a sidecar",
    ".hidden": b"hidden",
}
IDENTITY = (("identity",),)
ALL = (("br", "zstd", "gzip"), ("identity",))

Open = Callable[..., TreeSource]


def build(root: Path, files: Mapping[str, bytes] = SITE) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, old enough that nothing in it is racy; no test changes it."""
    root = build(tmp_path_factory.mktemp("directory"))
    time.sleep(0.05)
    return root


@pytest.fixture
def opened_on(kind: str) -> Iterator[Open]:
    """Open roots with each resolver in turn; all are closed after the test."""
    opened: list[TreeSource] = []

    def open_directory(root: Path, **options: Any) -> TreeSource:
        settings = Settings(
            root, **{"resolver": kind, "index": ("index.html", "home.htm"), **options}
        )
        opened.append(start(settings))
        return opened[-1]

    yield open_directory
    for directory in opened:
        directory.close()


def start(settings: Settings) -> TreeSource:
    """Open a root as at start-up, before there is a loop: this may wait."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(
            directory_source, settings, partial(is_public, settings=settings)
        ).result()


def lookup(path: str, codings: tuple[tuple[str, ...], ...] = IDENTITY) -> Lookup:
    segments = tuple(path.strip("/").split("/")) if path.strip("/") else ()
    return Lookup(segments, path.endswith("/"), codings)


async def until(true: Callable[[], bool]) -> None:
    """Wait for what another thread brings about."""
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.001)


async def bytes_of(found: Found) -> bytes:
    """All bytes of what was found; it is closed."""
    assert isinstance(found, Opened), found
    try:
        if found.content is not None:
            return found.content
        assert found.handle is not None
        return await found.handle.read(0, found.representation.length)
    finally:
        found.close()


def closed(found: Found) -> Found:
    if isinstance(found, Opened):
        found.close()
    return found


def facts(found: Found) -> Representation:
    assert isinstance(found, Opened), found
    closed(found)
    return found.representation


# -- what is found -----------------------------------------------------------------------------

FOUND = [
    pytest.param("a.txt", IDENTITY, TEXT, "identity", True, id="file beside sidecars"),
    pytest.param("plain.txt", ALL, TEXT, "identity", False, id="file alone"),
    pytest.param("empty", IDENTITY, b"", "identity", False, id="empty file"),
    pytest.param("large.bin", IDENTITY, LARGE, "identity", False, id="large file"),
    pytest.param("/", IDENTITY, b"<p>home", "identity", False, id="index of the root"),
    pytest.param("docs/", IDENTITY, b"<p>docs", "identity", False, id="index of a directory"),
    pytest.param("second/", IDENTITY, b"<p>second choice", "identity", False, id="second index"),
    pytest.param("docs/é.html", IDENTITY, b"<p>accent", "identity", False, id="UTF-8 name"),
    pytest.param("a.txt", (("br",), ("identity",)), SITE["a.txt.br"], "br", True, id="br"),
    pytest.param("a.txt", (("zstd",),), SITE["a.txt.zst"], "zstd", True, id="zstd"),
    pytest.param("a.txt", (("gzip",),), SITE["a.txt.gz"], "gzip", True, id="gzip"),
    pytest.param("a.txt", (("identity",), ("br",)), TEXT, "identity", True, id="plain preferred"),
    pytest.param("a.txt", (), TEXT, "identity", True, id="nothing acceptable: the original"),
    pytest.param("stale.txt", ALL, TEXT, "identity", True, id="a stale sidecar is not served"),
    pytest.param(
        "a.txt.gz", IDENTITY, SITE["a.txt.gz"], "identity", False, id="a sidecar by its own name"
    ),
    pytest.param("lone.js", (("gzip",),), SITE["lone.js.gz"], "gzip", True, id="lone sidecar"),
    pytest.param(
        "packed/", (("gzip",),), SITE["packed/index.html.gz"], "gzip", True, id="lone index"
    ),
]


@pytest.mark.parametrize(("path", "codings", "data", "coding", "negotiable"), FOUND)
async def test_a_file_is_found_with_its_facts(
    site: Path,
    opened_on: Open,
    path: str,
    codings: tuple[tuple[str, ...], ...],
    data: bytes,
    coding: str,
    negotiable: bool,
) -> None:
    found = await opened_on(site).open(lookup(path, codings))
    assert await bytes_of(found) == data
    representation = facts(found)
    assert representation.coding == coding
    assert representation.decoding is None
    assert representation.negotiable is negotiable
    assert representation.length == len(data)


def test_the_smallest_of_equals_is_taken(site: Path, opened_on: Open) -> None:
    smallest = min(("br", "zstd", "gzip"), key=lambda c: len(SITE[f"a.txt.{_SUFFIX[c]}"]))
    found = asyncio.run(opened_on(site).open(lookup("a.txt", ALL)))
    assert facts(found).coding == smallest


_SUFFIX = {"br": "br", "zstd": "zst", "gzip": "gz"}

ABSENT = [
    pytest.param("missing", Absence.MISSING, id="missing"),
    pytest.param("missing/", Absence.MISSING, id="missing directory"),
    pytest.param("a.txt/", Absence.MISSING, id="slash behind a file"),
    pytest.param("a.txt/b", Absence.MISSING, id="file as a directory"),
    pytest.param("none/", Absence.MISSING, id="no index"),
    pytest.param("none", Absence.MISSING, id="no index, no slash"),
    pytest.param("docs", DirectoryRedirect("docs"), id="directory without its slash"),
    pytest.param("second", DirectoryRedirect("second"), id="directory, second index"),
    pytest.param("packed", DirectoryRedirect("packed"), id="directory, index in a coding alone"),
    pytest.param("folder.txt", Absence.MISSING, id="a directory is no sidecar"),
    pytest.param("a" * 300, Absence.MISSING, id="a name no file system takes"),
]


@pytest.mark.parametrize(("path", "expected"), ABSENT)
async def test_what_is_no_file_is_told_apart(
    site: Path, opened_on: Open, path: str, expected: Found
) -> None:
    assert await opened_on(site).open(lookup(path)) == expected


async def test_precompressed_off_looks_at_no_sidecar(site: Path, opened_on: Open) -> None:
    directory = opened_on(site, precompressed=False)
    found = facts(await directory.open(lookup("a.txt", ALL)))
    assert (found.coding, found.negotiable) == ("identity", False)
    assert await directory.open(lookup("lone.js", ALL)) is Absence.MISSING


# -- the name policy holds for every name that is opened ---------------------------------------


@pytest.mark.parametrize(
    ("deny", "path", "codings"),
    [
        pytest.param("*.gz", "lone.js", IDENTITY, id="a denied lone sidecar is not decoded"),
        pytest.param("*.gz", "lone.js", (("gzip",),), id="nor served"),
        pytest.param("lone.js.gz", "lone.js", IDENTITY, id="denied by its whole name"),
        pytest.param("index.html", "docs/", IDENTITY, id="a denied index"),
        pytest.param("docs/index.html", "docs/", IDENTITY, id="an index denied by its path"),
    ],
)
async def test_a_denied_name_is_not_served_under_another(
    site: Path, opened_on: Open, deny: str, path: str, codings: tuple[tuple[str, ...], ...]
) -> None:
    found = closed(await opened_on(site, deny=(deny,)).open(lookup(path, codings)))
    assert found is Absence.MISSING


async def test_a_denied_sidecar_leaves_its_original(site: Path, opened_on: Open) -> None:
    directory = opened_on(site, deny=("*.br", "*.zst", "*.gz"))
    found = await directory.open(lookup("a.txt", ALL))
    assert await bytes_of(found) == TEXT


# -- kinds of files, permissions, faults -------------------------------------------------------


async def test_only_regular_files_are_opened(tmp_path: Path, opened_on: Open) -> None:
    os.mkfifo(tmp_path / "fifo")
    os.symlink("/dev/zero", tmp_path / "device")
    os.symlink("fifo", tmp_path / "link")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        for name in ("fifo", "device", "link", "socket"):
            assert await opened_on(tmp_path).open(lookup(name)) is Absence.MISSING, name


async def test_a_file_that_nobody_may_read_is_forbidden(tmp_path: Path, opened_on: Open) -> None:
    """Also for root, who could."""
    build(tmp_path, {"secret": b"x", "docs/index.html": b"x"})
    os.chmod(tmp_path / "secret", 0)
    os.chmod(tmp_path / "docs/index.html", 0o200)
    assert await opened_on(tmp_path).open(lookup("secret")) is Absence.FORBIDDEN
    assert await opened_on(tmp_path).open(lookup("docs/")) is Absence.FORBIDDEN


SEARCHED = {
    "/": b"<p>home",
    "docs/": b"<p>docs",
    "docs": DirectoryRedirect("docs"),
    "second/": b"<p>second choice",
    "none/": Absence.FORBIDDEN,
    "none": Absence.FORBIDDEN,
    "none/missing": Absence.MISSING,
    "secret": Absence.FORBIDDEN,
    "secret/": Absence.FORBIDDEN,
    "packed/": Absence.FORBIDDEN,
    "packed": Absence.FORBIDDEN,
}


async def test_the_index_of_a_directory_that_may_only_be_searched_is_found(opened_on: Open) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = build(Path(directory), {**SITE, "secret": b"secret"})
        searched = [root, root / "docs", root / "second", root / "none"]
        (root / "secret").chmod(0)
        (root / "packed").chmod(0o444)  # may not even be searched
        for folder in searched:
            folder.chmod(0o711 if os.geteuid() == 0 else 0o311)
        with without_privileges():
            source = opened_on(root)
            found = {path: await source.open(lookup(path)) for path in SEARCHED}
        for folder in (*searched, root / "packed"):
            folder.chmod(0o755)
        seen = {
            path: await bytes_of(each) if isinstance(each, Opened) else each
            for path, each in found.items()
        }
        assert seen == SEARCHED


async def test_a_sidecar_that_nobody_may_read_is_not_there(tmp_path: Path, opened_on: Open) -> None:
    build(tmp_path, {"a.txt": TEXT, "a.txt.br": SITE["a.txt.br"]})
    os.chmod(tmp_path / "a.txt.br", 0)
    found = await opened_on(tmp_path).open(lookup("a.txt", ALL))
    assert await bytes_of(found) == TEXT


FAULTS = [
    *((code, Absence.OVERLOADED) for code in (errno.EMFILE, errno.ENFILE, errno.ENOMEM)),
    *((code, Absence.FORBIDDEN) for code in (errno.EACCES, errno.EPERM)),
    *(
        (code, Absence.MISSING)
        for code in (errno.ELOOP, errno.EXDEV, errno.ENXIO, errno.ENAMETOOLONG)
    ),
    *((code, Absence.BROKEN) for code in (errno.EIO, errno.ESTALE, errno.EUCLEAN)),
]


@pytest.mark.parametrize(("code", "expected"), FAULTS, ids=lambda v: errno.errorcode.get(v, ""))
async def test_a_fault_of_the_system_is_an_answer(
    site: Path, opened_on: Open, monkeypatch: pytest.MonkeyPatch, code: int, expected: Absence
) -> None:
    directory = opened_on(site)

    def failing(fd: int) -> os.stat_result:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(kernel, "fstat", failing)
    assert await directory.open(lookup("large.bin")) is expected


async def test_a_fault_while_reading_is_an_answer(
    site: Path, opened_on: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = opened_on(site)

    def failing(fd: int, count: int, offset: int) -> bytes:
        raise OSError(errno.EIO, "disk")

    monkeypatch.setattr(kernel, "pread", failing)
    assert await directory.open(lookup("a.txt", ALL)) is Absence.BROKEN


async def test_a_busy_pool_is_an_answer(
    site: Path,
    opened_on: Open,
    monkeypatch: pytest.MonkeyPatch,
    open_handles: Callable[[], int],
) -> None:
    """And what the late thread opened is closed."""
    directory = opened_on(site, pool_timeout=0.01)
    before = open_handles()
    fstat = kernel.fstat

    def slow(fd: int) -> os.stat_result:
        if threading.current_thread() is threading.main_thread():
            raise BlockingIOError
        time.sleep(0.1)
        return fstat(fd)

    monkeypatch.setattr(kernel, "fstat", slow)
    assert await directory.open(lookup("large.bin")) is Absence.OVERLOADED
    await until(lambda: open_handles() == before)


async def test_a_cancelled_lookup_leaks_nothing(
    site: Path, opened_on: Open, open_handles: Callable[[], int]
) -> None:
    directory = opened_on(site)
    facts(await directory.open(lookup("large.bin")))
    before = open_handles()
    for turns in range(60):
        task = asyncio.create_task(directory.open(lookup("large.bin")))
        for _ in range(turns % 6):
            await asyncio.sleep(0)
        task.cancel()
        results = await asyncio.gather(task, return_exceptions=True)
        for found in results:
            if isinstance(found, Opened):
                found.close()
    await until(lambda: open_handles() == before)


# -- on the loop -------------------------------------------------------------------------------


async def test_what_the_kernel_has_in_memory_is_answered_without_waiting(
    site: Path, opened_on: Open
) -> None:
    directory = opened_on(site)
    if directory.tree.resolver_name != "openat2":
        assert directory.open_nowait(lookup("plain.txt")) is None
        return
    await bytes_of(await directory.open(lookup("plain.txt")))
    found = directory.open_nowait(lookup("plain.txt"))
    if found is None:
        pytest.skip("this file system does not read without waiting (RWF_NOWAIT)")
    assert await bytes_of(found) == TEXT


async def test_what_would_wait_is_none_and_leaks_nothing(
    site: Path, opened_on: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = opened_on(site)
    monkeypatch.setattr(kernel, "pread_nowait", lambda fd, count, offset: None)
    assert directory.open_nowait(lookup("plain.txt")) is None


async def test_files_that_the_kernel_reads_already_take_no_thread(
    site: Path, opened_on: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if several were asked for before the first is there."""
    directory = opened_on(site)
    if directory.tree.resolver_name != "openat2":
        pytest.skip("the walk always takes a thread")
    asked = [lookup("plain.txt"), lookup("a.txt")]
    for each in asked:
        await bytes_of(await directory.open(each))  # their names are in the kernel's caches now
    reads: list[int] = []

    def arrives(fd: int, count: int, offset: int) -> bytes | None:
        reads.append(fd)
        return None if len(reads) <= len(asked) else os.pread(fd, count, offset)

    monkeypatch.setattr(kernel, "pread_nowait", arrives)
    monkeypatch.setattr(directory, "in_pool", None)
    assert [directory.open_nowait(each) for each in asked] == [None, None]
    found = await asyncio.gather(*map(directory.open, asked))
    assert [await bytes_of(each) for each in found] == [TEXT, SITE["a.txt"]]


# -- content, tags, dates ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("etag", "path", "hashed"),
    [
        pytest.param("auto", "a.txt", True, id="auto, small"),
        pytest.param("auto", "large.bin", True, id="auto, larger than what is held in memory"),
        pytest.param("content", "a.txt", True, id="content, small"),
        pytest.param("content", "large.bin", True, id="content, large"),
        pytest.param("off", "a.txt", False, id="off, small"),
        pytest.param("off", "large.bin", False, id="off, large"),
    ],
)
async def test_content_is_hashed_as_the_setting_says(
    site: Path, opened_on: Open, etag: str, path: str, hashed: bool
) -> None:
    found = facts(await opened_on(site, etag=etag).open(lookup(path)))
    assert found.digest == (hashlib.sha256(SITE[path]).digest() if hashed else None)


async def test_a_large_file_is_hashed_once(
    site: Path, opened_on: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = opened_on(site, etag="content")
    read: list[int] = []
    pread = kernel.pread

    def counted(fd: int, count: int, offset: int) -> bytes:
        data = pread(fd, count, offset)
        read.append(len(data))
        return data

    monkeypatch.setattr(kernel, "pread", counted)
    first = facts(await directory.open(lookup("large.bin")))
    assert sum(read) == len(LARGE)
    read.clear()
    assert facts(await directory.open(lookup("large.bin"))) == first
    assert read == []


async def test_a_large_file_is_hashed_again_when_it_changed(
    tmp_path: Path, opened_on: Open
) -> None:
    build(tmp_path, {"large.bin": LARGE})
    times = (1_600_000_000 * 10**9,) * 2
    os.utime(tmp_path / "large.bin", ns=times)
    time.sleep(0.05)
    directory = opened_on(tmp_path, etag="content")
    facts(await directory.open(lookup("large.bin")))
    other = LARGE[::-1]
    (tmp_path / "large.bin").write_bytes(other)
    os.utime(tmp_path / "large.bin", ns=times)
    found = facts(await directory.open(lookup("large.bin")))
    assert found.digest == hashlib.sha256(other).digest()


async def test_small_content_is_of_one_version(
    tmp_path: Path, opened_on: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is written while it is read is read again; facts and bytes agree."""
    build(tmp_path, {"a": b"old"})
    time.sleep(0.05)
    directory = opened_on(tmp_path)
    pread = kernel.pread
    once = iter([b"new version"])

    def overtaken(fd: int, count: int, offset: int) -> bytes:
        data = pread(fd, count, offset)
        for new in once:
            (tmp_path / "a").write_bytes(new)
        return data

    monkeypatch.setattr(kernel, "pread", overtaken)
    found = await directory.open(lookup("a"))
    assert await bytes_of(found) == b"new version"
    assert facts(found).length == len(b"new version")
    assert facts(found).digest == hashlib.sha256(b"new version").digest()


@pytest.mark.parametrize(
    ("mode", "served"),
    [
        pytest.param("ab", b"0", id="grows"),
        pytest.param("r+b", None, id="is rewritten"),
        pytest.param("wb", None, id="is emptied and rewritten"),
    ],
)
async def test_of_a_file_that_never_stands_still_only_content_that_stays_is_served(
    tmp_path: Path,
    opened_on: Open,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    served: bytes | None,
) -> None:
    build(tmp_path, {"a": b"0"})
    directory = opened_on(tmp_path)
    pread, written = kernel.pread, itertools.count(1)

    def writing(fd: int, count: int, offset: int) -> bytes:
        data = pread(fd, count, offset)
        with (tmp_path / "a").open(mode) as file:
            file.write(b"%d" % next(written))
        return data

    monkeypatch.setattr(kernel, "pread", writing)
    found = await directory.open(lookup("a"))
    if served is None:
        assert found is Absence.OVERLOADED
    else:
        content = await bytes_of(found)
        assert content.startswith(served)
        assert (tmp_path / "a").read_bytes().startswith(content)
        assert facts(found).length == len(content)
        assert facts(found).digest == hashlib.sha256(content).digest()


async def test_a_sidecar_has_the_date_of_its_original(tmp_path: Path, opened_on: Open) -> None:
    build(tmp_path, {"a.txt": TEXT, "a.txt.br": SITE["a.txt.br"]})
    os.utime(tmp_path / "a.txt", ns=(5 * 10**17, 5 * 10**17))
    found = facts(await opened_on(tmp_path).open(lookup("a.txt", ALL)))
    assert (found.coding, found.modified_ns) == ("br", 5 * 10**17)


@pytest.mark.parametrize(
    ("second_ns", "dated"),
    [
        pytest.param(1_600_000_000 * 10**9, False, id="the same time restored"),
        pytest.param(1_600_000_000 * 10**9 + 5, False, id="within the same second"),
        pytest.param(1_600_000_001 * 10**9, True, id="a second later"),
    ],
)
async def test_a_date_seen_on_other_bytes_tells_nothing(
    tmp_path: Path, opened_on: Open, second_ns: int, dated: bool
) -> None:
    directory = opened_on(tmp_path)
    for data, mtime_ns in ((b"one", 1_600_000_000 * 10**9), (b"two", second_ns)):
        (tmp_path / "a").write_bytes(data)
        os.utime(tmp_path / "a", ns=(mtime_ns, mtime_ns))
        found = facts(await directory.open(lookup("a")))
    assert found.dated is dated


# -- sidecars without an original --------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "decoding"),
    [pytest.param("lone.js", "gzip", id="gzip"), pytest.param("rare.js", "br", id="br")],
)
@pytest.mark.parametrize("codings", [IDENTITY, (), (("zstd",), ("identity",))], ids=str)
async def test_a_lone_sidecar_is_decoded_for_who_does_not_accept_it(
    site: Path,
    opened_on: Open,
    path: str,
    decoding: str,
    codings: tuple[tuple[str, ...], ...],
) -> None:
    found = facts(await opened_on(site).open(lookup(path, codings)))
    assert (found.coding, found.decoding, found.negotiable) == ("identity", decoding, True)


# -- roots -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "error"),
    [("missing", FileNotFoundError), ("a.txt", NotADirectoryError)],
)
def test_a_root_that_is_no_directory_is_an_error(
    site: Path, opened_on: Open, name: str, error: type[OSError]
) -> None:
    with pytest.raises(error):
        opened_on(site / name)


async def test_a_closed_directory_opens_nothing(site: Path, kind: Any) -> None:
    directory = start(Settings(site, resolver=kind))
    directory.close()
    found = directory.open_nowait(lookup("a.txt"))
    assert found is None or isinstance(found, Absence)
