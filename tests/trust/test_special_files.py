"""What is no ordinary file is not there; what is huge, sparse or empty is served to the byte."""

from __future__ import annotations

import os
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import Server, serving
from tests.support.site import write_site

pytestmark = pytest.mark.grid

TIB = 1 << 40
MARK = b"the octets in the middle of a hole"
MARK_AT = TIB - 100


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_site(
        tmp_path_factory.mktemp("special") / "site", {"empty.txt": b"", "a.txt": b"a"}
    )
    os.mkfifo(root / "fifo")
    os.mkfifo(root / "index.html")
    os.mkfifo(root / "a.txt.gz")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
    if os.geteuid() == 0:
        os.mknod(root / "zero", stat.S_IFCHR | 0o644, os.makedev(1, 5))
        os.mknod(root / "block", stat.S_IFBLK | 0o644, os.makedev(7, 250))
    (root / "proc").symlink_to("/proc")
    with (root / "sparse.bin").open("wb") as file:
        file.truncate(TIB)
        file.seek(MARK_AT)
        file.write(MARK)
    return root


@pytest.fixture(scope="module", params=["openat2", "walk"])
def server(request: pytest.FixtureRequest, setup: str, root: Path) -> Iterator[Server]:
    with serving(setup, root, resolver=request.param) as server:
        yield server


NO_FILES = [
    "/fifo",
    "/",
    "/index.html",
    "/socket",
    "/zero",
    "/block",
    "/proc/self/environ",
    "/proc",
]


@pytest.mark.parametrize("target", NO_FILES)
def test_what_is_no_regular_file_is_not_there_and_is_not_waited_for(
    server: Server, target: str
) -> None:
    began = time.monotonic()
    for method in ("GET", "HEAD"):
        assert server.fetch(target, "Connection: close", method=method).status == 404
    assert time.monotonic() - began < 2.0  # a FIFO without a writer would be waited for for ever


def test_a_sidecar_that_is_a_fifo_is_none(server: Server) -> None:
    answer = server.fetch("/a.txt", "Accept-Encoding: gzip")
    assert (answer.status, answer.content) == (200, b"a")


@pytest.mark.parametrize("precompressed", ["0", "1"])
def test_without_negotiation_the_answers_are_the_same(
    setup: str, root: Path, precompressed: str
) -> None:
    with serving(setup, root, precompressed=precompressed) as server:
        assert {server.fetch(target).status for target in NO_FILES} == {404}


def test_an_empty_file_has_no_bytes_and_no_ranges(server: Server) -> None:
    answer = server.fetch("/empty.txt")
    assert (answer.status, answer.content) == (200, b"")
    assert answer.field("content-length") == "0"
    assert server.fetch("/empty.txt", "Range: bytes=0-").status == 416


RANGES = [
    pytest.param(f"bytes={MARK_AT}-{MARK_AT + len(MARK) - 1}", MARK, MARK_AT, id="middle"),
    pytest.param(f"bytes={TIB - 10}-", b"\0" * 10, TIB - 10, id="open-end"),
    pytest.param("bytes=-100", MARK + b"\0" * (100 - len(MARK)), MARK_AT, id="suffix"),
    pytest.param(f"bytes={TIB - 1}-{TIB * 9}", b"\0", TIB - 1, id="last"),
    pytest.param(f"bytes={(1 << 32) - 2}-{(1 << 32) + 1}", b"\0" * 4, (1 << 32) - 2, id="4-gib"),
    pytest.param(f"bytes={(1 << 31) - 2}-{(1 << 31) + 1}", b"\0" * 4, (1 << 31) - 2, id="2-gib"),
]


@pytest.mark.parametrize(("ranges", "data", "first"), RANGES)
def test_ranges_of_a_file_of_one_tebibyte_are_right(
    server: Server, ranges: str, data: bytes, first: int
) -> None:
    answer = server.fetch("/sparse.bin", f"Range: {ranges}")
    assert (answer.status, answer.content) == (206, data)
    last = first + len(data) - 1
    assert answer.field("content-range") == f"bytes {first}-{last}/{TIB}"


@pytest.mark.parametrize("position", [TIB, TIB + 1, 1 << 63, 1 << 64, 10**40])
def test_a_range_beyond_one_tebibyte_is_not_satisfiable(server: Server, position: int) -> None:
    answer = server.fetch("/sparse.bin", f"Range: bytes={position}-")
    assert answer.status == 416
    assert answer.field("content-range") == f"bytes */{TIB}"


def test_head_knows_the_size_of_one_tebibyte(server: Server) -> None:
    assert server.fetch("/sparse.bin", method="HEAD").field("content-length") == str(TIB)
