"""What runs out - handles, disks, patience - is answered, and does not take the rest with it."""

from __future__ import annotations

import asyncio
import itertools
import os
import select
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest

from asyncstatic.files import kernel
from asyncstatic.files.handle import Handle, identity_of
from asyncstatic.files.pool import QUEUE_PER_THREAD, Pool, PoolBusyError
from tests.support.http2 import Connection2
from tests.support.meanwhile import meanwhile
from tests.support.raw import HOST, Connection, EndedError, head
from tests.support.servers import Server, running, serving
from tests.support.site import write_site
from tests.trust.inside import open_handles

MIB = 1024 * 1024
LARGE = 8 * MIB


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("limits")
    for root in ("site", "stalled"):
        write_site(
            base / root, {"index.html": b"home", "page.html": b"page", "b.bin": b"B" * LARGE}
        )
    return base


# -- handles ---------------------------------------------------------------------------------


@pytest.fixture
def cramped(setup: str, base: Path) -> Iterator[Server]:
    arguments = ("-m", "tests.trust.child", "few-handles", setup, "127.0.0.1:{port}")
    with running((*arguments, str(base / "site")), {"ASYNCSTATIC_CACHE_BYTES": "0"}) as server:
        yield server


@pytest.mark.slow
def test_without_a_free_handle_it_says_503_and_recovers_by_itself(cramped: Server) -> None:
    statuses: set[int] = set()
    cramped.fetch("/page.html", "Connection: close")
    before = cramped.settled_handles(0, 0.3)
    with ExitStack() as clients, cramped.connect() as last:
        assert last.get("/page.html").status == 200
        for _ in range(80):  # more than fit; some are not even accepted
            clients.enter_context(cramped.connect())
        time.sleep(0.3)
        for _ in range(10):
            answer = last.get("/page.html")
            statuses.add(answer.status)
            assert answer.status in (200, 503)
            assert answer.status == 200 or answer.field("retry-after")
    assert 503 in statuses
    assert answers_again(cramped)
    assert cramped.settled_handles(before, 10.0) <= before


def answers_again(server: Server, seconds: float = 15.0) -> bool:
    """Whether it serves, sooner or later, after what took its handles has gone."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(OSError, EndedError):
            if server.fetch("/page.html", "Connection: close").content == b"page":
                return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_without_a_free_handle_the_processor_is_not_kept_busy(cramped: Server) -> None:
    """No accept storm: a listener that cannot accept must not be asked again at once."""
    with ExitStack() as clients:
        for _ in range(100):
            clients.enter_context(cramped.connect())
        time.sleep(0.3)
        before = cramped.processor_seconds()
        time.sleep(1.0)
        used = cramped.processor_seconds() - before
    assert used < 0.5
    assert answers_again(cramped)


async def test_a_full_pool_takes_no_handle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_site(tmp_path, {"a": b"a"}) / "a"
    monkeypatch.setattr(kernel, "pread_nowait", lambda *_: None)  # every read needs a thread
    pool, go = Pool(1, 30), threading.Event()
    calls = [asyncio.ensure_future(pool.run(go.wait)) for _ in range(1 + QUEUE_PER_THREAD)]
    await asyncio.sleep(0)  # they take every place
    with path.open("rb") as file:
        handle = Handle(os.dup(file.fileno()), identity_of(path.stat()), pool)
        before = open_handles()
        for _ in range(5):
            with pytest.raises(PoolBusyError):
                await handle.read(0, 1)
        assert open_handles() == before
        go.set()
        await asyncio.gather(*calls)
        assert await handle.read(0, 1) == b"a"
        handle.close()
    pool.close()
    await asyncio.sleep(0)


# -- a disk that does not answer -------------------------------------------------------------


OTHERS = 10  # answers that other clients get meanwhile


def ask_as_another(server: Server) -> None:
    """Get two warm files, each on a connection of its own."""
    assert server.fetch("/page.html", "Connection: close").content == b"page"
    answer = server.fetch("/b.bin", "Range: bytes=0-9", "Connection: close")
    assert answer.content == b"B" * 10


def answers_of_others(server: Server, waiting: Sequence[Connection]) -> int:
    """How often another client is answered before the first of those that wait; at most `OTHERS`."""
    poll = select.poll()
    for client in waiting:
        poll.register(client.socket, select.POLLIN)
    answers = 0
    while answers < OTHERS:
        ask_as_another(server)
        if poll.poll(0):
            break
        answers += 1
    return answers


@pytest.mark.slow
def test_a_server_that_waits_for_a_stalled_disk_on_its_loop_is_noticed(
    setup: str, base: Path
) -> None:
    """Or the test below would prove nothing."""
    arguments = ("-m", "tests.trust.child", "stalled-on-the-loop", setup, "127.0.0.1:{port}")
    roots = (str(base / "site"), f"/other={base / 'stalled'}")
    with running((*arguments, *roots), {}) as server, server.connect() as client:
        client.send(head("/other/page.html"))
        time.sleep(0.1)  # it waits for the disk now
        assert answers_of_others(server, [client]) < OTHERS


def threads_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


@pytest.mark.slow
def test_a_stalled_disk_stops_its_own_root_and_nothing_else(setup: str, base: Path) -> None:
    arguments = ("-m", "tests.trust.child", "stalled", setup, "127.0.0.1:{port}")
    settings = {"ASYNCSTATIC_POOL_TIMEOUT": "2", "ASYNCSTATIC_POOL_THREADS": "3"}
    roots = (str(base / "site"), f"/other={base / 'stalled'}")
    with running((*arguments, *roots), settings) as server, ExitStack() as clients:
        threads = threads_of(server.pid)
        waiting = [clients.enter_context(server.connect()) for _ in range(50)]
        for client in waiting:
            client.send(head("/other/page.html"))
        assert answers_of_others(server, waiting) == OTHERS
        answers = [client.read() for client in waiting]
        assert {answer.status for answer in answers} == {503}
        assert all(answer.field("retry-after") for answer in answers)
        assert threads_of(server.pid) - threads <= 3 + 3  # both roots' pools


# -- clients without end ---------------------------------------------------------------------


CLIENTS = 1000
ONE_BY_ONE = 0.002  # seconds: so each finds a server with nothing else to do, and is given most
ALL_LANES = pytest.mark.parametrize(
    "setup", ["hypercorn-no-direct", "serve-no-direct", "hypercorn", "serve"]
)


@pytest.mark.slow
@ALL_LANES
def test_a_thousand_clients_that_never_read_are_bounded_and_dropped(setup: str, base: Path) -> None:
    # Long enough to measure before they are dropped; Hypercorn needs 6 s until all are served.
    timeout = "8" if setup in ("serve", "hypercorn") else "18"
    with serving(setup, base / "site", send_timeout=timeout) as server, ExitStack() as clients:
        ask_as_another(server)
        idle, handles = server.resident_bytes(), server.settled_handles(0, 1.5)
        silent, most = [], 0
        for _ in range(CLIENTS):
            silent.append(clients.enter_context(silent_client(server)))
            silent[-1].send(head("/b.bin"))
            time.sleep(ONE_BY_ONE)
            most = max(most, server.resident_bytes())
        wait_until_idle(server)
        for _ in range(OTHERS):
            ask_as_another(server)
        most = max(most, server.resident_bytes())
        assert all(map(is_connected, silent)), "dropped too early"
        assert are_dropped(server, setup, handles)
    assert most - idle < 128 * MIB


def is_connected(client: socket.socket) -> bool:
    """Whether neither side has closed (tcp(7), TCP_INFO; TCP_ESTABLISHED)."""
    return client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\x01"


def wait_until_idle(server: Server, seconds: float = 30.0) -> None:
    """Wait until all have got what they take, and the server does nothing more."""
    deadline = time.monotonic() + seconds
    used, before = 1.0, server.processor_seconds()
    while used > 0.02 and time.monotonic() < deadline:
        time.sleep(0.2)
        used, before = server.processor_seconds() - before, server.processor_seconds()


def are_dropped(server: Server, setup: str, handles: int) -> bool:
    """Whether all that silent clients made a server hold is given back.

    Hypercorn closes a connection only when its last bytes are taken, and an ASGI app cannot
    make it: behind it files and memory are given back, and the sockets are Hypercorn's.
    """
    if setup == "hypercorn-no-direct":
        return lets_files_go(server)
    return server.settled_handles(handles, seconds=40.0) <= handles


def lets_files_go(server: Server, seconds: float = 40.0) -> bool:
    """Whether, sooner or later, the large file is no longer open."""
    deadline = time.monotonic() + seconds
    while any(path.endswith("b.bin") for path in paths_open_in(server)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def paths_open_in(server: Server) -> Iterator[str]:
    """What the process and its workers hold open."""
    for handle in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):  # closed meanwhile
            if os.getpgid(int(handle.parts[2])) == server.pid:
                yield os.readlink(handle)


def silent_client(server: Server) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(20)
    client.connect((HOST, server.port))
    return client


@pytest.mark.slow
@ALL_LANES
@pytest.mark.parametrize("resolver", ["openat2", "walk"])
def test_a_client_that_never_reads_a_file_from_the_pool_is_dropped(
    setup: str, base: Path, resolver: str
) -> None:
    with serving(setup, base / "site", send_timeout="1", resolver=resolver) as server:
        before = server.settled_handles(0, 0.3)
        with silent_client(server) as client:
            client.sendall(head("/b.bin"))
            time.sleep(0.2)
            assert any(path.endswith("b.bin") for path in paths_open_in(server))
            assert are_dropped(server, setup, before)
            if (
                setup != "hypercorn-no-direct"
            ):  # and what it was too slow for waits no longer in the system
                with pytest.raises(ConnectionResetError):
                    b"".join(iter(partial(client.recv, 65_536), b""))


@pytest.mark.slow
def test_a_slow_but_steady_client_is_not_dropped(setup: str, base: Path) -> None:
    """The deadline is for progress, not for the whole transfer, which takes six seconds.

    An app hears of progress when a third of the socket's 4 MiB has left, after two seconds.
    """
    timeout = {"hypercorn-no-direct": "4"}.get(setup, "1")
    with (
        serving(setup, base / "site", send_timeout=timeout) as server,
        server.connect(receive_buffer=65_536) as client,
    ):
        client.send(head("/b.bin"))
        for _ in range(120):
            client.receive(32_000)
            time.sleep(0.05)
        answer = client.read()
        assert (answer.complete, len(answer.content)) == (True, LARGE)


@pytest.mark.slow
def test_request_heads_that_never_end_are_dropped_and_hold_nobody_up(
    setup: str, base: Path
) -> None:
    with serving(setup, base / "site") as server, ExitStack() as clients:
        before = server.settled_handles(0, 0.3)
        slow = [clients.enter_context(server.connect()) for _ in range(CLIENTS)]
        with meanwhile(partial(dribble, slow)):
            for _ in range(OTHERS):
                ask_as_another(server)
            assert server.open_handles() > before + CLIENTS / 10  # some have been dropped already
            assert server.settled_handles(before, seconds=25.0) <= before


def dribble(clients: list[Connection], ended: threading.Event) -> None:
    """Send a byte of a request for each client in turn, without end."""
    for byte in itertools.chain(head("/page.html")[:-2], itertools.repeat(ord("a"))):
        for client in clients:
            if ended.wait(0.0005):
                return
            with suppress(OSError):
                client.send(bytes([byte]))


@pytest.mark.slow
def test_readers_of_one_byte_at_a_time_get_the_whole_file(setup: str, base: Path) -> None:
    with serving(setup, base / "site") as server:
        with Connection(server.port, receive_buffer=4096) as client:
            client.send(head("/b.bin", "Range: bytes=0-19999", "Connection: close"))
            data = b"".join(iter(lambda: client.socket.recv(1), b""))
        assert data.partition(b"\r\n\r\n")[2] == b"B" * 20_000


@pytest.mark.slow
def test_over_http_2_windows_that_stay_shut_are_dropped(setup: str, base: Path) -> None:
    with serving(setup, base / "site", send_timeout="1") as server, ExitStack() as clients:
        server.fetch("/b.bin", "Connection: close")
        with Connection2(server.port) as connection:
            connection.get("/page.html")
        idle = server.resident_bytes()
        for _ in range(20):
            client = clients.enter_context(Connection2(server.port, window=1))
            for _ in range(10):
                client.request("/b.bin")
        assert any(path.endswith("b.bin") for path in paths_open_in(server))
        assert server.resident_bytes() - idle < 128 * MIB
        assert server.fetch("/page.html").content == b"page"
        assert lets_files_go(server)
