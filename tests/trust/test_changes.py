"""Bytes that change under equal names, sizes and times: never a 304, never a 206, never a mixture.

What happens to a transfer under way is in ``tests/serve/test_streaming.py``; here is what is
asked afterwards, and the transfers that fit into a socket's buffer.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.http2 import Connection2
from tests.support.raw import Answer, head
from tests.support.servers import Server, serving
from tests.support.site import write_site

pytestmark = pytest.mark.grid(setup="serve")

SMALL, LARGE, HUGE = 1000, 300_000, 9_000_000  # held in memory; hashed; not hashed
LONG_AGO_NS = 1_500_000_000_000_000_000


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(tmp_path_factory.mktemp("changes") / "site", {"index.html": b"home"})


@pytest.fixture(scope="module")
def server(setup: str, root: Path) -> Iterator[Server]:
    with serving(setup, root) as server:
        yield server


def overwrite(path: Path, content: bytes) -> None:
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()


def replace(path: Path, content: bytes) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(content)
    fresh.replace(path)


def remove_and_create(path: Path, content: bytes) -> None:
    path.unlink()  # the inode number may be given to the new file
    path.write_bytes(content)


WAYS = [
    pytest.param(overwrite, id="in-place"),
    pytest.param(replace, id="by-rename"),
    pytest.param(remove_and_create, id="anew"),
]


@pytest.fixture(params=[SMALL, LARGE, HUGE], ids=["small", "large", "huge"])
def versions(request: pytest.FixtureRequest) -> tuple[bytes, bytes]:
    """Two contents of equal size, different in one byte in their middle."""
    data = random.Random(request.param).randbytes(request.param)
    middle = len(data) // 2
    return data, data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize("change", WAYS)
def test_new_bytes_of_equal_size_and_time_are_never_taken_for_the_old(
    server: Server,
    root: Path,
    versions: tuple[bytes, bytes],
    change: Callable[[Path, bytes], None],
) -> None:
    path = root / "page.bin"
    path.write_bytes(versions[0])
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    first = server.fetch("/page.bin")
    assert first.content == versions[0]
    tag, date = first.field("etag"), first.field("last-modified")

    time.sleep(0.02)  # beyond the clock's tick, within which no file system tells versions apart
    change(path, versions[1])
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    for lines in (
        (f"If-None-Match: {tag}",),
        (f"If-None-Match: {tag}", f"If-Modified-Since: {date}"),
        ("Range: bytes=0-9", f"If-Range: {tag}"),
        (f"Range: bytes=-{len(versions[1])}", f"If-Range: {tag}"),
    ):
        answer = server.fetch("/page.bin", *lines)
        assert (answer.status, answer.content) == (200, versions[1]), lines
        assert answer.field("etag") != tag


def test_a_name_is_missing_exactly_as_long_as_nothing_is_there(server: Server, root: Path) -> None:
    """However often it was asked for, and its page comes as each client accepts it."""
    path = root / "coming and going.txt"
    target = "/coming%20and%20going.txt"
    for round_ in range(3):
        time.sleep(0.05)  # longer than a tick of the clock: the directory's times tell
        for _ in range(3):
            page, text = server.fetch(target, "Accept: text/html"), server.fetch(target)
            assert (page.status, text.status) == (404, 404)
            assert (page.content[:9], text.content[:4]) == (b"<!doctype", b"404 ")
            assert server.fetch(target, method="HEAD").content == b""
        path.write_bytes(b"%d" % round_)
        assert server.fetch(target).content == b"%d" % round_
        path.unlink()


@pytest.mark.parametrize("change", WAYS)
def test_writes_within_one_tick_of_the_clock_give_no_false_304(
    server: Server, root: Path, change: Callable[[Path, bytes], None]
) -> None:
    """Writes and requests as fast as they go: a tag that came with other bytes never matches."""
    path = root / "tick.bin"
    path.write_bytes(b"%06d" % 0)
    seen: dict[str, bytes] = {}
    with server.connect() as connection:
        for number in range(1, 400):
            content = b"%06d" % (number % 7)
            change(path, content)
            for _ in range(2):
                check_tick(connection.get("/tick.bin", *asking_for(seen)), content, seen)


def asking_for(seen: dict[str, bytes]) -> tuple[str, ...]:
    return (f"If-None-Match: {', '.join(seen)}",) if seen else ()


def check_tick(answer: Answer, content: bytes, seen: dict[str, bytes]) -> None:
    tag = answer.field("etag")
    assert tag is not None
    assert answer.status in (200, 304)
    if answer.status == 304:
        assert seen[tag] == content, "a false 304"
    else:
        assert answer.content == content
        assert seen.setdefault(tag, content) == content, "one tag for two contents"


#: Held in memory; sent from the file, copied or not.
SIZES = [1_000, 40_000, 100_000, 300_000, 2_000_000, 9_000_000]


@pytest.mark.parametrize("taken", [1, 50_000])
@pytest.mark.parametrize("size", SIZES)
def test_a_file_rewritten_between_sending_and_reading_is_not_a_mixture(
    server: Server, root: Path, size: int, taken: int
) -> None:
    """What waits in a buffer for the client is what was there when it was sent."""
    path = root / "mixed.bin"
    path.write_bytes(b"A" * size)
    time.sleep(0.02)  # beyond the clock's tick, so that it is kept in memory
    for _ in range(2):
        assert server.fetch("/mixed.bin").content == b"A" * size
    with server.connect() as connection:
        connection.send(head("/mixed.bin"))
        connection.receive(min(taken, size))
        time.sleep(0.05)  # and, where it fits, is sent
        overwrite(path, b"B" * size)
        answer = connection.read()
    assert not answer.complete or answer.content == b"A" * size


def test_over_http_2_a_file_rewritten_while_it_is_sent_is_no_clean_mixture(
    server: Server, root: Path
) -> None:
    path, size = root / "mixed2.bin", 16 * 1024 * 1024
    path.write_bytes(b"A" * size)
    with Connection2(server.port) as connection:
        stream = connection.request("/mixed2.bin")
        connection.until_content(stream)
        overwrite(path, b"B" * size)
        try:
            content = connection.read(stream).content
        except Exception:
            return
    assert content in (b"A" * size, b"B" * size)
