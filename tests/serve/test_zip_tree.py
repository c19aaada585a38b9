"""A zip archive as a root is served through each entry as a directory with the same files.

The directory, with the same files and times, is the judge: each answer must be the same.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from asyncstatic import StaticFiles
from asyncstatic.files.handle import identity_of
from asyncstatic.files.root import Segments
from asyncstatic.files.tree import File
from asyncstatic.files.zip_tree import ZipTree
from asyncstatic.http import respond, validators
from asyncstatic.serve.cut import TransferAborted
from tests.asgi import ask
from tests.serve.inside import serving_inside
from tests.support.raw import Answer, head
from tests.support.site import write_site
from tests.support.zips import write_zip

NUMBERS = random.Random(7)
LARGE = NUMBERS.randbytes(9 * 1024 * 1024 + 3)  # too large to be hashed; leaves by sendfile(2)
TEXT = b"// a script\n" * 20_000
SCRIPT = NUMBERS.randbytes(100_000).hex().encode()
SITE = {
    "before.bin": NUMBERS.randbytes(5001),
    "index.html": b"<p>index",
    "docs/index.html": b"<p>docs",
    "small.txt": b"hello",
    "empty.txt": b"",
    "large.bin": LARGE,
    "text.js": TEXT,
    "text.js.gz": gzip.compress(TEXT, mtime=0),
    "script.js": SCRIPT,
    "script.js.gz": gzip.compress(SCRIPT, mtime=0),
    "stale.js": SCRIPT,
    "stale.js.gz": gzip.compress(b"something else", mtime=0),
    "lone.txt.gz": gzip.compress(SCRIPT, mtime=0),
    "404.html": b"<p>not here",
    "behind.bin": NUMBERS.randbytes(5001),
}
OFFSET_OF_LARGE = 5001 + 30  # at least: what is before it in the archive


def let_settle(*paths: Path) -> None:
    """Wait until a write would change the times of each path."""
    while any(identity_of(path.stat()).racy(time.time_ns()) for path in paths):
        time.sleep(0.005)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zip and a directory with the same files and the same time.

    No file is young: a tag would be weak until two seconds have passed, between two requests.
    """
    for module in (respond, validators):
        monkeypatch.setattr(module, "YOUNG_NS", 0)
    write_site(tmp_path / "site", SITE)
    write_zip(tmp_path / "site.zip", SITE)
    moment = 1_700_000_000_123_456_789
    for path in (tmp_path / "site.zip", *(tmp_path / "site" / name for name in SITE)):
        os.utime(path, ns=(moment, moment))
    let_settle(tmp_path / "site.zip", tmp_path / "site", *(tmp_path / "site").rglob("*"))
    return tmp_path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Segments]:
    """The names that are opened in archives."""
    names: list[Segments] = []

    def open_file(tree: ZipTree, segments: Segments, coding: str = "identity") -> File:
        file = really(tree, segments, coding)
        names.append(segments)
        return file

    really = ZipTree.open_file
    monkeypatch.setattr(ZipTree, "open_file", open_file)
    return names


def made(root: Path, **settings: Any) -> StaticFiles:
    return StaticFiles(root, not_found="404.html", **settings)


REQUESTS: list[tuple[str, dict[str, str]]] = [
    ("/", {}),
    ("/docs", {}),
    ("/docs/", {}),
    ("/small.txt", {}),
    ("/small.txt", {"range": "bytes=1-3"}),
    ("/small.txt", {"range": "bytes=5-"}),
    ("/empty.txt", {}),
    ("/empty.txt", {"range": "bytes=0-0"}),
    ("/large.bin", {}),
    ("/large.bin", {"range": "bytes=0-0"}),
    ("/large.bin", {"range": f"bytes={len(LARGE) - 1}-"}),
    ("/large.bin", {"range": "bytes=-700000"}),
    ("/large.bin", {"range": "bytes=3000000-8999999"}),
    ("/large.bin", {"range": "bytes=0-99,2000000-4000000,-10"}),
    ("/large.bin", {"range": f"bytes={len(LARGE)}-"}),
    ("/large.bin", {"if-none-match": "*"}),
    ("/large.bin", {"if-modified-since": "Tue, 14 Nov 2023 22:13:20 GMT"}),
    ("/text.js", {"accept-encoding": "gzip"}),
    ("/script.js", {"accept-encoding": "gzip"}),
    ("/script.js", {"accept-encoding": "gzip", "range": "bytes=1000-100999"}),
    ("/stale.js", {"accept-encoding": "gzip"}),
    ("/lone.txt", {"accept-encoding": "gzip"}),
    ("/lone.txt", {}),
    ("/missing", {}),
    ("/small.txt/", {}),
]


def same(ours: dict[str, str], theirs: dict[str, str]) -> None:
    """Compare fields, but for the date and the random boundary of several ranges."""
    left_out = {"date", "connection"}
    if "multipart" in ours.get("content-type", ""):
        left_out.add("content-type")
    assert {n: v for n, v in ours.items() if n not in left_out} == {
        n: v for n, v in theirs.items() if n not in left_out
    }


def without_boundary(content_type: str, content: bytes) -> bytes:
    return content.replace(content_type.partition("boundary=")[2].encode() or b"\0", b"")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_portable_entry_answers_from_a_zip_as_from_a_directory(
    place: Path, method: str
) -> None:
    zipped = await asyncio.to_thread(made, place / "site.zip")
    judge = await asyncio.to_thread(made, place / "site")
    for target, fields in REQUESTS:
        for _ in range(2):  # the second time from the cache
            ours = await ask(zipped, target, fields, method=method)
            theirs = await ask(judge, target, fields, method=method)
            assert ours.status == theirs.status, target
            same(ours.headers, theirs.headers)
            kinds = ours.headers.get("content-type", ""), theirs.headers.get("content-type", "")
            assert without_boundary(kinds[0], ours.body) == without_boundary(kinds[1], theirs.body)


@contextmanager
def entry(app: StaticFiles, kind: str) -> Iterator[Callable[..., Answer]]:
    """Run a server; keep one connection to it."""
    with serving_inside(app, direct=kind == "direct") as server, server.connect() as connection:
        yield connection.get


@pytest.mark.parametrize("kind", ["direct", "hypercorn"])
def test_each_server_answers_from_a_zip_as_from_a_directory(place: Path, kind: str) -> None:
    zipped, judge = made(place / "site.zip"), made(place / "site")
    with entry(zipped, kind) as ask_zip, entry(judge, kind) as ask_judge:
        for target, fields in REQUESTS:
            lines = [f"{name}: {value}" for name, value in fields.items()]
            for _ in range(3):  # looked up, prepared, and from an anonymous file
                ours, theirs = ask_zip(target, *lines), ask_judge(target, *lines)
                assert (ours.status, ours.complete) == (theirs.status, True), target
                same(dict(ours.fields), dict(theirs.fields))
                kinds = ours.field("content-type") or "", theirs.field("content-type") or ""
                assert without_boundary(kinds[0], ours.content) == without_boundary(
                    kinds[1], theirs.content
                )


async def test_members_are_cached_and_an_archive_that_replaces_it_is_seen_at_once(
    place: Path, opened: list[Segments]
) -> None:
    app = await asyncio.to_thread(made, place / "site.zip")
    for target, content in (("/small.txt", b"hello"), ("/large.bin", LARGE)):
        assert (await ask(app, target)).body == content
        count = len(opened)
        assert (await ask(app, target)).body == content
        assert len(opened) == count, "it was opened again"
    write_zip(place / "next.zip", {**SITE, "small.txt": b"other", "added.txt": b"added"})
    (place / "next.zip").replace(place / "site.zip")
    assert (await ask(app, "/small.txt")).body == b"other"
    assert (await ask(app, "/added.txt")).body == b"added"


# -- a server that sends files itself ----------------------------------------------------------

ZERO_COPY: dict[str, Any] = {"http.response.zerocopysend": {}}
BY_NAME: dict[str, Any] = {"http.response.pathsend": {}}


@pytest.mark.parametrize("range_", [None, "bytes=2000000-4000000", "bytes=0-9,3000000-5000000"])
async def test_zerocopysend_is_told_the_place_in_the_archive(
    place: Path, range_: str | None
) -> None:
    zipped = await asyncio.to_thread(made, place / "site.zip")
    sent = b""

    async def copying(scope: Any, receive: Any, send: Any) -> None:
        async def copy(message: Any) -> None:
            nonlocal sent
            if message["type"] == "http.response.zerocopysend":
                assert message["offset"] >= OFFSET_OF_LARGE
                fd, count, offset = message["file"].fileno(), message["count"], message["offset"]
                sent += await asyncio.to_thread(os.pread, fd, count, offset)
            else:
                sent += message.get("body", b"")
            await send(message)

        await zipped(scope, receive, copy)

    fields = {"range": range_} if range_ else {}
    reply = await ask(copying, "/large.bin", fields, extensions=ZERO_COPY)
    plain = await ask(zipped, "/large.bin", fields)
    kinds = [answer.headers["content-type"] for answer in (reply, plain)]
    assert without_boundary(kinds[0], sent) == without_boundary(kinds[1], plain.body)


@pytest.mark.parametrize(
    "settings",
    [
        {"unchanging": True},
        {"offload": "x-sendfile"},
        {"offload": "x-accel-redirect", "offload_prefix": "/_files"},
    ],
    ids=str,
)
async def test_what_names_files_cannot_name_a_member_so_we_send_it(
    place: Path, settings: dict[str, Any]
) -> None:
    zipped = await asyncio.to_thread(made, place / "site.zip", **settings)
    reply = await ask(zipped, "/large.bin", extensions=BY_NAME)
    assert (reply.status, reply.body) == (200, LARGE)
    assert not reply.headers.keys() & {"x-sendfile", "x-accel-redirect"}


# -- an archive that changes while a member is sent --------------------------------------------


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def rewrite(path: Path, name: str) -> None:
    """Rewrite a member in place."""
    offset = path.read_bytes().index(SITE[name][:100])
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(NUMBERS.randbytes(len(SITE[name])))


CHANGES = [
    pytest.param(append, True, id="the archive grows"),
    pytest.param(lambda path: rewrite(path, "before.bin"), True, id="the member before"),
    pytest.param(lambda path: rewrite(path, "behind.bin"), True, id="a member behind"),
    pytest.param(lambda path: rewrite(path, "large.bin"), False, id="the member itself"),
    pytest.param(lambda path: os.truncate(path, 5_000_000), False, id="the archive is cut"),
    pytest.param(Path.unlink, True, id="the archive is removed"),
]


@pytest.mark.parametrize(("change", "whole"), CHANGES)
@pytest.mark.parametrize("kind", ["direct", "hypercorn"])
def test_a_member_is_sent_whole_while_its_own_bytes_stay(
    place: Path, kind: str, change: Callable[[Path], None], whole: bool
) -> None:
    archive = place / "site.zip"
    zipped = made(archive)
    with (
        serving_inside(zipped, direct=kind == "direct") as server,
        server.connect(receive_buffer=16 * 1024) as connection,
    ):
        connection.send(head("/large.bin"))
        connection.receive(100_000)
        change(archive)
        answer = connection.read()
        assert answer.complete is whole
        assert (answer.content == LARGE) is whole


async def test_zerocopysend_notices_too(place: Path) -> None:
    zipped = await asyncio.to_thread(made, place / "site.zip")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def change(message: Any) -> None:
            if message["type"] == "http.response.zerocopysend":
                await asyncio.to_thread(rewrite, place / "site.zip", "large.bin")
            await send(message)

        await zipped(scope, receive, change)

    with pytest.raises(TransferAborted):
        await ask(app, "/large.bin", extensions=ZERO_COPY)
