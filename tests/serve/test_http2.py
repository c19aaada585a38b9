"""HTTP/2 with prior knowledge (RFC 9113 §3.3), in every setup that has it."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http2 import Connection2, StreamError
from tests.support.programs import require
from tests.support.raw import HOST
from tests.support.servers import Server, serving
from tests.support.site import SMALL_SITE, write_site

BIG = SMALL_SITE["big.bin"]
HUGE = 64 * 1024 * 1024


@pytest.fixture(
    scope="module", params=["hypercorn", "hypercorn-uvloop", "serve", "serve-no-direct"]
)
def setup(request: pytest.FixtureRequest) -> str:
    """The setups that speak HTTP/2; uvicorn does not."""
    return str(request.param)


@pytest.fixture(scope="module")
def server(setup: str, site: Path) -> Iterator[Server]:
    with serving(setup, site) as server:
        yield server


@pytest.fixture
def connection(server: Server) -> Iterator[Connection2]:
    with Connection2(server.port) as connection:
        yield connection


@pytest.mark.parametrize("name", ["css/app.css", "pixels.png", "big.bin", "empty.txt"])
def test_curl_gets_the_bytes_of_the_file(server: Server, tmp_path: Path, name: str) -> None:
    curl = require("curl", apt="curl")
    command = [curl, "-sSf", "--http2-prior-knowledge", "-w", "%{stderr}%{http_version}"]
    done = subprocess.run(
        [*command, server.url(f"/{name}")], cwd=tmp_path, capture_output=True, timeout=30
    )
    assert (done.stdout, done.stderr) == (SMALL_SITE[name], b"2")


@pytest.mark.parametrize(
    ("target", "fields", "status", "content"),
    [
        pytest.param("/big.bin", (), 200, BIG, id="whole"),
        pytest.param("/big.bin", (("range", "bytes=5-9"),), 206, BIG[5:10], id="range"),
        pytest.param("/big.bin", (("range", "bytes=-7"),), 206, BIG[-7:], id="suffix"),
        pytest.param("/css/app.css", (("if-none-match", "*"),), 304, b"", id="304"),
        pytest.param("/empty.txt", (), 200, b"", id="empty"),
        pytest.param("/with%20space.txt", (), 200, SMALL_SITE["with space.txt"], id="space"),
    ],
)
def test_answers_are_those_of_http_1(
    connection: Connection2,
    target: str,
    fields: tuple[tuple[str, str], ...],
    status: int,
    content: bytes,
) -> None:
    answer = connection.get(target, *fields)
    assert (answer.status, answer.content) == (status, content)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/missing", 404),
        ("/.hidden", 404),
        ("/%2e%2e/x", 400),
        ("/../x", 400),
        ("/a%2fb", 400),
        ("/%00", 400),
        ("/docs", 301),
        ("/" + "a/" * 4095 + "a", 404),
        ("/" + "a/" * 4096, 414),
    ],
)
def test_refusals_are_those_of_http_1(connection: Connection2, target: str, status: int) -> None:
    assert connection.get(target).status == status


def test_head_has_fields_and_no_content(connection: Connection2) -> None:
    answer = connection.get("/big.bin", method="HEAD")
    assert (answer.status, answer.content) == (200, b"")
    assert answer.field("content-length") == str(len(BIG))


def test_concurrent_streams_do_not_mix(connection: Connection2) -> None:
    names = ["big.bin", "css/app.css", "pixels.png", "empty.txt"] * 5
    streams = [connection.request(f"/{name}") for name in names]
    for name, stream in zip(names, streams, strict=True):
        assert connection.read(stream).content == SMALL_SITE[name]


@pytest.mark.parametrize("name", ["css/app.css", "big.bin"])
def test_the_connection_of_a_client_that_has_ended_its_side_ends(
    server: Server, setup: str, name: str
) -> None:
    """Otherwise it would stay in the process for ever, and its socket too."""
    if setup.startswith("hypercorn"):
        pytest.skip("Hypercorn's own task waits without end")
    before = server.open_handles()
    for _ in range(5):
        with Connection2(server.port) as connection:
            connection.request(f"/{name}")
            connection.socket.shutdown(socket.SHUT_WR)
            while connection.socket.recv(1 << 18):
                pass
    assert server.settled_handles(before, seconds=5) <= before


def test_a_window_of_one_byte_gets_the_whole_file(server: Server) -> None:
    with Connection2(server.port, window=1) as connection:
        assert connection.get("/app.js").content == SMALL_SITE["app.js"]


def test_a_file_cut_while_it_is_sent_is_a_stream_error(setup: str, tmp_path: Path) -> None:
    root = write_site(tmp_path / "site", {"huge.bin": b"A" * HUGE, "index.html": b"home"})
    with serving(setup, root) as server, Connection2(server.port) as connection:
        stream = connection.request("/huge.bin")
        connection.until_content(stream)
        os.truncate(root / "huge.bin", HUGE // 2)
        with pytest.raises(StreamError):
            connection.read(stream)


# -- what Hypercorn by itself ends the connection for, with every other stream on it ---------------

kept = pytest.mark.parametrize("setup", ["serve", "serve-no-direct"], indirect=True)
PSEUDO = {":method": "GET", ":scheme": "http", ":authority": HOST, ":path": "/app.js"}


@kept
@pytest.mark.parametrize(
    ("pseudo", "status"),
    [
        pytest.param({":method": "CONNECT", ":authority": f"{HOST}:80"}, 400, id="CONNECT"),
        pytest.param({**PSEUDO, ":path": "/\u00e9"}, 400, id="path outside ASCII"),
        pytest.param({**PSEUDO, ":method": "\u00e9"}, 400, id="method outside ASCII"),
        pytest.param({**PSEUDO, ":path": "/a b"}, 400, id="space in the path"),
        pytest.param({**PSEUDO, ":path": "app.js"}, 400, id="path without slash"),
        pytest.param({**PSEUDO, ":path": "*"}, 400, id="asterisk-form"),
        pytest.param({**PSEUDO, ":path": "*", ":method": "OPTIONS"}, 204, id="OPTIONS *"),
        pytest.param({**PSEUDO, ":method": "get"}, 405, id="lower-case method"),
    ],
)
def test_an_odd_request_is_answered_and_the_connection_goes_on(
    connection: Connection2, pseudo: dict[str, str], status: int
) -> None:
    before = connection.request("/big.bin")
    odd: int = connection.h2.get_next_available_stream_id()
    connection.h2.send_headers(odd, list(pseudo.items()), end_stream=True)
    connection.flush()
    assert connection.read(odd).status == status
    assert connection.read(before).content == BIG
    assert connection.get("/app.js").content == SMALL_SITE["app.js"]


@kept
@pytest.mark.parametrize(("method", "status"), [("POST", 405), ("GET", 200)])
def test_content_after_the_answer_is_taken_and_the_connection_goes_on(
    connection: Connection2, method: str, status: int
) -> None:
    """An upload that was refused is still under way when the client reads why."""
    pseudo = {**PSEUDO, ":method": method}
    stream: int = connection.h2.get_next_available_stream_id()
    connection.h2.send_headers(stream, list(pseudo.items()))
    connection.h2.send_data(stream, b"first")
    connection.flush()
    assert connection.read(stream).status == status
    for piece in (b"second", b"third"):
        connection.h2.send_data(stream, piece)
        connection.flush()
        assert connection.get("/app.js").content == SMALL_SITE["app.js"]
    connection.h2.end_stream(stream)
    connection.flush()
    assert connection.get("/app.js").content == SMALL_SITE["app.js"]


@kept
def test_a_refused_upload_of_many_windows_ends(connection: Connection2) -> None:
    stream: int = connection.h2.get_next_available_stream_id()
    connection.h2.send_headers(stream, list({**PSEUDO, ":method": "POST"}.items()))
    connection.flush()
    assert connection.read(stream).status == 405
    for _ in range(20):  # 320 KiB through windows of 64 KiB
        connection.h2.send_data(stream, b"x" * 16_384)
        connection.flush()
        assert connection.get("/css/app.css").status == 200
    assert connection.h2.local_flow_control_window(stream) >= 16_384


@kept
@pytest.mark.parametrize("method", ["get", "Head", "options", "Get"])
def test_the_method_is_case_sensitive_on_a_connection_that_was_handed_over(
    server: Server, method: str
) -> None:
    """RFC 9110 §9.1; OPTIONS is answered by Hypercorn, and so is what follows it."""
    with server.connect() as connection:
        assert connection.get("/app.js", method="OPTIONS").status == 204
        answer = connection.get("/app.js", method=method)
        assert (answer.status, answer.field("allow")) == (405, "GET, HEAD, OPTIONS")
        assert connection.get("/app.js").content == SMALL_SITE["app.js"]
