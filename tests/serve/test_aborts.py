"""Clients that leave take nothing with them, leave nothing behind, and hold nobody up."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.http2 import Connection2
from tests.support.meanwhile import meanwhile
from tests.support.raw import HOST, head
from tests.support.servers import SETUPS, VARIABLES, Server, running

MIB = 1024 * 1024
#: Ten thousand where each setup begins, fewer where only the loop or the framing differs.
DOWNLOADS = {"hypercorn-no-direct": 10_000, "serve-no-direct": 10_000, "serve": 10_000}
_FEWER = 1_000
_A_FEW = 200
_AT_ONCE = 16
_STREAMS_PER_CONNECTION = 50
# Where the connection is ours, requests are pipelined, too: in front of an app it is the server's.
_PIPELINED = {"serve": 3, "hypercorn": 3, "uvicorn": 3}
# Aborts after which allocators hold what they need (measured: then it is flat over 40,000 more): a
# third of the work; and more where cycles are
# collected seldom, so that more of them are there at a time.
_WARM_UP = {"hypercorn-no-direct": 10_000, "serve-no-direct": 17_000}
_WARM_UP_ELSEWHERE = 3334
# Each with how much its client reads at most: less than there is, so it never waits in vain.
_TARGETS = {"/big.bin": 1_000_000, "/pixels.png": 200_000, "/css/app.css": 100, "/missing": 100}
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 seconds: close() sends RST
# Servers that keep the socket of a client that sent FIN for their keep-alive timeout do so briefly.
_KEEP_ALIVE = "1"
_KEEP_ALIVE_OPTION = {"uvicorn": "--timeout-keep-alive"}


#: Imported by the server's interpreter: what waits for the collector is no leak.
_COLLECTS = "import gc, signal\nsignal.signal(signal.SIGUSR1, lambda *_: gc.collect())\n"


@pytest.fixture(scope="module")
def server(setup: str, site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    startup = tmp_path_factory.mktemp("startup")
    (startup / "sitecustomize.py").write_text(_COLLECTS)
    paths = os.pathsep.join(filter(None, (str(startup), os.environ.get("PYTHONPATH"))))
    command = [part.replace("{root}", str(site)) for part in SETUPS[setup]]
    command += [_KEEP_ALIVE_OPTION.get(setup, "--keep-alive"), _KEEP_ALIVE]
    with running(
        command, {"ASYNCSTATIC_ROOT": str(site), "PYTHONPATH": paths, **VARIABLES.get(setup, {})}
    ) as server:
        yield server


def _collected_bytes(server: Server) -> int:
    """Resident memory, once the server has collected its cycles."""
    os.killpg(server.pid, signal.SIGUSR1)
    time.sleep(1)
    return server.resident_bytes()


# -- clients that leave ----------------------------------------------------------------------


async def _abort_one(port: int, chance: random.Random, pipelined: int) -> None:
    """Ask, sometimes for several things at once, read a little or nothing, go by FIN or RST."""
    loop = asyncio.get_running_loop()
    target, most = chance.choice(list(_TARGETS.items()))
    request = head(target) * chance.choice((1, 1, 1, pipelined))
    with socket.socket() as client:
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, chance.choice((4096, 65_536)))
        await loop.sock_connect(client, (HOST, port))
        if chance.random() < 0.1:
            await loop.sock_sendall(client, request[: chance.randrange(len(request))])
        else:
            await loop.sock_sendall(client, request)
            left = chance.choice((0, 0, 1, 1, 1, most // 10, most))
            while left > 0 and (data := await loop.sock_recv(client, left)):
                left -= len(data)
        if chance.random() < 0.5:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


async def _abort_many(port: int, count: int, seed: str, pipelined: int) -> None:
    """Abort so many downloads, several at once."""
    chance, left = random.Random(seed), iter(range(count))

    async def some() -> None:
        for _ in left:
            with suppress(ConnectionError):
                await _abort_one(port, chance, pipelined)

    async with asyncio.timeout(100), asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(some())


def _give_up_streams(port: int, count: int) -> None:
    """Ask for so many streams over HTTP/2 and reset each (RST_STREAM)."""
    for _ in range(count // _STREAMS_PER_CONNECTION):
        with Connection2(port) as connection:
            for _ in range(_STREAMS_PER_CONNECTION):
                connection.reset(connection.request("/big.bin"))
            assert connection.get("/css/app.css").status == 200


def _abort_all(server: Server, setup: str, count: int, seed: str) -> None:
    """Abort so many downloads, a fifth of them by HTTP/2 meanwhile where the setup has it."""
    streams = count // 5 if _has_http2(setup) else 0
    resets = threading.Thread(target=_give_up_streams, args=(server.port, streams))
    resets.start()
    pipelined = _PIPELINED.get(setup, 1)
    asyncio.run(_abort_many(server.port, count - streams, seed, pipelined))
    resets.join()


def _leave_at_once(server: Server) -> None:
    clients = [server.connect(receive_buffer=4096) for _ in range(300)]
    for client in clients:
        client.send(head("/big.bin"))
    for client in clients:
        client.take(1)
    for client in clients:
        client.reset()


def _give_up_connections(server: Server) -> None:
    for _ in range(20):
        with Connection2(server.port) as connection:
            for _ in range(10):
                connection.request("/big.bin")
            connection.flush()
            assert connection.socket.recv(1)


def _has_http2(setup: str) -> bool:
    return setup != "uvicorn"


# -- what is left of them --------------------------------------------------------------------


class Baseline:
    """An idle server that has seen clients of every kind, and the handles that it holds then."""

    def __init__(self, server: Server, setup: str, site: Path) -> None:
        self._server, self._setup = server, setup
        self._site = f"{site}/"
        _leave_at_once(server)
        if _has_http2(setup):
            _give_up_connections(server)
        for target in _TARGETS:
            server.fetch(target, "Connection: close")
        self._before = server.settled_handles(at_most=0, seconds=float(_KEEP_ALIVE) + 1.0)

    def memory_after_warm_up(self) -> int:
        """Return the memory, in bytes, that it holds when its allocators need no more."""
        _abort_all(
            self._server, self._setup, _WARM_UP.get(self._setup, _WARM_UP_ELSEWHERE), "warm up"
        )
        return _collected_bytes(self._server)

    def assert_reached(self) -> None:
        """No file is open after 2 s, and no more handles than before."""
        server = self._server
        assert server.settled_handles(0, seconds=2.0, below=self._site) == 0
        seconds = 2.0 + float(_KEEP_ALIVE)
        assert server.settled_handles(self._before, seconds) <= self._before
        assert server.fetch("/css/app.css").status == 200

    def assert_memory_is_flat(self, before: int) -> None:
        """Thousands of clients have cost less than 10 MiB, which allocators may keep.

        Hypercorn's connections are cycles, so they are collected first. What fragments stays for a
        while; what leaks only becomes more.
        """
        for part in range(5):
            grown = _collected_bytes(self._server) - before
            if grown < 10 * MIB:
                return
            _abort_all(self._server, self._setup, _FEWER, f"more {part}")
        pytest.fail(f"grown by {grown / MIB:.1f} MiB")


@pytest.fixture(scope="module")
def baseline(server: Server, setup: str, site: Path) -> Baseline:
    return Baseline(server, setup, site)


@contextmanager
def _others_are_answered(server: Server) -> Iterator[None]:
    """Another client asks all the while, and gets each answer before it loses patience."""
    content, answers = server.fetch("/css/app.css", "Connection: close").content, 0

    def ask(ended: threading.Event) -> None:
        nonlocal answers
        while not ended.wait(0.002):
            answer = server.fetch("/css/app.css", "Connection: close")
            assert (answer.status, answer.content) == (200, content)
            answers += 1

    with meanwhile(ask):
        yield
    assert answers


@pytest.mark.slow
def test_aborted_downloads_leave_no_handle_and_hold_nobody_up(
    server: Server, setup: str, baseline: Baseline
) -> None:
    with _others_are_answered(server):
        _abort_all(server, setup, _A_FEW, "a few")
    baseline.assert_reached()


@pytest.mark.slow
def test_thousands_of_aborted_downloads_leave_nothing_and_hold_nobody_up(
    server: Server, setup: str, baseline: Baseline
) -> None:
    memory = baseline.memory_after_warm_up()
    with _others_are_answered(server):
        for part in range(3):
            _abort_all(server, setup, DOWNLOADS.get(setup, _FEWER) // 3 + 1, f"part {part}")
    baseline.assert_reached()
    baseline.assert_memory_is_flat(memory)


@pytest.mark.slow
def test_three_hundred_clients_that_leave_at_once_leave_no_handle(
    server: Server, baseline: Baseline
) -> None:
    _leave_at_once(server)
    baseline.assert_reached()


@pytest.mark.slow
def test_http2_connections_given_up_leave_no_handle(
    server: Server, setup: str, baseline: Baseline
) -> None:
    if not _has_http2(setup):
        pytest.skip("uvicorn has no HTTP/2")
    _give_up_connections(server)
    baseline.assert_reached()
