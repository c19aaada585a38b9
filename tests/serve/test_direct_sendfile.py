"""Large content leaves by sendfile(2); its end is held back until the file is known unchanged."""

from __future__ import annotations

import asyncio
import errno
import math
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from asyncstatic.files import kernel
from asyncstatic.files.handle import Handle, identity_of
from asyncstatic.files.pool import Pool
from asyncstatic.http.model import ByteRange, ResponsePlan
from asyncstatic.serve.direct import sendfile
from asyncstatic.serve.direct.sendfile import (
    LAST,
    WHOLE,
    ContentChangedError,
    SendfileCursor,
    Waits,
)

HEAD = b"head"
SIZE = WHOLE + 5  # a part leaves by sendfile(2)
PLAN = ResponsePlan(200, (), (ByteRange(0, SIZE - 1),))


@pytest.fixture
def handle(tmp_path: Path) -> Iterator[Handle]:
    path = tmp_path / "large.bin"
    path.write_bytes(b"L" * SIZE)
    pool = Pool(1, 10.0)
    with path.open("rb", buffering=0) as file:
        yield Handle(file.fileno(), identity_of(path.stat()), pool)
    pool.close()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A server's and a client's end of one TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), 10)
        server, _ = listener.accept()
    server.setblocking(False)
    client.setblocking(False)
    with server, client:
        yield server, client


def taken(client: socket.socket) -> bytes:
    """Take all that is there."""
    data = b""
    try:
        while more := client.recv(1 << 20):
            data += more
    except BlockingIOError:
        pass
    return data


@pytest.mark.parametrize("tail", ["in the page cache", "from the disk"])
async def test_all_but_the_last_leaves_before_the_last_is_held_back(
    handle: Handle,
    ends: tuple[socket.socket, socket.socket],
    tail: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else what waits in the socket might be pages of the file, not copies of its tail."""
    monkeypatch.setattr(sendfile, "unsent", lambda _: math.inf)
    held_back: list[int] = []  # the bytes that may be unsent when the last ones leave
    monkeypatch.setattr(
        sendfile, "be_writable_when", lambda _, unsent_below: held_back.append(unsent_below)
    )
    if tail == "from the disk":
        monkeypatch.setattr(Handle, "read_into_nowait", lambda *_: None)
    server, client = ends
    left, received = SendfileCursor(handle, HEAD, PLAN), b""
    for _ in range(1000):
        if left.send(server) is Waits.DISK:
            await left.wait_for_disk()
        received += taken(client)
        if held_back:
            break
    assert len(received + taken(client)) == len(HEAD) + SIZE - LAST


def _sent(
    left: SendfileCursor, ends: tuple[socket.socket, socket.socket], between: Callable[[], object]
) -> bytes:
    """What arrives at a client that takes all, when something happens between two turns."""
    server, client = ends
    received = b""
    while left.send(server) is not Waits.NOTHING:
        received += taken(client)
        between()
    return received + taken(client)


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _rewrite_and_grow(path: Path) -> None:
    path.write_bytes(b"N" * (SIZE + 4))


@pytest.mark.parametrize(
    ("change", "whole"), [(_append, True), (os.utime, True), (_rewrite_and_grow, False)]
)
async def test_blocks_that_must_be_read_from_the_disk_are_waited_for(
    handle: Handle,
    ends: tuple[socket.socket, socket.socket],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    whole: bool,
) -> None:
    """A file grew, and the blocks that prove it are not in the page cache any more."""
    server, client = ends
    left = SendfileCursor(handle, HEAD, PLAN)
    received, waited = b"", 0
    monkeypatch.setattr(kernel, "pread_nowait", lambda *_: None)
    await asyncio.to_thread(change, tmp_path / "large.bin")
    with nullcontext() if whole else pytest.raises(ContentChangedError):
        while (waits := left.send(server)) is not Waits.NOTHING:
            received += taken(client)
            if waits is Waits.DISK:
                waited += 1
                await left.wait_for_disk()
        received += taken(client)
    assert waited
    assert (received == HEAD + b"L" * SIZE) is whole


def test_what_is_left_is_counted(handle: Handle, ends: tuple[socket.socket, socket.socket]) -> None:
    server, client = ends
    parts = (b"before", ByteRange(0, SIZE - 1), b"between", ByteRange(5, 9), b"after")
    total = len(HEAD) + len(b"beforebetweenafter") + SIZE + 5
    left, received = SendfileCursor(handle, HEAD, ResponsePlan(206, (), parts)), 0
    assert left.unsent_bytes == total
    while left.send(server) is not Waits.NOTHING:
        received += len(taken(client))
        assert 0 < left.unsent_bytes <= total - received
    assert left.unsent_bytes == 0


def test_the_end_of_a_changed_file_is_not_sent(
    handle: Handle, ends: tuple[socket.socket, socket.socket], tmp_path: Path
) -> None:
    """The pages before it may be new ones already: with the end, a mixture would look whole."""
    left = SendfileCursor(handle, HEAD, PLAN)
    with pytest.raises(ContentChangedError):
        _sent(left, ends, lambda: (tmp_path / "large.bin").write_bytes(b"N" * SIZE))


@pytest.mark.parametrize("at", [0, 1], ids=["from-the-first", "after-some-bytes"])
@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.EPERM], ids=errno.errorcode.get)
async def test_where_the_system_refuses_sendfile_the_content_is_copied(
    handle: Handle,
    ends: tuple[socket.socket, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    at: int,
) -> None:
    """As file systems without it do, and sandboxes."""
    really, calls = kernel.sendfile, 0

    def refuse(out: int, file: int, offset: int, count: int) -> int:
        nonlocal calls
        calls += 1
        if calls > at:
            raise OSError(code, os.strerror(code))
        return really(out, file, offset, min(count, 3))

    monkeypatch.setattr(kernel, "sendfile", refuse)
    left = SendfileCursor(handle, HEAD, PLAN)
    assert _sent(left, ends, lambda: None) == HEAD + b"L" * SIZE
    assert calls == at + 1


def test_a_fault_of_the_disk_is_no_refusal_of_sendfile(
    handle: Handle, ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(kernel, "sendfile", fail)
    with pytest.raises(OSError, match="Input/output error"):
        _sent(SendfileCursor(handle, HEAD, PLAN), ends, lambda: None)
