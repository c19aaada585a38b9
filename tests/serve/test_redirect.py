"""``--tls-bind`` and ``--redirect-https``: HTTP beside HTTPS, and redirects that lead nowhere else."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import require
from tests.support.raw import HOST, head
from tests.support.servers import Server, free_port, running
from tests.support.tls import over_tls

_SERVE = ("-m", "asyncstatic", "serve", "site")
_CHALLENGE = "/.well-known/acme-challenge/"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a site that has a challenge of ACME."""
    folder = tmp_path_factory.mktemp("redirect")
    (folder / "site" / _CHALLENGE.strip("/")).mkdir(parents=True)
    (folder / "site" / "index.html").write_text("home")
    (folder / "site" / _CHALLENGE.strip("/") / "to-ken_1").write_text("answer")
    return folder


@pytest.fixture(scope="module", params=["1", "2"])
def both(
    request: pytest.FixtureRequest, folder: Path, certificate: tuple[str, str]
) -> Iterator[tuple[Server, int]]:
    """A server that redirects, and the port of its HTTPS."""
    port = free_port()
    chain, key = certificate
    arguments = ("--bind", f"{HOST}:{{port}}", "--tls-bind", f"{HOST}:{port}", "--redirect-https")
    options = (*arguments, "--certfile", chain, "--keyfile", key, "--workers", request.param)
    with running([*_SERVE, *options], {}, cwd=str(folder)) as server:
        yield server, port


@pytest.mark.parametrize(
    ("request_", "status", "location"),
    [
        pytest.param(head("/"), 308, "/", id="page"),
        pytest.param(head("/a%20b?x=%2F&y"), 308, "/a%20b?x=%2F&y", id="escapes and query"),
        pytest.param(head("//evil.example/"), 308, "//evil.example/", id="two slashes"),
        pytest.param(head("/a/../b"), 308, "/a/../b", id="dots"),
        pytest.param(head("/", method="HEAD"), 308, "/", id="HEAD"),
        pytest.param(head("/", method="DELETE"), 308, "/", id="another method"),
        pytest.param(
            head("/", "Content-Length: 3", method="POST") + b"a=b", 308, "/", id="with content"
        ),
        pytest.param(head(_CHALLENGE + "to-ken_1"), 200, None, id="challenge"),
        pytest.param(head(_CHALLENGE + "missing"), 404, None, id="challenge that is missing"),
        pytest.param(head(_CHALLENGE), 308, _CHALLENGE, id="directory of challenges"),
        pytest.param(
            head(_CHALLENGE + "../../"), 308, _CHALLENGE + "../../", id="out of the challenges"
        ),
        pytest.param(head("/.well-known/x"), 308, "/.well-known/x", id="beside the challenges"),
    ],
)
def test_every_request_without_tls_is_redirected_but_a_challenge(
    both: tuple[Server, int], request_: bytes, status: int, location: str | None
) -> None:
    server, port = both
    with server.connect() as connection:
        connection.send(request_)
        answer = connection.read("HEAD" if request_.startswith(b"HEAD") else "GET")
    assert answer.status == status
    expected = None if location is None else f"https://localhost:{port}{location}"
    assert answer.field("location") == expected
    assert answer.field("strict-transport-security") is None


@pytest.mark.parametrize(
    ("request_", "location"),
    [
        (b"GET /x HTTP/1.1\r\nHost: example.com\r\n", "https://example.com:{port}/x"),
        (b"GET /x HTTP/1.1\r\nHost: example.com:80\r\n", "https://example.com:{port}/x"),
        (b"GET /x HTTP/1.1\r\nHost: EXAMPLE.com.:\r\n", "https://EXAMPLE.com.:{port}/x"),
        (b"GET /x HTTP/1.1\r\nHost: [::1]:8080\r\n", "https://[::1]:{port}/x"),
        (b"GET http://a.example:80/x?y HTTP/1.1\r\nHost: b\r\n", "https://a.example:{port}/x?y"),
        (b"GET http://a.example HTTP/1.1\r\nHost: b\r\n", "https://a.example:{port}/"),
        (b"GET /x HTTP/1.1\r\nHost: a@evil.example\r\n", None),
        (b"GET /x HTTP/1.1\r\nHost: evil.example/\r\n", None),
        (b"GET /x HTTP/1.1\r\nHost: evil.example#\r\n", None),
        (b"GET /x HTTP/1.1\r\nHost: evil.example\\\r\n", None),
        (b"GET /x HTTP/1.1\r\nHost: evil.example:x\r\n", None),
        (b"GET /x HTTP/1.1\r\nHost: evil.example:80:81\r\n", None),
        (b"GET /x HTTP/1.1\r\nHost: %65vil.example\r\n", None),
        (b"GET /x HTTP/1.1\r\nHost:\r\n", None),
        (b"GET /x HTTP/1.1\r\nHost: a b\r\n", None),
        (b"GET /x HTTP/1.0\r\n", None),
        (b"GET http://a@evil.example/ HTTP/1.1\r\nHost: b\r\n", None),
        (b"GET ftp://evil.example/ HTTP/1.1\r\nHost: b\r\n", None),
        (b"GET @evil.example/ HTTP/1.1\r\nHost: b\r\n", None),
        (b"GET .evil.example/ HTTP/1.1\r\nHost: b\r\n", None),
        (b"OPTIONS * HTTP/1.1\r\nHost: b\r\n", None),
    ],
)
def test_a_redirect_leads_to_the_host_that_was_asked_or_there_is_none(
    both: tuple[Server, int], request_: bytes, location: str | None
) -> None:
    server, port = both
    with server.connect() as connection:
        connection.send(request_ + b"Connection: close\r\n\r\n")
        answer = connection.read()
    assert answer.status == (400 if location is None else 308)
    expected = None if location is None else location.replace("{port}", str(port))
    assert answer.field("location") == expected


def test_curl_follows_the_redirect(both: tuple[Server, int], certificate: tuple[str, str]) -> None:
    server, _ = both
    command = [require("curl", apt="curl"), "-fsSL", "--cacert", certificate[0], server.url("/")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("home", "")


def test_a_request_over_http_2_without_tls_is_redirected(both: tuple[Server, int]) -> None:
    server, port = both
    curl = [require("curl", apt="curl"), "-sS", "--http2-prior-knowledge", "-o", "/dev/null"]
    command = [*curl, "-w", "%{http_version} %{redirect_url}", server.url("/x")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout == f"2 https://{HOST}:{port}/x"


def test_a_websocket_without_tls_is_redirected(both: tuple[Server, int]) -> None:
    server, port = both
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    answer = server.fetch("/ws", *upgrade, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    assert (answer.status, answer.field("location")) == (308, f"https://localhost:{port}/ws")


def test_the_start_announces_both_addresses_and_the_redirect(both: tuple[Server, int]) -> None:
    server, port = both
    assert server.log.startswith(f"{server.url('/')}  https://{HOST}:{port}/  serves ")
    assert ", http redirects to https; " in server.log


def test_without_a_redirect_both_addresses_serve_the_files(
    folder: Path, certificate: tuple[str, str]
) -> None:
    port = free_port()
    options = ("--bind", f"{HOST}:{{port}}", "--tls-bind", f"{HOST}:{port}")
    named = ("--certfile", certificate[0], "--keyfile", certificate[1])
    with running([*_SERVE, *options, *named], {}, cwd=str(folder)) as server:
        assert server.fetch("/").content == b"home"
        plain, server.port = server.port, port
        with over_tls(server.connect(), certificate[0]) as connection:
            assert connection.get("/").content == b"home"
        server.port = plain
        assert server.interrupt() == 0


def test_what_a_trusted_proxy_received_by_https_is_not_redirected(
    folder: Path, certificate: tuple[str, str]
) -> None:
    options = ("--bind", f"{HOST}:{{port}}", "--tls-bind", f"{HOST}:0", "--redirect-https")
    named = ("--certfile", certificate[0], "--keyfile", certificate[1])
    trusted = ("--trusted-proxies", HOST)
    with running([*_SERVE, *options, *named, *trusted], {}, cwd=str(folder)) as server:
        assert server.fetch("/", "X-Forwarded-Proto: https").content == b"home"
        assert server.fetch("/", "X-Forwarded-Proto: http").status == 308
        assert server.fetch("/").status == 308
