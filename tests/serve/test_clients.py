"""Real clients, and the shapes of HTTP/1.1 that they and odder ones send, in every setup."""

from __future__ import annotations

import http.client
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.programs import require
from tests.support.raw import HOST, Connection, head
from tests.support.servers import Server, serving
from tests.support.site import SMALL_SITE

BIG = SMALL_SITE["big.bin"]
PIXELS = SMALL_SITE["pixels.png"]
STYLE = SMALL_SITE["css/app.css"]
_HUGE = 8 << 20  # bytes: more than the system takes for a client that does not read


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, cwd=cwd, capture_output=True, timeout=60, check=False)


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    # Shorter than any server's keep-alive timeout, so that does not pass for a close.
    with server.connect(timeout=3.0) as connection:
        yield connection


# -- programs ------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [1, 4096, len(BIG) - 1])
def test_curl_resumes_a_download(server: Server, tmp_path: Path, kept: int) -> None:
    curl = require("curl", apt="curl")
    partial = tmp_path / "big.bin"
    partial.write_bytes(BIG[:kept])
    done = run(curl, "-sSf", "-C", "-", "-o", "big.bin", server.url("/big.bin"), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert partial.read_bytes() == BIG


def test_curl_finds_that_a_complete_download_is_complete(server: Server, tmp_path: Path) -> None:
    curl = require("curl", apt="curl")
    partial = tmp_path / "big.bin"
    partial.write_bytes(BIG)
    run(curl, "-sS", "-C", "-", "-o", "big.bin", server.url("/big.bin"), cwd=tmp_path)
    assert partial.read_bytes() == BIG


def test_curl_decodes_the_precompressed_coding(server: Server, tmp_path: Path) -> None:
    curl = require("curl", apt="curl")
    done = run(curl, "-sSf", "--compressed", "-D", "head", server.url("/app.js"), cwd=tmp_path)
    assert done.stdout == SMALL_SITE["app.js"]
    assert b"content-encoding: gzip" in (tmp_path / "head").read_bytes().lower()


def test_curl_does_not_fetch_again_what_it_has(server: Server, tmp_path: Path) -> None:
    curl = require("curl", apt="curl")
    arguments = ("--etag-save", "tag", "--etag-compare", "tag", "-w", "%{http_code}", "-o", "page")
    first, second = (run(curl, "-sS", *arguments, server.url("/"), cwd=tmp_path) for _ in range(2))
    assert (first.stdout, second.stdout) == (b"200", b"304")


def test_wget_mirrors_the_site_byte_for_byte(server: Server, tmp_path: Path) -> None:
    wget = require("wget", apt="wget")
    arguments = ("-q", "-r", "-nH", "-np", "-e", "robots=off", "--restrict-file-names=nocontrol")
    done = run(wget, *arguments, server.url("/"), cwd=tmp_path)
    mirrored = {
        str(path.relative_to(tmp_path)): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    hidden = {"app.js.gz", ".hidden", ".well-known/security.txt"}  # nothing links to them
    assert done.returncode == 0
    assert mirrored == {name: text for name, text in SMALL_SITE.items() if name not in hidden}


def test_wget_with_timestamps_does_not_fetch_again(server: Server, tmp_path: Path) -> None:
    wget = require("wget", apt="wget")
    for _ in range(2):
        done = run(wget, "-nv", "-N", server.url("/pixels.png"), cwd=tmp_path)
        assert done.returncode == 0
    assert b"->" not in done.stderr  # wget's sign for "saved as"
    assert (tmp_path / "pixels.png").read_bytes() == PIXELS


def test_http_client_keeps_one_connection_over_every_kind_of_answer(server: Server) -> None:
    with closing(http.client.HTTPConnection(HOST, server.port, timeout=10)) as connection:
        connection.request("GET", "/css/app.css")
        response = connection.getresponse()
        tag, kept = str(response.getheader("ETag")), connection.sock
        assert response.read() == STYLE
        answers = []
        for method, path, fields in (
            ("GET", "/pixels.png", {}),
            ("GET", "/css/app.css", {"If-None-Match": tag}),
            ("HEAD", "/big.bin", {}),
            ("GET", "/missing", {}),
            ("GET", "/css/app.css", {"Range": "bytes=5-9"}),
            ("GET", "/css/app.css", {"Range": "bytes=999-"}),
            ("GET", "/docs", {}),
            ("GET", "/%2e%2e/x", {}),
            ("DELETE", "/css/app.css", {}),
            ("OPTIONS", "/css/app.css", {}),
            ("GET", "/empty.txt", {}),
            ("GET", "/css/app.css", {}),
        ):
            connection.request(method, path, headers=fields)
            response = connection.getresponse()
            answers.append((response.status, len(response.read())))
            assert connection.sock is kept
    assert [status for status, _ in answers] == [
        200, 304, 200, 404, 206, 416, 301, 400, 405, 204, 200, 200,
    ]  # fmt: skip
    assert [answers[at][1] for at in (0, 1, 2, 4, -2, -1)] == [len(PIXELS), 0, 0, 5, 0, len(STYLE)]


# -- shapes --------------------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_order(connection: Connection) -> None:
    targets = ["/css/app.css", "/missing", "/pixels.png", "/docs", "/empty.txt", "/css/app.css"]
    connection.send(b"".join(head(target) for target in targets))
    answers = [connection.read() for _ in targets]
    assert [answer.status for answer in answers] == [200, 404, 200, 301, 200, 200]
    assert answers[0].content == answers[-1].content == STYLE
    assert answers[2].content == PIXELS


def test_a_hundred_pipelined_requests_are_all_answered(connection: Connection) -> None:
    connection.send(head("/css/app.css") * 100)
    assert {connection.read().content for _ in range(100)} == {STYLE}


def test_a_head_split_at_every_byte_is_one_request(connection: Connection) -> None:
    request = head("/css/app.css", "Range: bytes=0-3", "User-Agent: slow")
    for cut in range(1, len(request)):
        connection.send(request[:cut])
        connection.send(request[cut:])
        assert connection.read().content == STYLE[:4]


def test_a_head_sent_byte_by_byte_is_one_request(connection: Connection) -> None:
    for byte in head("/css/app.css"):
        connection.send(bytes([byte]))
    assert connection.read().content == STYLE


@pytest.mark.parametrize(
    ("version", "lines", "stays"),
    [
        pytest.param("1.1", (), True, id="1.1"),
        pytest.param("1.1", ("Connection: keep-alive",), True, id="1.1 keep-alive"),
        pytest.param("1.1", ("Connection: close",), False, id="1.1 close"),
        pytest.param("1.0", (), False, id="1.0"),
        pytest.param("1.0", ("Connection: close",), False, id="1.0 close"),
    ],
)
@pytest.mark.parametrize("target", ["/css/app.css", "/big.bin", "/missing"])
def test_the_connection_stays_open_as_version_and_connection_say(
    connection: Connection, version: str, lines: tuple[str, ...], stays: bool, target: str
) -> None:
    connection.send(head(target, *lines, version=version))
    answer = connection.read()
    assert answer.complete
    if target == "/big.bin":
        assert answer.content == BIG
    if stays:
        assert connection.get("/css/app.css").content == STYLE
    else:
        assert connection.ended()


# Hypercorn by itself answers every version as HTTP/1.1, and asks for Host in that alone.
@pytest.mark.parametrize("setup", ["serve", "serve-no-direct"], indirect=True)
@pytest.mark.parametrize(
    ("version", "lines", "status"),
    [
        pytest.param("1.2", ("Host: a",), 200, id="a later minor version is served"),
        pytest.param("1.9", ("Host: a",), 200, id="the last minor version is served"),
        pytest.param("1.2", ("X: a",), 400, id="and needs Host as 1.1 does"),
        pytest.param("1.0", ("X: a",), 200, id="1.0 does not"),
        pytest.param("0.9", ("Host: a",), 505, id="0.9"),
        pytest.param("2.0", ("Host: a",), 505, id="2.0 in the syntax of 1.1"),
        pytest.param("3.0", ("Host: a",), 505, id="3.0"),
        pytest.param("9.9", ("X: a",), 505, id="9.9 without Host"),
    ],
)
def test_only_versions_of_http_1_are_served(
    connection: Connection, version: str, lines: tuple[str, ...], status: int
) -> None:
    head_lines = "".join(f"{line}\r\n" for line in lines)
    connection.send(f"GET /css/app.css HTTP/{version}\r\n{head_lines}\r\n".encode())
    assert connection.read().status == status
    assert status == 200 or connection.ended()


@pytest.mark.parametrize(
    "requests",
    [
        pytest.param([head("/css/app.css", "Connection: close")], id="small"),
        pytest.param([head("/big.bin")], id="large"),
        pytest.param([head("/big.bin", version="1.0")], id="large, by HTTP/1.0"),
        pytest.param([head("/big.bin", "Content-Length: 0")], id="large, handed over"),
        pytest.param(
            [head("/css/app.css", "Content-Length: 0"), head("/missing"), head("/big.bin")],
            id="several, handed over",
        ),
        pytest.param(
            [head("/big.bin"), head("/css/app.css", "Content-Length: 0")], id="the last handed over"
        ),
    ],
)
def test_a_client_that_shut_its_sending_half_gets_all_answers_whole(
    server: Server, setup: str, requests: list[bytes]
) -> None:
    """RFC 9112 §9.6: whoever ends its side may still read."""
    if setup == "uvicorn":
        pytest.skip("uvicorn takes a half-closed connection for a closed one")
    if setup == "hypercorn-no-direct" and b"/big.bin" in requests[-1]:
        pytest.skip("Hypercorn tells the app that the client has left")
    contents = {b"/css/app.css": STYLE, b"/big.bin": BIG}
    with server.connect() as connection:
        connection.send(b"".join(requests))
        connection.socket.shutdown(1)
        for request in requests:
            expected = contents.get(request.split()[1])
            answer = connection.read()
            assert answer.complete
            assert expected in (answer.content, None)


@pytest.mark.parametrize("setup", ["serve", "serve-no-direct"], indirect=True)
@pytest.mark.parametrize("lines", [(), ("Content-Length: 0",)], ids=["plain", "handed over"])
def test_after_its_answer_the_connection_of_a_half_closed_client_ends(
    connection: Connection, lines: tuple[str, ...]
) -> None:
    """Hypercorn by itself waits until it has been idle for long enough."""
    connection.send(head("/css/app.css", *lines))
    connection.socket.shutdown(1)
    assert connection.read().content == STYLE
    assert connection.ended()


@pytest.mark.parametrize("setup", ["serve", "serve-no-direct"])
def test_bytes_behind_the_last_request_do_not_cut_its_answer(setup: str, tmp_path: Path) -> None:
    """The line end of ``echo -e 'GET / HTTP/1.0\\r\\n\\r\\n' | nc``; h11 ends the connection."""
    with (tmp_path / "huge.bin").open("xb") as huge:
        huge.truncate(_HUGE)
    requests = head("/huge.bin", version="1.0"), head("/huge.bin", "Connection: close")
    with serving(setup, tmp_path) as server:
        for request in requests:
            with server.connect(receive_buffer=65_536) as connection:
                connection.send(request)
                connection.receive(1000)
                connection.send(b"\n")
                assert len(connection.read().content) == _HUGE
                assert connection.ended()


@pytest.mark.parametrize(("length", "status"), [(7987, 404), (8192, 404), (8193, 414)])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_target_is_as_long_as_may_be(
    server: Server, length: int, status: int, method: str
) -> None:
    """A request line of 8000 octets, and more, is read (RFC 9112 §3)."""
    target = ("/" + "a/" * length)[:length]
    assert server.fetch(target, method=method).status == status


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("size", [0, 10, 3_000_000])
def test_a_client_that_uploads_can_read_the_405(server: Server, method: str, size: int) -> None:
    with closing(http.client.HTTPConnection(HOST, server.port, timeout=20)) as connection:
        connection.request(method, "/css/app.css", body=b"u" * size)
        response = connection.getresponse()
        assert response.status == 405
        assert response.getheader("Allow") == "GET, HEAD, OPTIONS"
        response.read()
        connection.request("GET", "/css/app.css")
        assert connection.getresponse().read() == STYLE


def test_a_chunked_upload_can_read_the_405(server: Server) -> None:
    with closing(http.client.HTTPConnection(HOST, server.port, timeout=20)) as connection:
        chunks = iter([b"u" * 1000] * 100)
        connection.request("POST", "/css/app.css", body=chunks, encode_chunked=True)
        assert connection.getresponse().status == 405


def test_content_of_a_get_is_read_and_does_not_become_a_request(connection: Connection) -> None:
    hidden = head("/missing")
    connection.send(head("/css/app.css", f"Content-Length: {len(hidden)}") + hidden)
    connection.send(head("/empty.txt"))
    assert connection.read().content == STYLE
    assert connection.read().status == 200


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("PUT", 405)])
def test_a_client_that_expects_100_continue_gets_a_final_answer(
    connection: Connection, method: str, status: int
) -> None:
    lines = ("Expect: 100-continue", "Content-Length: 4")
    connection.send(head("/css/app.css", *lines, method=method))
    connection.send(b"body")
    answer = connection.read(method)
    assert answer.status == status
    assert set(answer.interim) <= {100}


def test_curl_uploads_with_expect_and_reads_the_405(server: Server, tmp_path: Path) -> None:
    curl = require("curl", apt="curl")
    (tmp_path / "upload").write_bytes(b"u" * 2_000_000)
    arguments = ("-sS", "-T", "upload", "-H", "Expect: 100-continue", "-o", "page")
    done = run(curl, *arguments, "-w", "%{http_code}", server.url("/css/app.css"), cwd=tmp_path)
    assert (done.stdout, done.stderr) == (b"405", b"")


def test_an_offer_of_h2c_is_declined_and_answered(server: Server, tmp_path: Path) -> None:
    curl = require("curl", apt="curl")
    done = run(curl, "-sSf", "--http2", server.url("/css/app.css"), cwd=tmp_path)
    assert (done.stdout, done.stderr) == (STYLE, b"")


def test_head_has_the_status_and_fields_of_get(server: Server) -> None:
    for target in ("/", "/css/app.css", "/big.bin", "/app.js", "/missing", "/docs", "/%00"):
        whole, bare = (server.fetch(target, method=method) for method in ("GET", "HEAD"))
        assert bare.status == whole.status
        assert bare.content == b""
        fields = [
            {name: value for name, value in answer.fields if name != "date"}
            for answer in (whole, bare)
        ]
        assert fields[0] == fields[1]
        assert whole.field("content-length") == str(len(whole.content))


def test_every_answer_has_a_date_and_one_framing(server: Server) -> None:
    for target in ("/", "/missing", "/docs", "/%00", "/big.bin"):
        answer = server.fetch(target)
        names = [name for name, _ in answer.fields]
        assert names.count("date") == 1
        assert names.count("content-length") + names.count("transfer-encoding") == 1
        assert answer.field("x-content-type-options") == "nosniff"
