"""Clients that leave take nothing with them, and leave nothing behind."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.http2 import Connection2
from tests.support.raw import Connection, head
from tests.support.servers import Server

DOWNLOADS = 2000
# Each with how much its client reads at most: less than there is, so it never waits in vain.
_TARGETS = {"/big.bin": 1_000_000, "/pixels.png": 200_000, "/css/app.css": 100, "/missing": 100}


# Hypercorn keeps the socket of a client that sent FIN for its keep-alive timeout of 5 s.
_KEPT_ALIVE = 8.0


def _leave(connection: Connection, how: str) -> None:
    if how == "RST":
        connection.reset()
    else:
        connection.socket.close()


def _abort_one(server: Server, chance: random.Random, how: str) -> None:
    target, most = chance.choice(list(_TARGETS.items()))
    request = head(target) * chance.choice((1, 1, 1, 3))
    with server.connect(receive_buffer=chance.choice((4096, 65_536))) as connection:
        if chance.random() < 0.1:
            connection.send(request[: chance.randrange(len(request))])
        else:
            connection.send(request)
            connection.take(chance.choice((0, 1, most // 10, most)))
        _leave(connection, how)


class Baseline:
    """The handles of a server that has done a bit of everything, and is idle."""

    def __init__(self, server: Server, site: Path) -> None:
        self._server = server
        self._site = f"{site}/"
        for target in _TARGETS:
            server.fetch(target, "Connection: close")
        self._before = server.settled_handles(at_most=0, seconds=1.0)

    def assert_reached(self) -> None:
        """No file is open after 2 s, and soon no more handles than before."""
        server = self._server
        assert server.settled_handles(0, seconds=2.0, below=self._site) == 0
        assert server.settled_handles(self._before, _KEPT_ALIVE) <= self._before
        assert server.fetch("/css/app.css").status == 200


@pytest.fixture
def baseline(server: Server, site: Path) -> Baseline:
    return Baseline(server, site)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["RST", "FIN"])
def test_aborted_downloads_leave_no_handle(server: Server, baseline: Baseline, how: str) -> None:
    chance = random.Random(how)
    for _ in range(DOWNLOADS // 2):
        _abort_one(server, chance, how)
    baseline.assert_reached()


def test_three_hundred_clients_that_leave_at_once_leave_no_handle(
    server: Server, baseline: Baseline
) -> None:
    clients = [server.connect(receive_buffer=4096) for _ in range(300)]
    for client in clients:
        client.send(head("/big.bin"))
    for client in clients:
        client.take(1)
    for client in clients:
        client.reset()
    baseline.assert_reached()


def test_http2_streams_given_up_leave_no_handle(
    server: Server, lane: str, baseline: Baseline
) -> None:
    if lane == "uvicorn":
        pytest.skip("uvicorn has no HTTP/2")
    for _ in range(20):
        with Connection2(server.port) as connection:
            for _ in range(50):
                connection.reset(connection.request("/big.bin"))
            assert connection.get("/css/app.css").status == 200
    baseline.assert_reached()


def test_http2_connections_given_up_leave_no_handle(
    server: Server, lane: str, baseline: Baseline
) -> None:
    if lane == "uvicorn":
        pytest.skip("uvicorn has no HTTP/2")
    for _ in range(20):
        with Connection2(server.port) as connection:
            for _ in range(10):
                connection.request("/big.bin")
            connection.flush()
            assert connection.socket.recv(1)
    baseline.assert_reached()
