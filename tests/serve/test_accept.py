"""Connections that begin with TLS, or with a header in front of it."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from asyncstatic import StaticFiles
from asyncstatic.serve import server as server_module
from asyncstatic.serve.direct import accept
from asyncstatic.serve.direct.accept import Listener, Preface, _Accepted
from tests.serve.inside import LOOPS, Inside, eventually, open_handles, serving_inside
from tests.support.raw import head
from tests.support.tls import over_tls

on_both_loops = pytest.mark.parametrize("loop", LOOPS)


@contextmanager
def serving_tls(
    site: Path, certificate: tuple[str, str], loop: str, **options: Any
) -> Iterator[Inside]:
    chain, key = certificate
    with serving_inside(
        StaticFiles(site), loop=loop, certfile=chain, keyfile=key, **options
    ) as server:
        yield server


# -- plain HTTP on a TLS port ------------------------------------------------------------------


@on_both_loops
@pytest.mark.parametrize("direct", [True, False], ids=["direct", "handed over"])
@pytest.mark.parametrize(
    ("method", "has_text"), [("GET", True), ("HEAD", False), ("POST", True), ("get", True)]
)
def test_plain_http_on_a_tls_port_is_told_to_use_https(
    site: Path,
    certificate: tuple[str, str],
    loop: str,
    direct: bool,
    method: str,
    has_text: bool,
) -> None:
    with serving_tls(site, certificate, loop, direct=direct) as server, server.connect() as client:
        client.send(head("/css/app.css", method=method))
        answer = client.read(method)
        assert answer.status == 400
        assert (b"https://" in answer.content) == has_text
        assert dict(answer.fields)["connection"] == "close"
        assert client.ended()
    assert answer.complete


@on_both_loops
def test_a_long_plain_request_reads_the_answer_before_the_end(
    site: Path, certificate: tuple[str, str], loop: str
) -> None:
    """Bytes that nobody reads would make the system reset the connection, and lose the answer."""
    with serving_tls(site, certificate, loop) as server, server.connect() as client:
        client.send(head("/", "Content-Length: 300000", method="POST") + b"x" * 300_000)
        assert client.read("POST").status == 400
        assert client.ended()


def test_plain_http_on_a_tls_port_is_one_line_of_the_access_log(
    site: Path, certificate: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("tests.accept")
    caplog.set_level(logging.INFO, logger.name)
    with (
        serving_tls(site, certificate, "uvloop", accesslog=logger) as server,
        server.connect() as client,
    ):
        assert client.get("/a?b").status == 400
    (line,) = [record.getMessage() for record in caplog.records if record.name == logger.name]
    assert '"GET /a?b HTTP/1.1" 400' in line


@on_both_loops
def test_a_client_that_speaks_neither_is_left_to_tls(
    site: Path, certificate: tuple[str, str], loop: str
) -> None:
    with serving_tls(site, certificate, loop) as server, server.connect() as client:
        client.send(b"\x00\x01\x02\x03\x04\x05 no TLS and no HTTP")
        assert not client.take(10_000).startswith(b"HTTP")


# -- clients that take their time --------------------------------------------------------------


@on_both_loops
@pytest.mark.parametrize("first", [b"", b"\x16", b"\x16\x03\x01"], ids=["nothing", "1", "3"])
def test_a_client_that_does_not_finish_its_handshake_is_dropped(
    site: Path, certificate: tuple[str, str], loop: str, first: bytes
) -> None:
    options = {"ssl_handshake_timeout": 0.2}
    with serving_tls(site, certificate, loop, **options) as server, server.connect() as client:
        client.send(first)
        assert client.ended()


@on_both_loops
def test_a_handshake_may_come_byte_by_byte(
    site: Path, certificate: tuple[str, str], loop: str
) -> None:
    """The first byte alone tells that TLS begins."""
    chain, _ = certificate
    context = ssl.create_default_context(cafile=chain)
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(received, sent, server_hostname="127.0.0.1")
    with serving_tls(site, certificate, loop) as server, server.connect() as client:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                hello = sent.read()
                for number in range(len(hello)):
                    client.send(hello[number : number + 1])
                received.write(client.socket.recv(65_536))
        tls.write(head("/css/app.css", "Connection: close"))
        client.send(sent.read())
        assert client.take(1) != b""


@on_both_loops
def test_connections_that_fail_leave_no_handle(
    site: Path, certificate: tuple[str, str], loop: str
) -> None:
    errors: list[dict[str, Any]] = []
    with serving_tls(site, certificate, loop) as server:
        server.loop.set_exception_handler(lambda _, context: errors.append(context))
        with over_tls(server.connect(), certificate[0]) as client:
            assert client.get("/css/app.css").status == 200
        before = open_handles()
        for first in (b"", b"\x16", b"\x16\x03\x01\x00\x05hello", b"GET / HTTP/1.1\r\n\r\n") * 5:
            client = server.connect()
            client.send(first)
            client.reset()
        assert eventually(lambda: open_handles() <= before)
    assert not errors


@on_both_loops
@pytest.mark.parametrize("first", [b"", b"\x16\x03\x01"], ids=["nothing", "3"])
def test_a_shutdown_does_not_wait_for_a_client_that_does_not_finish_its_handshake(
    site: Path,
    certificate: tuple[str, str],
    loop: str,
    first: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accept, "_CLOSING_SECONDS", 0.1)
    options = {"graceful_timeout": 60.0}
    with serving_tls(site, certificate, loop, **options) as server, server.connect() as silent:
        silent.send(first)
        time.sleep(0.1)
        server.stop()
        assert silent.ended()


@on_both_loops
@pytest.mark.parametrize("first", [b"", b"\x16\x03\x01"], ids=["nothing", "3"])
def test_handshakes_beyond_the_limit_have_less_time_and_shut_nobody_out(
    site: Path,
    certificate: tuple[str, str],
    loop: str,
    first: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accept, "HEAD_SECONDS", 0.2)
    with (
        serving_tls(site, certificate, loop, limit_concurrency=2) as server,
        server.connect() as one,
        server.connect() as two,
        server.connect() as three,
    ):
        for silent in (one, two, three):
            silent.send(first)
        assert three.ended()
        with over_tls(server.connect(), certificate[0]) as client:
            assert client.get("/css/app.css").status == 200
        for early in (one, two):
            early.socket.setblocking(False)
            with pytest.raises(BlockingIOError):
                early.socket.recv(1)


@on_both_loops
def test_a_connection_that_was_accepted_before_a_shutdown_gets_its_answer(
    site: Path, certificate: tuple[str, str], loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted, read = threading.Event(), _Accepted.read

    def noted(self: _Accepted) -> None:
        read(self)
        accepted.set()

    monkeypatch.setattr(_Accepted, "read", noted)
    with serving_tls(site, certificate, loop, graceful_timeout=10.0) as server:
        client = server.connect()
        assert accepted.wait(5)
        server.stop()
        with over_tls(client, certificate[0]):
            answer = client.get("/css/app.css")
    assert answer.status == 200
    assert dict(answer.fields)["connection"] == "close"


@on_both_loops
def test_no_descriptors_left_is_logged_once_and_then_connections_are_accepted(
    site: Path,
    certificate: tuple[str, str],
    loop: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures = [OSError(24, "Too many open files")]
    accepting = Listener._accept

    def failing(self: Listener) -> None:
        if failures:
            self._pause(failures.pop())
        else:
            accepting(self)

    monkeypatch.setattr(Listener, "_accept", failing)
    with (
        serving_tls(site, certificate, loop) as server,
        over_tls(server.connect(), certificate[0]) as client,
    ):
        assert client.get("/css/app.css").status == 200
    assert caplog.text.count("Too many open files") == 1


@on_both_loops
def test_a_loop_that_cannot_watch_a_socket_still_speaks_tls(
    site: Path, certificate: tuple[str, str], loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where plain HTTP ends with a reset."""

    def start(self: Listener) -> None:
        raise NotImplementedError

    monkeypatch.setattr(Listener, "start", start)
    with (
        serving_tls(site, certificate, loop) as server,
        over_tls(server.connect(), certificate[0]) as client,
    ):
        assert client.get("/css/app.css").status == 200


# -- a header in front of everything -----------------------------------------------------------


def read_line(_sock: socket.socket, data: bytes) -> Preface | None:
    """A header of one line that begins with PRE."""
    line, end, _ = data.partition(b"\n")
    if not b"PRE ".startswith(line[:4]) or len(line) > 100:
        raise ValueError("the header is not PRE")
    return Preface(len(line) + 1, line[4:].decode()) if end else None


@contextmanager
def with_preface(
    monkeypatch: pytest.MonkeyPatch, site: Path, loop: str, tls: tuple[str, str] | None
) -> Iterator[tuple[Inside, list[Any]]]:
    """Serve connections that begin with PRE; the facts that the protocols got."""
    facts: list[Any] = []

    async def listen_on(self: Any, sock: Any, context: Any, entry: Any) -> Listener:
        plain: Any = await original(self, sock, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), entry)
        plain.context, plain.read_preface = context, read_line
        make: Any = plain.make_protocol

        def noted(fact: Any) -> Any:
            facts.append(fact)
            return make(fact)

        plain.make_protocol = noted
        return cast("Listener", plain)

    original: Any = server_module._Worker._listen_on
    monkeypatch.setattr(server_module._Worker, "_listen_on", listen_on)
    options: dict[str, Any] = {} if tls is None else {"certfile": tls[0], "keyfile": tls[1]}
    with serving_inside(StaticFiles(site), loop=loop, **options) as server:
        yield server, facts


@on_both_loops
@pytest.mark.parametrize("secure", [True, False], ids=["tls", "plain"])
@pytest.mark.parametrize("split", [None, 1, 4, 10], ids="split at {}".format)
def test_a_preface_is_removed_before_tls_and_http(
    site: Path,
    certificate: tuple[str, str],
    loop: str,
    secure: bool,
    split: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = b"PRE 192.0.2.7\n"
    tls = certificate if secure else None
    with with_preface(monkeypatch, site, loop, tls) as (server, facts), server.connect() as client:
        if split:
            client.send(line[:split])
            time.sleep(0.05)
        client.send(line[split or 0 :])
        if secure:
            over_tls(client, certificate[0])
        assert client.get("/css/app.css").status == 200
        assert client.get("/css/app.css").status == 200
    assert facts == ["192.0.2.7"]


@on_both_loops
def test_a_preface_and_a_request_may_come_together(
    site: Path, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with with_preface(monkeypatch, site, loop, None) as (server, facts), server.connect() as client:
        client.send(b"PRE a\n" + head("/css/app.css"))
        assert client.read().status == 200
    assert facts == ["a"]


@on_both_loops
def test_a_wrong_preface_closes_the_connection(
    site: Path, loop: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with with_preface(monkeypatch, site, loop, None) as (server, facts), server.connect() as client:
        client.send(head("/css/app.css"))
        assert client.ended()
    assert not facts
    assert "the header is not PRE" in caplog.text
