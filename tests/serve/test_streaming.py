"""A file that changes while it is sent is never ended cleanly with wrong bytes (promise 3)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.raw import Answer, head
from tests.support.servers import Server, serving
from tests.support.site import write_site

pytestmark = pytest.mark.grid(setup="serve")

SIZE = 16 * 1024 * 1024  # more than the socket buffers of both ends hold
OLD = b"A" * SIZE
NEW = b"B" * SIZE


def truncate(path: Path) -> None:
    os.truncate(path, SIZE // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(NEW)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"B" * 1000)


def rewrite_and_grow(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(NEW + b"B")


def touch(path: Path) -> None:
    os.utime(path)


def replace(path: Path) -> None:
    fresh = path.with_name("fresh")
    fresh.write_bytes(NEW)
    fresh.replace(path)


def unlink(path: Path) -> None:
    path.unlink()


def outcome(answer: Answer, expected: bytes) -> str:
    """What a client makes of an answer: "incomplete", "wholly old", or "wrong"."""
    if not answer.complete:
        return "incomplete"
    return "wholly old" if answer.content == expected else "wrong"


def download_while(server: Server, change: Callable[[], None], *lines: str) -> Answer:
    """Get the file with a client that stops reading behind the head until it has changed."""
    with server.connect(timeout=30, receive_buffer=4096) as connection:
        connection.send(head("/huge.bin", *lines))
        connection.socket.recv(1, 2)  # MSG_PEEK: the answer has begun
        change()
        return connection.read()


CHANGES = [
    pytest.param(truncate, {"incomplete"}, id="truncated"),
    pytest.param(empty, {"incomplete"}, id="emptied"),
    pytest.param(rewrite, {"incomplete", "wholly old"}, id="rewritten in place"),
    pytest.param(rewrite_and_grow, {"incomplete", "wholly old"}, id="rewritten and grown"),
    pytest.param(grow, {"wholly old"}, id="grown"),
    pytest.param(touch, {"wholly old"}, id="touched"),
    pytest.param(replace, {"wholly old"}, id="renamed over"),
    pytest.param(unlink, {"wholly old"}, id="unlinked"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(tmp_path_factory.mktemp("streaming") / "site", {"index.html": b"home"})


@pytest.fixture(scope="module")
def server(setup: str, root: Path) -> Iterator[Server]:
    with serving(setup, root) as server:
        yield server


@pytest.fixture
def huge(server: Server, root: Path) -> Iterator[tuple[Server, Path]]:
    path = root / "huge.bin"
    path.write_bytes(OLD)
    yield server, path
    path.unlink(missing_ok=True)  # pytest keeps what is left


@pytest.mark.slow
@pytest.mark.parametrize(("change", "allowed"), CHANGES)
def test_a_file_that_changes_while_it_is_sent(
    huge: tuple[Server, Path], change: Callable[[Path], None], allowed: set[str]
) -> None:
    server, path = huge
    answer = download_while(server, lambda: change(path))
    assert outcome(answer, OLD) in allowed
    assert server.fetch("/").content == b"home"


@pytest.mark.parametrize(("change", "allowed"), CHANGES)
def test_a_range_of_a_file_that_changes_while_it_is_sent(
    huge: tuple[Server, Path], change: Callable[[Path], None], allowed: set[str]
) -> None:
    server, path = huge
    answer = download_while(server, lambda: change(path), f"Range: bytes=1-{SIZE - 2}")
    assert outcome(answer, OLD[1:-1]) in allowed


def test_parts_of_a_file_that_is_cut_while_they_are_sent(huge: tuple[Server, Path]) -> None:
    server, path = huge
    ranges = f"Range: bytes=0-{SIZE // 4},{SIZE // 2}-{SIZE - 1}"
    assert not download_while(server, lambda: truncate(path), ranges).complete


def test_many_parts_are_sent_whole(huge: tuple[Server, Path]) -> None:
    server, _ = huge
    answer = server.fetch("/huge.bin", "Range: bytes=0-9,100-109,1000000-4000000")
    assert (answer.status, answer.complete) == (206, True)
    assert answer.content.count(b"A") == 10 + 10 + 3_000_001


def test_the_server_holds_little_for_a_client_that_does_not_read(
    huge: tuple[Server, Path],
) -> None:
    server, _ = huge
    server.fetch("/huge.bin", "Range: bytes=0-2000000")
    before = server.resident_bytes()
    stalled = [server.connect(receive_buffer=4096) for _ in range(32)]
    for connection in stalled:
        connection.send(head("/huge.bin"))
    for connection in stalled:
        connection.socket.recv(1, 2)
    grown = server.resident_bytes() - before
    for connection in stalled:
        connection.reset()
    assert grown < 32 * 1024 * 1024
    assert server.fetch("/").content == b"home"
