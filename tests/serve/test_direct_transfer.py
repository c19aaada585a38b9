"""Large content in the direct entry: whole or visibly cut, at the client's pace, off the disk's."""

from __future__ import annotations

import errno
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from email.parser import BytesParser
from functools import partial
from pathlib import Path

import pytest

from asyncstatic import StaticFiles
from asyncstatic.files import kernel
from tests.serve.inside import LOOPS, Inside, eventually, open_handles, serving_inside
from tests.support.raw import head

pytestmark = pytest.mark.grid

SIZE = 24 * 1024 * 1024 + 5
CONTENT = random.Random(4).randbytes(SIZE)

#: How content leaves: by sendfile(2), or piece by piece through the transport.
WAYS = ("sendfile", "pieces")


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "large.bin").write_bytes(CONTENT)
    (tmp_path / "small.txt").write_bytes(b"small")
    return tmp_path


@pytest.fixture(params=WAYS)
def inside(
    request: pytest.FixtureRequest, root: Path, loop: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Inside]:
    if request.param == "pieces":
        monkeypatch.setattr(kernel, "HAS_SENDFILE", False)
    with serving_inside(StaticFiles(root, send_timeout=1.0), loop=loop) as server:
        with server.connect() as connection:
            assert connection.get("/small.txt").status == 200
        yield server


def test_large_content_is_whole(inside: Inside) -> None:
    with inside.connect() as connection:
        for _ in range(2):
            answer = connection.get("/large.bin")
            assert (answer.status, answer.complete) == (200, True)
            assert answer.content == CONTENT
        assert connection.get("/small.txt").content == b"small"


@pytest.mark.parametrize(
    ("first", "last"),
    [
        pytest.param(0, 0, id="first byte"),
        pytest.param(SIZE - 1, SIZE - 1, id="last byte"),
        pytest.param(1, 9_999_999, id="across windows"),
        pytest.param(4 * 1024 * 1024, 8 * 1024 * 1024 - 1, id="one window"),
        pytest.param(4 * 1024 * 1024 - 1, 4 * 1024 * 1024, id="around an edge"),
    ],
)
def test_a_range_is_its_bytes(inside: Inside, first: int, last: int) -> None:
    with inside.connect() as connection:
        answer = connection.get("/large.bin", f"Range: bytes={first}-{last}")
        assert answer.status == 206
        assert answer.content == CONTENT[first : last + 1]


def test_several_ranges_are_their_bytes(inside: Inside) -> None:
    wanted = [(0, 99_999), (5_000_000, 11_000_000), (SIZE - 7, SIZE - 1)]
    ranges = ",".join(f"{first}-{last}" for first, last in wanted)
    with inside.connect() as connection:
        answer = connection.get("/large.bin", f"Range: bytes={ranges}")
        assert connection.get("/small.txt").content == b"small"
    head_bytes = f"Content-Type: {answer.field('content-type')}\r\n\r\n".encode()
    parts = BytesParser().parsebytes(head_bytes + answer.content).get_payload()
    assert isinstance(parts, list)
    data = [part.get_payload(decode=True) for part in parts if not isinstance(part, str)]
    assert data == [CONTENT[first : last + 1] for first, last in wanted]


# -- clients that leave or stall -------------------------------------------------------------


@pytest.mark.slow
def test_a_client_that_stalls_is_dropped_and_its_handles_with_it(inside: Inside) -> None:
    before = open_handles()
    with inside.connect(receive_buffer=4096) as stalled:
        stalled.send(head("/large.bin"))
        assert stalled.take(1000)
        assert open_handles() > before + 1
        assert eventually(lambda: open_handles() <= before + 1)
        assert len(stalled.take(SIZE)) < SIZE


def test_clients_that_reset_leave_nothing_behind(inside: Inside) -> None:
    before = open_handles()
    for _ in range(30):
        with inside.connect(receive_buffer=4096) as connection:
            connection.send(head("/large.bin"))
            assert connection.take(1000)
            connection.reset()
    assert eventually(lambda: open_handles() <= before)


@pytest.mark.parametrize("way", ["reset", "dropped"])
def test_who_goes_in_mid_transfer_does_not_spoil_that_of_the_next(inside: Inside, way: str) -> None:
    """The numbers of its handles go to the next connection."""
    going = [inside.connect(receive_buffer=4096) for _ in range(4)]
    for connection in going:
        connection.send(head("/large.bin"))
        assert connection.take(1000)
    if way == "dropped":
        time.sleep(2.0)  # past their deadline, without a reset that would end them otherwise
    for connection in going:
        connection.reset()
    following = [inside.connect() for _ in range(8)]
    for connection in following:
        with connection:
            assert connection.get("/large.bin").content == CONTENT


# -- files that change while they are sent ---------------------------------------------------


def _truncate(path: Path) -> None:
    os.truncate(path, 2_000_000)


def _rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\0" * SIZE)


def _rewrite_and_grow(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\0" * (SIZE + 4))


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


@pytest.mark.parametrize("change", [_truncate, _rewrite, _rewrite_and_grow])
def test_a_file_that_changes_while_it_is_sent_does_not_end_cleanly(
    inside: Inside, root: Path, change: Callable[[Path], None]
) -> None:
    with inside.connect(receive_buffer=65_536) as connection:
        connection.send(head("/large.bin"))
        taken = connection.take(100_000)
        change(root / "large.bin")
        taken += connection.take(SIZE)
        assert len(taken) - taken.index(b"\r\n\r\n") - 4 < SIZE
        assert connection.ended()


def test_a_file_that_is_replaced_while_it_is_sent_is_sent_to_its_end(
    inside: Inside, root: Path
) -> None:
    (root / "new.bin").write_bytes(b"new")
    with inside.connect(receive_buffer=65_536) as connection:
        connection.send(head("/large.bin"))
        taken = connection.take(100_000)
        (root / "new.bin").rename(root / "large.bin")
        start = taken.index(b"\r\n\r\n") + 4
        taken += connection.take(start + SIZE - len(taken))
        assert taken[start:] == CONTENT


@pytest.mark.parametrize("change", [_append, os.utime])
def test_a_file_that_only_grows_or_is_touched_while_it_is_sent_is_sent_to_its_end(
    inside: Inside, root: Path, change: Callable[[Path], None]
) -> None:
    with inside.connect(receive_buffer=65_536) as connection:
        for _ in range(2):
            connection.send(head("/large.bin"))
            connection.receive(100_000)
            change(root / "large.bin")
            answer = connection.read()
            assert answer.content[:SIZE] == CONTENT
            assert answer.complete


# -- disks that are slow ---------------------------------------------------------------------

SLOW = 0.02  # s a disk takes for what is not in memory
DISK_WINDOW = 4 * 1024 * 1024  # bytes it reads at once
PAGES = 64 * 1024  # bytes between two looks at the page cache
_sleep = time.sleep  # taken before it is watched


class SlowDisk:
    """Has nothing of the large file in memory but what was read before, a window at a time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.threads: set[str] = set()
        self._read: set[int] = set()
        for name in ("pread", "preadv_nowait", "sendfile"):
            monkeypatch.setattr(kernel, name, partial(getattr(self, name), getattr(kernel, name)))

    def pread(self, call: Callable[..., bytes], fd: int, count: int, offset: int) -> bytes:
        self._wait(fd, offset, count)
        return call(fd, count, offset)

    def preadv_nowait(
        self, call: Callable[..., int], fd: int, view: memoryview, offset: int
    ) -> int:
        if self._misses(fd, offset, len(view)):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return call(fd, view, offset)

    def sendfile(self, call: Callable[..., int], out: int, fd: int, offset: int, count: int) -> int:
        self._wait(fd, offset, count)
        return call(out, fd, offset, count)

    def _misses(self, fd: int, offset: int, count: int) -> set[int]:
        windows = set(range(offset // DISK_WINDOW, (offset + count - 1) // DISK_WINDOW + 1))
        return windows - self._read if os.fstat(fd).st_size == SIZE else set()

    def _wait(self, fd: int, offset: int, count: int) -> None:
        if missed := self._misses(fd, offset, count):
            self.threads.add(threading.current_thread().name)
            _sleep(SLOW)
            self._read |= missed


class WatchedDisk:
    """Notes the threads that read the large file where it was not in the page cache."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.threads: set[str] = set()
        read, send = kernel.pread, kernel.sendfile

        def pread(fd: int, count: int, offset: int) -> bytes:
            self._look(fd, offset, count)
            return read(fd, count, offset)

        def sendfile(out: int, fd: int, offset: int, count: int) -> int:
            self._look(fd, offset, count)
            return send(out, fd, offset, count)

        monkeypatch.setattr(kernel, "pread", pread)
        monkeypatch.setattr(kernel, "sendfile", sendfile)

    def _look(self, fd: int, offset: int, count: int) -> None:
        if os.fstat(fd).st_size == SIZE:
            end = min(offset + count, SIZE)
            looked_at = (*range(offset, end, PAGES), end - 1)
            if not all(kernel.is_resident(fd, position) for position in looked_at):
                self.threads.add(threading.current_thread().name)


def _drop_from_page_cache(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if kernel.is_resident(file.fileno(), SIZE // 2):
            pytest.skip("this file system keeps its pages: use a disk for the temporary directory")


def _download(server: Inside) -> None:
    with server.connect() as connection:
        assert connection.get("/large.bin").content == CONTENT


def _are_of_the_pool(threads: set[str]) -> bool:
    return all(name.startswith("asyncstatic-disk") for name in threads)


@pytest.mark.parametrize("way", WAYS)
def test_the_loop_never_waits_for_a_slow_disk(
    root: Path, loop: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving_inside(StaticFiles(root), loop=loop) as server:
        disk = SlowDisk(monkeypatch)
        if way == "pieces":
            monkeypatch.setattr(kernel, "HAS_SENDFILE", False)
        _download(server)
    assert disk.threads
    assert _are_of_the_pool(disk.threads)


@pytest.mark.parametrize("way", WAYS)
def test_the_loop_does_not_wait_for_what_is_not_in_the_page_cache(
    root: Path, loop: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This machine's own disk, however fast it is."""
    with serving_inside(StaticFiles(root), loop=loop) as server:
        if way == "pieces":
            monkeypatch.setattr(kernel, "HAS_SENDFILE", False)
        _drop_from_page_cache(root / "large.bin")
        disk = WatchedDisk(monkeypatch)
        _download(server)
    assert disk.threads
    assert _are_of_the_pool(disk.threads)


@pytest.mark.parametrize("kind", [SlowDisk, WatchedDisk])
def test_a_loop_that_waits_for_a_disk_would_be_seen(
    root: Path, loop: str, kind: type[SlowDisk | WatchedDisk], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a server that does not look whether it would wait, the same tests find it."""
    with serving_inside(StaticFiles(root), loop=loop) as server:
        _drop_from_page_cache(root / "large.bin")
        disk = kind(monkeypatch)
        monkeypatch.setattr("asyncstatic.files.handle.Handle.is_warm", lambda *_: True)
        _download(server)
    assert not _are_of_the_pool(disk.threads)


def test_the_loop_does_not_wait_while_a_tag_is_made(
    root: Path, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving_inside(StaticFiles(root, etag="content"), loop=loop) as server:
        disk = SlowDisk(monkeypatch)
        _download(server)
    assert disk.threads
    assert _are_of_the_pool(disk.threads)
