"""Python's own clients, httpx, and a zip archive that is read where it lies."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import urllib.request
import zipfile
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import httpx
import pytest

from tests.clients.conftest import aged
from tests.clients.tap import Tap
from tests.support.raw import HOST
from tests.support.servers import Server

SIZES = (0, 1, 1000, 70_000, 900_000)
NO_FIELDS: Mapping[str, str] = {}


class RangeReader:
    """A file over HTTP, read by ranges: what readers of zip and Parquet archives are given."""

    def __init__(self, port: int, target: str) -> None:
        self._connection = HTTPConnection(HOST, port, timeout=10)
        self._target = target
        self._at = 0
        head = self._ask("HEAD")
        assert head.getheader("Accept-Ranges") == "bytes"
        self._size = int(str(head.getheader("Content-Length")))
        # Pieces of two versions are never put together (RFC 9110 §13.1.1).
        self._version = str(head.getheader("ETag"))
        head.read()

    def __enter__(self) -> RangeReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = origin + offset
        return self._at

    def read(self, count: int | None = -1) -> bytes:
        wanted = self._size if count is None or count < 0 else count
        end = min(self._at + wanted, self._size)
        if end <= self._at:
            return b""
        fields = {"Range": f"bytes={self._at}-{end - 1}", "If-Match": self._version}
        response = self._ask("GET", fields)
        data = response.read()
        if response.status != 206:
            raise OSError(f"{response.status} for {self._target}")
        self._at = end
        return data

    def _ask(self, method: str, fields: Mapping[str, str] = NO_FIELDS) -> HTTPResponse:
        self._connection.request(method, self._target, headers=fields)
        return self._connection.getresponse()


@pytest.fixture(scope="module")
def members() -> dict[str, bytes]:
    return {
        f"{number}/member.bin": random.Random(number).randbytes(size)
        for number, size in enumerate(SIZES)
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, members: dict[str, bytes]) -> Path:
    root = tmp_path_factory.mktemp("python")
    write_archive(root / "archive.zip", members)
    (root / "folder").mkdir()
    (root / "folder/index.html").write_text("<!doctype html><title>Folder</title>")
    for number, data in enumerate(members.values()):
        (root / f"{number}.bin").write_bytes(data)
    return root


def write_archive(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def test_zipfile_reads_an_archive_by_ranges(
    tap: Tap, root: Path, members: dict[str, bytes]
) -> None:
    aged(root / "archive.zip")  # If-Match wants a strong tag
    with RangeReader(tap.port, "/archive.zip") as file, zipfile.ZipFile(file) as archive:
        assert archive.namelist() == list(members)
        # The directory at the end, of a megabyte.
        assert sum(exchange.received for exchange in tap.exchanges()) < 10_000
        assert {name: archive.read(name) for name in archive.namelist()} == members
    assert tap.connections == 1
    assert {exchange.seen[::2] for exchange in tap.exchanges()} == {("HEAD", 200), ("GET", 206)}


def test_a_reader_of_ranges_learns_that_the_archive_was_replaced(
    server: Server, root: Path, members: dict[str, bytes]
) -> None:
    replaced = root / f"replaced-{server.port}.zip"
    write_archive(replaced, members)
    aged(replaced)
    with RangeReader(server.port, f"/{replaced.name}") as file:
        assert len(file.read(100)) == 100
        write_archive(replaced, dict(reversed(members.items())))
        with pytest.raises(OSError, match="412"):
            file.read(100)


def test_urllib_follows_the_redirect_of_a_directory(server: Server) -> None:
    with urllib.request.urlopen(server.url("/folder?keep=this"), timeout=10) as response:
        assert response.status == 200
        assert response.url == server.url("/folder/?keep=this")
        assert b"<title>Folder</title>" in response.read()


def test_urlretrieve_saves_every_byte(server: Server, root: Path, tmp_path: Path) -> None:
    with (
        urllib.request.urlopen(server.url("/archive.zip"), timeout=10) as response,
        (tmp_path / "archive.zip").open("wb") as saved,
    ):
        shutil.copyfileobj(response, saved)
    assert (tmp_path / "archive.zip").read_bytes() == (root / "archive.zip").read_bytes()


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
async def test_httpx_asks_for_many_things_at_once(
    server: Server, members: dict[str, bytes], version: str
) -> None:
    two = version == "HTTP/2"
    async with httpx.AsyncClient(http1=not two, http2=two, base_url=server.url()) as client:
        numbers = [number for number in range(len(members)) for _ in range(12)]
        answers = await asyncio.gather(*(client.get(f"{number}.bin") for number in numbers))
    contents = list(members.values())
    assert {answer.http_version for answer in answers} == {version}
    assert [answer.content for answer in answers] == [contents[number] for number in numbers]


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
def test_httpx_leaves_a_stream_half_read_and_goes_on(
    server: Server, members: dict[str, bytes], version: str
) -> None:
    two = version == "HTTP/2"
    with httpx.Client(http1=not two, http2=two, base_url=server.url()) as client:
        for _ in range(10):
            with client.stream("GET", "4.bin") as answer:
                next(answer.iter_raw())
        assert client.get("3.bin").content == members["3/member.bin"]
