"""The direct entry under Uvicorn: its own answers there, everything else Uvicorn's."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.inside import eventually
from tests.support.raw import head
from tests.support.servers import Server, running

_PROTOCOL = "asyncstatic.serve.uvicorn:DirectHttpProtocol"

#: A root in front of an app, which says how many requests reached it.
_APP = """
from asyncstatic import StaticMiddleware

served = 0


async def behind(scope, receive, send):
    global served
    assert scope["type"] == "http", scope["type"]
    served += 1
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    length = [(b"content-length", b"%d" % (len(body) + 2))]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": b"%d " % served + body})


app = StaticMiddleware(behind, ROOT, prefix="/static")
"""


@pytest.fixture(params=["uvloop", "asyncio"])
def uvicorn(request: pytest.FixtureRequest, site: Path, tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "site_app.py").write_text(f"ROOT = {str(site)!r}\n{_APP}")
    arguments = ["-m", "uvicorn", "--http", _PROTOCOL, "--loop", request.param, "--port", "{port}"]
    arguments += ["--lifespan", "off", "site_app:app"]
    with running(arguments, {"UVICORN_TIMEOUT_KEEP_ALIVE": "2"}, cwd=str(tmp_path)) as server:
        yield server


def test_files_are_answered_by_the_direct_entry_and_paths_of_the_app_by_uvicorn(
    uvicorn: Server,
) -> None:
    with uvicorn.connect() as connection:
        small = connection.get("/static/css/app.css")
        assert small.content == b"body { color: #123 }\n"
        assert (small.field("server"), small.field("date") is not None) == ("uvicorn", True)
        large = connection.get("/static/big.bin", "Range: bytes=70000-1100000")
        assert (large.status, len(large.content)) == (206, 1_030_001)
        before = connection.get("/elsewhere").content
        assert connection.get("/static/css/app.css").status == 200
        assert int(connection.get("/elsewhere").content) == int(before) + 1


def test_an_upload_in_mid_connection_reaches_the_app_whole(uvicorn: Server) -> None:
    with uvicorn.connect() as connection:
        post = head("/upload", "Content-Length: 3", method="POST") + b"abc"
        connection.send(head("/static/css/app.css") + post + head("/static/docs/"))
        assert connection.read().status == 200
        assert connection.read("POST").content.endswith(b" abc")
        assert connection.read().content.startswith(b"<!doctype html><title>Docs")


def test_the_access_log_has_uvicorns_lines(uvicorn: Server) -> None:
    for lines in ((), ("Expect: 100-continue",)):
        uvicorn.fetch("/static/css/app.css?a=b", *lines)
    logged = [line for line in uvicorn.log.splitlines() if "app.css" in line]
    assert len(logged) == 2
    for line in logged:
        assert line.endswith('"GET /static/css/app.css?a=b HTTP/1.1" 200 OK')


def test_the_access_log_has_a_line_for_a_download_that_is_given_up(uvicorn: Server) -> None:
    with uvicorn.connect(receive_buffer=4096) as connection:
        connection.send(head("/static/big.bin?given-up"))
        connection.take(1000)
        connection.reset()
    assert eventually(lambda: "given-up" in uvicorn.log)
    assert uvicorn.log.count("given-up") == 1


def test_a_client_cannot_break_a_line_of_the_access_log(uvicorn: Server) -> None:
    for target in ("/static/css/app.css", "/static/passed-on-to-the-app"):
        uvicorn.fetch(f'{target}?broken\\"%0a')
    lines = [line for line in uvicorn.log.splitlines() if "broken" in line]
    assert len(lines) == 2
    for line in lines:
        assert r'?broken\x5C\x22%0a HTTP/1.1" 200' in line


def test_the_access_log_names_the_client_that_a_trusted_proxy_states(uvicorn: Server) -> None:
    """Uvicorn trusts a proxy at 127.0.0.1 unless it is told otherwise."""
    for stated, logged in {
        "203.0.113.9": "203.0.113.9:0",
        "203.0.113.9, 127.0.0.1": "203.0.113.9:0",
        "203.0.113.9, 198.51.100.1": "198.51.100.1:0",
        'a"\xe9': r"a\x22\xC3\xA9:0",
    }.items():
        before = len(uvicorn.log.splitlines())
        for lines in ((), ("Expect: 100-continue",)):
            uvicorn.fetch("/static/css/app.css", f"X-Forwarded-For: {stated}", *lines)
        written = uvicorn.log.splitlines()[before:]
        assert [f'{logged} - "GET' in line for line in written] == [True, True], written


def test_a_head_that_stays_incomplete_has_a_line(uvicorn: Server) -> None:
    with uvicorn.connect() as connection:
        connection.send(b"GET /static/incomplete")
    assert eventually(lambda: '"GET /static/incomplete HTTP/1.1" 400' in uvicorn.log)


def test_it_ends_cleanly_when_it_is_asked_to(uvicorn: Server) -> None:
    with uvicorn.connect() as idle, uvicorn.connect(receive_buffer=4096) as busy:
        assert idle.get("/static/css/app.css").status == 200
        busy.send(head("/static/big.bin"))
        taken = busy.take(1)
        os.kill(uvicorn.pid, signal.SIGTERM)
        assert idle.ended()
        taken += busy.take(2_000_000)
        assert len(taken) == taken.index(b"\r\n\r\n") + 4 + 1_200_000
        assert eventually(lambda: not uvicorn.alive())
    assert "Traceback" not in uvicorn.log
