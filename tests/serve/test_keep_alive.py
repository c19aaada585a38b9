"""Idle connections are kept longer than any balancer keeps them; a head has no longer than before."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

import h2.config
import h2.connection
import pytest

from asyncstatic import StaticFiles
from asyncstatic.serve import tcp_server
from asyncstatic.serve.direct import deadline
from asyncstatic.serve.direct.deadline import Deadline
from asyncstatic.serve.process.options import Options
from tests.serve.inside import serving_inside
from tests.support.http2 import Connection2
from tests.support.raw import HOST, Connection, head
from tests.support.servers import environment

_BALANCERS = 60.0  # seconds: AWS ALB, nginx upstream, and most others
_HEAD = 0.3
_IDLE = 60.0  # longer than any test may take
_ENTRIES = pytest.mark.parametrize("direct", [True, False], ids=["direct", "handed over"])


@pytest.fixture
def brief_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a head take 0.3 s, which is 5 s in production."""
    assert deadline.HEAD_SECONDS == 5.0
    monkeypatch.setattr(deadline, "HEAD_SECONDS", _HEAD)
    monkeypatch.setattr(tcp_server, "HEAD_SECONDS", _HEAD)


def test_the_command_keeps_an_idle_connection_longer_than_balancers_do() -> None:
    assert Options().keep_alive > _BALANCERS
    asked = [sys.executable, "-m", "asyncstatic", "serve", "--help"]
    said = subprocess.run(asked, env=environment(), capture_output=True, text=True, timeout=60)
    assert re.search(
        rf"--keep-alive SECONDS.*?default:\s+{Options().keep_alive}", said.stdout, re.S
    )
    assert re.search(
        rf"--graceful-timeout SECONDS.*?default:\s+{Options().graceful_timeout}", said.stdout, re.S
    )


@_ENTRIES
@pytest.mark.usefixtures("brief_heads")
@pytest.mark.parametrize("before", [0, 1], ids=["first request", "second request"])
def test_a_head_that_is_not_completed_ends_an_otherwise_long_lived_connection(
    site: Path, direct: bool, before: int
) -> None:
    with (
        serving_inside(StaticFiles(site), direct=direct, keep_alive_timeout=_IDLE) as server,
        server.connect() as connection,
    ):
        for _ in range(before):
            assert connection.get("/css/app.css").status == 200
        connection.send(head("/css/app.css")[:-2])
        assert connection.ended()


@_ENTRIES
@pytest.mark.usefixtures("brief_heads")
def test_a_head_that_comes_byte_by_byte_gets_no_more_time(site: Path, direct: bool) -> None:
    """A slow loris: each byte comes in time, and the head never ends."""
    with (
        serving_inside(StaticFiles(site), direct=direct, keep_alive_timeout=_IDLE) as server,
        server.connect() as connection,
    ):
        connection.send(b"GET /css/app.css HTTP/1.1\r\nHost: localhost\r\nX: ")
        connection.socket.settimeout(0.1)
        assert _ends_while_it_sends(connection)


class _Clock:
    """An event loop, as far as `Deadline` needs it."""

    now = 0.0

    def time(self) -> float:
        return self.now


def test_the_first_byte_of_a_head_begins_its_time_however_long_the_client_was_idle() -> None:
    clock = _Clock()
    of_client = Deadline(cast("Any", clock), idle_seconds=60.0, stalled_seconds=60.0)

    def passed(seconds: float) -> bool:
        return of_client.has_passed(seconds, cast("Any", None), answers=False)

    of_client.rest()
    clock.now = 59.0
    of_client.begin_head(first=True)
    assert not passed(63.9)
    clock.now = 63.0
    of_client.begin_head(first=False)
    assert passed(64.0), "a later part of the head gets no more time"


def _ends_while_it_sends(connection: Connection) -> bool:
    """Send a byte every 0.1 s, for at most 10 s, until the server ends the connection."""
    for _ in range(100):
        try:
            connection.send(b"x")
            if not connection.socket.recv(1):
                return True
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False


@_ENTRIES
@pytest.mark.usefixtures("brief_heads")
def test_a_begun_pipelined_head_ends_the_connection_after_the_answer(
    site: Path, direct: bool
) -> None:
    with (
        serving_inside(StaticFiles(site), direct=direct, keep_alive_timeout=_IDLE) as server,
        server.connect() as connection,
    ):
        connection.send(head("/css/app.css") + b"GET /css/app.css HTTP/1.1\r\n")
        assert connection.read().status == 200
        assert connection.ended()


@_ENTRIES
@pytest.mark.usefixtures("brief_heads")
def test_an_idle_connection_outlives_the_time_for_a_head(site: Path, direct: bool) -> None:
    with (
        serving_inside(StaticFiles(site), direct=direct, keep_alive_timeout=_IDLE) as server,
        server.connect() as connection,
        server.connect() as silent,
    ):
        assert connection.get("/css/app.css").status == 200
        time.sleep(5 * _HEAD)
        assert connection.get("/css/app.css").status == 200
        assert silent.get("/css/app.css").status == 200


@_ENTRIES
@pytest.mark.usefixtures("brief_heads")
def test_a_head_in_two_parts_leaves_the_connection_open(site: Path, direct: bool) -> None:
    with (
        serving_inside(StaticFiles(site), direct=direct, keep_alive_timeout=_IDLE) as server,
        server.connect() as connection,
    ):
        data = head("/css/app.css")
        connection.send(data[:20])
        connection.send(data[20:])
        assert connection.read().status == 200
        time.sleep(5 * _HEAD)
        assert connection.get("/css/app.css").status == 200


@pytest.mark.usefixtures("brief_heads")
@pytest.mark.parametrize("cut", [4, -1], ids=["in a frame", "between frames"])
def test_an_http_2_head_that_is_not_completed_ends_the_connection(
    site: Path, certificate: tuple[str, str], cut: int
) -> None:
    chain, key = certificate
    with (
        serving_inside(
            StaticFiles(site), keep_alive_timeout=_IDLE, certfile=chain, keyfile=key
        ) as server,
        _http_2(server.port) as secure,
    ):
        client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
        client.initiate_connection()
        secure.sendall(client.data_to_send())
        client.send_headers(1, [*_REQUEST, (b"x", b"~" * 30_000)], end_stream=True)
        data = client.data_to_send()
        secure.sendall(data[:cut] if cut > 0 else data[: 9 + 16_384])
        assert _ended(secure)


_REQUEST = [(b":method", b"GET"), (b":path", b"/"), (b":scheme", b"https"), (b":authority", b"x")]


def _http_2(port: int) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context.wrap_socket(socket.create_connection((HOST, port), timeout=10))


def _ended(secure: ssl.SSLSocket) -> bool:
    while secure.recv(65_536):
        pass
    return True


# -- requests after which Hypercorn forgets the deadline -------------------------------------------

_WEBSOCKET = (
    *("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
_HELLO_2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))


@_ENTRIES
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(head("/", "Host: other", "Content-Length: 0"), id="of another server"),
        pytest.param(head("/", *_WEBSOCKET[:2]), id="no WebSocket after all"),
        pytest.param(head("/", *_WEBSOCKET) + b"x", id="WebSocket, and too early a frame"),
        pytest.param(_HELLO_2, id="HTTP/2, and no request"),
    ],
)
def test_a_connection_does_not_outlive_its_last_request(
    site: Path, direct: bool, data: bytes
) -> None:
    with (
        serving_inside(
            StaticFiles(site), direct=direct, keep_alive_timeout=_HEAD, server_names=["localhost"]
        ) as server,
        server.connect() as connection,
    ):
        connection.send(data)
        connection.take(1 << 20)  # until it ends


@pytest.mark.parametrize(
    ("authority", "path", "is_reset"),
    [
        pytest.param("other", "/", False, id="of another server"),
        pytest.param("localhost", "/\xe9", False, id="refused"),
        pytest.param("localhost", "/big.bin", True, id="reset"),
    ],
)
def test_an_http_2_connection_does_not_outlive_its_last_request(
    site: Path, authority: str, path: str, is_reset: bool
) -> None:
    with (
        serving_inside(
            StaticFiles(site), keep_alive_timeout=_HEAD, server_names=["localhost"]
        ) as server,
        Connection2(server.port) as connection,
    ):
        client = connection.h2
        named = {":method": "GET", ":scheme": "http", ":authority": authority, ":path": path}
        client.send_headers(1, [(name, value.encode()) for name, value in named.items()], True)
        connection.flush()
        if is_reset:
            connection.until_content(1)
            connection.reset(1)
        while connection.socket.recv(65_536):
            pass
