"""What is left of a response: what leaves, and what is held back until the file is known unchanged."""

from __future__ import annotations

import math
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncstatic.files.handle import Handle, identity_of
from asyncstatic.files.pool import Pool
from asyncstatic.http.model import ByteRange, ResponsePlan
from asyncstatic.serve.direct import outgoing
from asyncstatic.serve.direct.outgoing import LAST, Outgoing, Waits

HEAD = b"head"
SIZE = outgoing.WHOLE + 5  # a part leaves by sendfile(2)
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


def taken(client: socket.socket) -> int:
    """Take all that is there."""
    count = 0
    try:
        while octets := client.recv(1 << 20):
            count += len(octets)
    except BlockingIOError:
        pass
    return count


@pytest.mark.parametrize("tail", ["in the page cache", "from the disk"])
async def test_all_but_the_last_leaves_before_the_last_is_held_back(
    handle: Handle,
    ends: tuple[socket.socket, socket.socket],
    tail: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else what waits in the socket might be pages of the file, not copies of its tail."""
    monkeypatch.setattr(outgoing, "unsent", lambda _: math.inf)
    monkeypatch.setattr(outgoing, "be_writable_when", lambda *_, **__: None)
    if tail == "from the disk":
        monkeypatch.setattr(Handle, "read_into_nowait", lambda *_: None)
    server, client = ends
    left, received = Outgoing(handle, HEAD, PLAN), 0
    for _ in range(1000):
        if left.send(server) is Waits.DISK:
            await left.wait_for_disk()
        received += taken(client)
        if left._draining:
            break
    assert received + taken(client) == len(HEAD) + SIZE - LAST
