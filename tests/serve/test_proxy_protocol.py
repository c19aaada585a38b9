"""Connections that begin with a PROXY header: the client that it names is the client everywhere."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypercorn.config import Config

from asyncstatic import serve_app
from asyncstatic.http.proxy_protocol import LONGEST
from tests.http.test_proxy_protocol import BLOCK4, BLOCK6, NO_TLS, TLS, v2
from tests.serve.inside import LOOPS, Inside, eventually
from tests.serve.test_proxies import LOOPBACK, Served, app_of, serving, websocket
from tests.support.http2 import Connection2
from tests.support.raw import HOST, Connection, head
from tests.support.tls import over_tls

LINE = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
HEADERS = [
    # header -> client, scheme over a connection without TLS
    pytest.param(LINE, "192.0.2.7", "http", id="1"),
    pytest.param(b"PROXY TCP6 2001:db8::7 2001:db8::1 9 443\r\n", "2001:db8::7", "http", id="1, IPv6"),
    pytest.param(v2(0x11, BLOCK4), "192.0.2.7", "http", id="2"),
    pytest.param(v2(0x21, BLOCK6), "2001:db8::7", "http", id="2, IPv6"),
    pytest.param(v2(0x11, BLOCK4 + TLS), "192.0.2.7", "https", id="2, the balancer ended TLS"),
    pytest.param(v2(0x11, BLOCK4 + NO_TLS), "192.0.2.7", "http", id="2, no TLS"),
    pytest.param(v2(0x00, b"", command=0x20), HOST, "http", id="2, a health check"),
    pytest.param(b"PROXY UNKNOWN\r\n", None, "http", id="1, no address"),
    pytest.param(v2(0x31, bytes(216)), None, "http", id="2, no address"),
]  # fmt: skip

both_entries = pytest.mark.parametrize("direct", [True, False], ids=["direct", "handed over"])
on_both_loops = pytest.mark.parametrize("loop", LOOPS)


@contextmanager
def connected(server: Inside, header: bytes) -> Iterator[Connection]:
    with server.connect() as connection:
        connection.send(header)
        yield connection


@pytest.fixture(
    scope="module",
    params=[(loop, direct) for loop in LOOPS for direct in (True, False)],
    ids=lambda row: f"{row[0]} {'direct' if row[1] else 'handed over'}",
)
def served(request: pytest.FixtureRequest, site: Path) -> Iterator[Served]:
    loop, direct = request.param
    with serving(
        app_of(site), loop=loop, direct=direct, trusted_proxies=LOOPBACK, proxy_protocol=True
    ) as served:
        yield served  # fmt: skip


@pytest.mark.parametrize(("header", "client", "scheme"), HEADERS)
def test_scope_and_log_name_the_client_of_the_header(
    served: Served, header: bytes, client: str | None, scheme: str
) -> None:
    served.log.clear()
    with connected(served.server, header) as connection:
        assert connection.get("/static/css/app.css").status == 200
        told = json.loads(connection.get("/x").content)
    assert (told["client"] and told["client"][0], told["scheme"]) == (client, scheme)
    assert eventually(lambda: len(served.log) == 2)
    assert [line["client"] for line in served.log] == [client or "unix:"] * 2


def test_header_and_request_may_come_in_one_segment(served: Served) -> None:
    with connected(served.server, LINE + head("/static/css/app.css")) as connection:
        assert connection.read().status == 200


def test_a_websocket_has_the_client_of_the_header(served: Served) -> None:
    told = websocket(served.server, "/ws", before=LINE)
    assert (told["client"], told["scheme"]) == (["192.0.2.7", 56324], "ws")


def test_http_2_has_the_client_of_the_header(served: Served) -> None:
    with Connection2(served.server.port, before=LINE) as connection:
        told = json.loads(connection.get("/x").content)
    assert (told["client"], told["scheme"]) == (["192.0.2.7", 56324], "http")


@pytest.mark.parametrize(("header", "client", "scheme"), HEADERS)
@on_both_loops
@both_entries
def test_the_header_comes_before_tls(
    site: Path, certificate: tuple[str, str], loop: str, direct: bool,
    header: bytes, client: str | None, scheme: str,
) -> None:  # fmt: skip
    chain, key = certificate
    with (
        serving(app_of(site), loop=loop, direct=direct, certfile=chain, keyfile=key,
                trusted_proxies=LOOPBACK, proxy_protocol=True) as served,
        connected(served.server, header) as connection,
        over_tls(connection, chain) as connection,
    ):  # fmt: skip
        assert connection.get("/static/css/app.css").status == 200
        told = json.loads(connection.get("/x").content)
    assert (told["client"] and told["client"][0], told["scheme"]) == (client, "https")
    assert served.line("/static")["client"] == (client or "unix:")


@pytest.mark.parametrize("header", [LINE, v2(0x11, BLOCK4 + TLS)], ids=["1", "2"])
@on_both_loops
def test_a_header_works_wherever_it_is_split(site: Path, loop: str, header: bytes) -> None:
    with serving(app_of(site), loop=loop, trusted_proxies=LOOPBACK, proxy_protocol=True) as served:
        for cut in range(1, len(header)):
            with connected(served.server, header[:cut]) as connection:
                time.sleep(0.002)
                connection.send(header[cut:] + head("/static/css/app.css"))
                assert connection.read().status == 200
    assert {line["client"] for line in served.log} == {"192.0.2.7"}
    assert len(served.log) == len(header) - 1


def test_a_header_works_byte_by_byte_and_with_tls_behind_it(
    site: Path, certificate: tuple[str, str]
) -> None:
    chain, key = certificate
    with (
        serving(app_of(site), certfile=chain, keyfile=key, trusted_proxies=LOOPBACK,
                proxy_protocol=True) as served,
        served.server.connect() as connection,
    ):  # fmt: skip
        for byte in v2(0x11, BLOCK4 + TLS):
            connection.send(bytes([byte]))
        with over_tls(connection, chain) as connection:
            assert connection.get("/static/css/app.css").status == 200
    assert served.line("/static")["client"] == "192.0.2.7"


# -- refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        head("/static/css/app.css"),
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n" + head("/"),
        LINE[:-2] + b"\n" + head("/") + b"x" * 100,
        v2(0x11, b"", size=65535) + head("/"),
        v2(0x11, BLOCK4[:-1]) + head("/"),
        b"\x16\x03\x01\x00\xff",
        b"PROXY UNKNOWN " + b"x" * LONGEST,
    ],
)
def test_a_connection_without_a_valid_header_is_closed_without_an_answer(
    served: Served, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    with connected(served.server, data) as connection:
        assert connection.ended()
    assert "127.0.0.1 sent no PROXY header" in caplog.text


@on_both_loops
def test_a_connection_whose_header_does_not_come_is_closed(
    site: Path, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncstatic.serve.server.HEAD_SECONDS", 0.2)
    with (
        serving(app_of(site), loop=loop, trusted_proxies=LOOPBACK, proxy_protocol=True) as served,
        connected(served.server, LINE[:-1]) as begun,
        served.server.connect() as silent,
    ):
        assert begun.ended()
        assert silent.ended()
    assert not served.log


@on_both_loops
def test_a_shutdown_does_not_wait_for_a_header(site: Path, loop: str) -> None:
    with serving(
        app_of(site), loop=loop, graceful_timeout=60, trusted_proxies=LOOPBACK, proxy_protocol=True
    ) as served:
        connection = served.server.connect()
        connection.send(LINE[:-1])
    with connection:
        assert connection.ended()


def test_a_second_header_is_no_request(served: Served) -> None:
    with connected(served.server, LINE + LINE + head("/")) as connection:
        assert connection.read().status == 400


def test_a_peer_that_is_not_trusted_is_closed(site: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        serving(app_of(site), trusted_proxies="10.0.0.0/8", proxy_protocol=True) as served,
        connected(served.server, LINE + head("/static/css/app.css")) as connection,
    ):
        assert connection.ended()
    assert "127.0.0.1 is not in --trusted-proxies" in caplog.text


def test_a_client_behind_a_balancer_is_not_believed(served: Served) -> None:
    """A balancer forwards bytes: the fields are the client's."""
    fields = ("X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https")
    for header, client in ((LINE, ["192.0.2.7", 56324]), (b"PROXY UNKNOWN\r\n", None)):
        with connected(served.server, header) as connection:
            told = json.loads(connection.get("/x", *fields).content)
        assert (told["client"], told["scheme"]) == (client, "http")


def test_a_trusted_proxy_behind_a_balancer_is_believed(served: Served) -> None:
    header = b"PROXY TCP4 127.0.0.9 198.51.100.1 56324 443\r\n"
    fields = ("X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https")
    with connected(served.server, header) as connection:
        told = json.loads(connection.get("/x", *fields).content)
    assert (told["client"][0], told["scheme"]) == ("203.0.113.9", "https")


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "handed over"])
def test_without_the_option_a_header_is_a_malformed_request(site: Path, direct: bool) -> None:
    with (
        serving(app_of(site), direct=direct, trusted_proxies=LOOPBACK) as served,
        connected(served.server, LINE + head("/static/css/app.css")) as connection,
    ):
        assert connection.read().status == 400
        assert connection.ended()
    assert {line["client"] for line in served.log} == {HOST}


def test_proxy_protocol_without_networks_is_refused(site: Path) -> None:
    with pytest.raises(ValueError, match="needs trusted_proxies"):
        asyncio.run(serve_app(app_of(site), Config(), proxy_protocol=True))


def test_plain_http_on_a_tls_port_is_logged_with_the_client_of_the_header(
    site: Path, certificate: tuple[str, str]
) -> None:
    chain, key = certificate
    with (
        serving(app_of(site), certfile=chain, keyfile=key, trusted_proxies=LOOPBACK,
                proxy_protocol=True) as served,
        connected(served.server, LINE + head("/plain")) as connection,
    ):  # fmt: skip
        assert connection.read().status == 400
    assert served.line("/plain")["client"] == "192.0.2.7"
