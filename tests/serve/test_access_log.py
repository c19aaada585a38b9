"""The access log has one line for each request, however it ends, from every entry.

Each row asks for a target of its own, so its lines can be counted among those of the others.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypercorn.logging import Logger

from asyncstatic import StaticFiles
from asyncstatic.serve.direct.observation import Observation
from tests.serve.inside import LOOPS, eventually, serving_inside
from tests.support.http2 import Connection2, StreamError
from tests.support.raw import head
from tests.support.servers import Server, running
from tests.support.tls import over_tls

pytestmark = pytest.mark.grid

LARGE = 24 * 1024 * 1024
CSS = b"body { color: #123 }\n"

_APP = """
import asyncio, sys
from hypercorn.config import Config
from quart import Quart, websocket
from asyncstatic import AsyncStatic, serve_app

app = Quart(__name__, static_folder=None)
AsyncStatic(app, ROOT, prefix="/static")

@app.route("/view")
async def view():
    return "a view"

@app.route("/raises")
async def raises():
    raise RuntimeError("on purpose")

@app.route("/slow")
async def slow():
    await asyncio.sleep(60)

@app.route("/endless")
async def endless():
    async def content():
        while True:
            yield b"x" * 1000
            await asyncio.sleep(0.01)
    return content(), 200

@app.websocket("/ws")
async def ws():
    await websocket.accept()
    await websocket.receive()

config = Config()
config.bind, config.accesslog, config.access_log_format = ["127.0.0.1:PORT"], "LOG", "json"
config.keep_alive_timeout, config.errorlog = 1.0, None
asyncio.run(serve_app(app, config))
"""


class Served(NamedTuple):
    """A running server, and its log.

    Attributes:
        server: the process.
        log: the file.
        prefix: below which the files are.
        entry: that answers a plain request for one of them.
    """

    server: Server
    log: Path
    prefix: str
    entry: str

    def lines(self, mark: str) -> list[dict[str, Any]]:
        """The lines of requests whose line has a mark."""
        whole, _, _ = self.log.read_text().rpartition("\n")  # the last may be under way
        lines = map(json.loads, whole.splitlines())
        return [line for line in lines if mark in line["request"]]

    def line(self, mark: str) -> dict[str, Any]:
        """The one line of the request with a mark, when the server has had time for a second."""
        assert eventually(lambda: len(self.lines(mark)) > 0), self.log.read_text()[-2000:]
        after = f"after-{mark}"
        self.server.fetch(f"/{after}")
        assert eventually(lambda: len(self.lines(after)) > 0)
        (line,) = (line for line in self.lines(mark) if after not in line["request"])
        return line


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("endings")
    (root / "app.css").write_bytes(CSS)
    (root / "large.bin").write_bytes(bytes(LARGE))
    return root


@pytest.fixture(scope="module", params=["direct", "no-direct", "serve_app"])
def served(
    request: pytest.FixtureRequest, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    log = tmp_path_factory.mktemp("log") / "access.json"
    if request.param == "serve_app":
        program = _APP.replace("ROOT", repr(str(root))).replace("LOG", str(log))
        command = ["-c", program.replace("PORT", "{port}")]
    else:
        command = ["-m", "asyncstatic", "serve", str(root), f"--{request.param}"]
        command += ["--bind", "127.0.0.1:{port}", "--keep-alive", "1"]
        command += ["--access-logfile", str(log), "--log-format", "json"]
    entry = "hypercorn" if request.param == "no-direct" else "direct"
    prefix = "/static" if request.param == "serve_app" else ""
    with running(command, {}) as server:
        yield Served(server, log, prefix, entry)


_marks = count(1)


@pytest.fixture
def mark() -> str:
    return f"mark-{next(_marks)}-"


# -- answered --------------------------------------------------------------------------------------

ANSWERED = [
    pytest.param("GET", "/app.css", (), 200, len(CSS), id="whole"),
    pytest.param("HEAD", "/app.css", (), 200, 0, id="HEAD"),
    pytest.param("GET", "/app.css", ("Range: bytes=1-3",), 206, 3, id="a range"),
    pytest.param("GET", "/app.css", ("Range: bytes=999-",), 416, None, id="no range"),
    pytest.param("GET", "/app.css", ("If-None-Match: *",), 304, 0, id="unchanged"),
    pytest.param("GET", "/large.bin", (), 200, LARGE, id="large"),
    pytest.param("POST", "/app.css", ("Content-Length: 0",), 405, None, id="another method"),
    pytest.param("Post", "/app.css", (), 405, None, id="a method in mixed case"),
    pytest.param("GET", "/a%00b", (), 400, None, id="a target that is refused"),
]


@pytest.mark.parametrize(("method", "target", "fields", "status", "sent"), ANSWERED)
def test_an_answered_request_has_one_line(
    served: Served, mark: str, method: str, target: str, fields: tuple[str, ...], status: int,
    sent: int | None,
) -> None:  # fmt: skip
    target = f"{served.prefix}{target}?{mark}%22%0a'"
    agent = ('User-Agent: a"b', "Referer: http://a/")
    answer = served.server.fetch(target, *fields, *agent, method=method)
    line = served.line(mark)
    assert answer.status == line["status"] == status
    assert line["request"] == f"{method} {target} HTTP/1.1"
    assert line["bytes_sent"] == (len(answer.content) if sent is None else sent)
    assert (line["client"], line["referrer"]) == ("127.0.0.1", "http://a/")
    assert line["user_agent"] == 'a"b'
    is_for_the_direct_entry = method in {"GET", "HEAD"} and (status != 400 or not served.prefix)
    assert line["entry"] == (served.entry if is_for_the_direct_entry else "hypercorn")


def test_pipelined_requests_have_a_line_each(served: Served, mark: str) -> None:
    targets = [f"{served.prefix}/app.css?{mark}{number}" for number in range(5)]
    with served.server.connect() as connection:
        connection.send(b"".join(map(head, targets)))
        for _ in targets:
            assert connection.read().status == 200
    assert eventually(lambda: len(served.lines(mark)) == 5)
    assert [line["request"].split()[1] for line in served.lines(mark)] == targets


def test_http_1_0_is_logged_as_such(served: Served, mark: str) -> None:
    with served.server.connect() as connection:
        connection.send(head(f"/{mark}", version="1.0"))
        connection.read()
    assert served.line(mark)["request"] == f"GET /{mark} HTTP/1.0"


# -- cut -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leave", ["reset", "close"])
def test_a_download_that_the_client_gives_up_has_one_line(
    served: Served, mark: str, leave: str
) -> None:
    with served.server.connect(receive_buffer=4096) as connection:
        connection.send(head(f"{served.prefix}/large.bin?{mark}"))
        connection.take(10_000)
        if leave == "reset":
            connection.reset()
    line = served.line(mark)
    assert line["status"] == 200
    assert 0 < line["bytes_sent"] < LARGE
    assert line["entry"] == served.entry


def test_a_download_whose_client_has_ended_its_side_is_logged_when_it_ends(
    served: Served, mark: str
) -> None:
    with served.server.connect() as connection:
        connection.send(head(f"{served.prefix}/large.bin?{mark}", "Content-Length: 0"))
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.read().complete
    line = served.line(mark)
    assert (line["status"], line["bytes_sent"]) == (200, LARGE)


def test_a_view_that_its_client_gives_up_has_one_line(served: Served, mark: str) -> None:
    """At the end of the client's side, Quart cancels it."""
    if not served.prefix:
        pytest.skip("no app")
    with served.server.connect() as connection:
        connection.send(head(f"/slow?{mark}"))
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.ended()
    assert served.line(mark)["status"] == 499


def test_a_download_that_we_cut_has_one_line(served: Served, root: Path, mark: str) -> None:
    """Its file becomes shorter."""
    path = root / f"{mark}.bin"
    path.write_bytes(bytes(LARGE))
    with served.server.connect(receive_buffer=4096) as connection:
        connection.send(head(f"{served.prefix}/{path.name}"))
        connection.take(10_000)
        os.truncate(path, 20_000)
        assert len(connection.take(LARGE)) < LARGE
    line = served.line(mark)
    assert line["status"] == 200
    assert 0 < line["bytes_sent"] < LARGE


def test_the_bytes_of_a_cut_download_are_those_that_left(root: Path, tmp_path: Path) -> None:
    """All that the client has got, and at most what two sockets hold besides."""
    log = tmp_path / "log"
    command = ["-m", "asyncstatic", "serve", str(root), "--bind", "127.0.0.1:{port}"]
    with running([*command, "--access-logfile", str(log)], {}) as server:
        with server.connect(receive_buffer=4096) as connection:
            connection.send(head("/large.bin", "Range: bytes=100-"))
            answered = len(connection.take(3_000_000).partition(b"\r\n\r\n")[2])
            connection.reset()
        assert eventually(lambda: "large.bin" in log.read_text())
    sent = int(log.read_text().splitlines()[-1].split('"')[2].split()[1])
    assert answered <= sent < LARGE - 100


def test_a_shutdown_that_cuts_a_download_logs_it(root: Path, tmp_path: Path) -> None:
    for setup in ("--direct", "--no-direct"):
        log = tmp_path / setup
        command = ["-m", "asyncstatic", "serve", str(root), setup, "--graceful-timeout", "0.2"]
        command += ["--bind", "127.0.0.1:{port}", "--access-logfile", str(log)]
        with running(command, {}) as server, server.connect(receive_buffer=4096) as connection:
            connection.send(head("/large.bin"))
            connection.take(10_000)
            server.interrupt()
        lines = [line for line in log.read_text().splitlines() if "large.bin" in line]
        assert len(lines) == 1, setup
        assert '" 200 ' in lines[0]


# -- refused ---------------------------------------------------------------------------------------

REFUSED = [
    pytest.param(b"GET /MARK b HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="a space in the target"),
    pytest.param(b'\x16\x03"MARK\x1b[31m\\\n\n', 400, id="no HTTP at all"),
    pytest.param(b"GET /MARK HTTP/1.1\r\n\r\n", 400, id="no Host"),
    pytest.param(b"GET /MARK HTTP/1.1\r\nHost : a\r\n\r\n", 400, id="a space before the colon"),
    pytest.param(b"GET /MARK" + b"a" * 70_000, 414, id="an endless target"),
    pytest.param(b"GET /MARK HTTP/1.1\r\nA: " + b"a" * 70_000, 431, id="an endless field"),
]


@pytest.mark.parametrize(("data", "status"), REFUSED)
def test_a_refused_request_has_one_line(
    served: Served, mark: str, data: bytes, status: int
) -> None:
    data = data.replace(b"MARK", mark.encode())
    with served.server.connect() as connection:
        with suppress(OSError):
            connection.send(data)
        answered = connection.read().status
    line = served.line(mark)
    assert line["status"] == answered
    directly = served.entry == "direct" and not served.prefix
    assert answered == (431 if status == 414 and not directly else status)  # Hypercorn's choice
    sent_line = data.partition(b"\n")[0].rstrip(b"\r").decode("latin-1")
    assert line["request"] == sent_line[: len(line["request"])]
    assert mark in line["request"]


@pytest.mark.parametrize(
    ("waits", "status"), [(False, 400), (True, 408)], ids=["given up", "too slow"]
)
@pytest.mark.parametrize("begin", [b"GET /MARK", b"GET /MARK HTTP/1.1\r\nHost", b"PUT /MARK H"])
def test_a_head_that_stays_incomplete_has_one_line(
    served: Served, mark: str, begin: bytes, waits: bool, status: int
) -> None:
    begin = begin.replace(b"MARK", mark.encode())
    with served.server.connect() as connection:
        connection.send(begin)
        if waits:
            assert connection.ended()
    line = served.line(mark)
    assert line["status"] == status
    assert line["request"] == begin.partition(b"\r")[0].decode()


def test_a_connection_that_sends_nothing_has_no_line(served: Served) -> None:
    before = len(served.log.read_text().splitlines())
    with served.server.connect() as connection:
        assert connection.ended()
    assert len(served.log.read_text().splitlines()) == before


@pytest.mark.parametrize("setup", ["--direct", "--no-direct"])
def test_a_connection_too_many_has_one_line(root: Path, tmp_path: Path, setup: str) -> None:
    log = tmp_path / "log"
    command = ["-m", "asyncstatic", "serve", str(root), setup, "--bind", "127.0.0.1:{port}"]
    command += ["--limit-concurrency", "1", "--access-logfile", str(log), "--log-format", "json"]
    with running(command, {}) as server, server.connect() as first:
        first.get("/app.css")
        with server.connect() as second:
            assert second.read().status == 503
        assert eventually(lambda: '"status": 503' in log.read_text())
        lines = [json.loads(line) for line in log.read_text().splitlines()]
    (line,) = (line for line in lines if line["status"] == 503)
    assert (line["request"], line["client"]) == ("-", "127.0.0.1")


# -- views and WebSockets behind the direct entry --------------------------------------------------


def one(served: Served) -> None:
    if not served.prefix:
        pytest.skip("there is no app behind")


VIEWS = [("/view", 200, 6), ("/raises", 500, None), ("/nowhere", 404, None)]


@pytest.mark.parametrize(("path", "status", "sent"), VIEWS)
def test_a_view_has_one_line(
    served: Served, mark: str, path: str, status: int, sent: int | None
) -> None:
    one(served)
    answer = served.server.fetch(f"{path}?{mark}")
    line = served.line(mark)
    assert (line["status"], line["entry"]) == (status, "hypercorn")
    assert line["bytes_sent"] == (len(answer.content) if sent is None else sent)


@pytest.mark.parametrize(("path", "status"), [("/slow", 499), ("/endless", 200)])
def test_a_view_whose_client_leaves_has_one_line(
    served: Served, mark: str, path: str, status: int
) -> None:
    one(served)
    with served.server.connect() as connection:
        connection.send(head(f"{path}?{mark}"))
        if status == 200:
            connection.take(3000)
        else:
            time.sleep(0.2)  # for the head to arrive
        connection.reset()
    line = served.line(mark)
    assert line["status"] == status
    assert (line["bytes_sent"] > 0) is (status == 200)


WEBSOCKET = (
    "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)  # fmt: skip


@pytest.mark.parametrize(("path", "statuses"), [("/ws", {101}), ("/nowhere", {403, 404})])
def test_a_websocket_has_one_line(served: Served, mark: str, path: str, statuses: set[int]) -> None:
    one(served)
    with served.server.connect() as connection:
        connection.send(head(f"{path}?{mark}", *WEBSOCKET))
        assert connection.read().status in statuses
    line = served.line(mark)
    assert line["status"] in statuses
    assert line["request"] == f"GET {path}?{mark} HTTP/1.1"


# -- HTTP/2 ----------------------------------------------------------------------------------------


def test_http_2_has_one_line_for_each_stream(served: Served, mark: str) -> None:
    target = f"{served.prefix}/app.css?{mark}"
    with Connection2(served.server.port) as connection:
        assert connection.get(target, ("user-agent", 'a"b'), ("referer", "r")).status == 200
        assert connection.get(f"/missing?{mark}", method="HEAD").status == 404
    assert eventually(lambda: len(served.lines(mark)) == 2)
    whole, missing = served.lines(mark)
    assert whole["request"] == f"GET {target} HTTP/2.0"
    assert (whole["status"], whole["bytes_sent"], whole["entry"]) == (200, len(CSS), "hypercorn")
    assert (whole["referrer"], whole["user_agent"]) == ("r", 'a"b')
    assert (missing["status"], missing["bytes_sent"]) == (404, 0)


@pytest.mark.parametrize("leave", ["reset", "close"])
def test_a_stream_that_the_client_gives_up_has_one_line(
    served: Served, mark: str, leave: str
) -> None:
    """It counts what flow control let leave, not what waited for it."""
    with Connection2(served.server.port, window=30_000) as connection:
        stream = connection.request(f"{served.prefix}/large.bin?{mark}")
        connection.until_content(stream)
        if leave == "reset":
            connection.reset(stream)
            assert connection.get(f"{served.prefix}/app.css").status == 200
    line = served.line(mark)
    assert line["status"] == 200
    assert 0 < line["bytes_sent"] <= 60_000


def test_a_stream_without_an_ascii_path_has_one_line(served: Served, mark: str) -> None:
    with Connection2(served.server.port) as connection, suppress(StreamError):
        assert connection.get(f"/{mark}\u00e9").status == 400
    line = served.line(mark)
    assert line["request"] == f"GET /{mark}\u00c3\u00a9 HTTP/2.0"
    assert line["status"] == 400


# -- TLS -------------------------------------------------------------------------------------------


def a_logger() -> tuple[logging.Logger, list[str]]:
    """A logger of the user's own, and what is written to it."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.Logger("tests.access")
    logger.addHandler(handler)
    return logger, lines


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("direct", [True, False], ids=["direct", "handed over"])
def test_over_tls_it_is_the_same(
    root: Path,
    certificate: tuple[str, str],
    loop: str,
    direct: bool,
) -> None:
    chain, key = certificate
    logger, lines = a_logger()
    with serving_inside(
        StaticFiles(root), loop=loop, direct=direct, certfile=chain, keyfile=key,
        accesslog=logger, access_log_format="json",
    ) as server:  # fmt: skip
        with over_tls(server.connect(), chain) as connection:
            assert connection.get("/app.css?tls").status == 200
        with over_tls(server.connect(receive_buffer=4096), chain) as connection:
            connection.send(head("/large.bin?tls"))
            connection.take(10_000)
        assert eventually(lambda: len(lines) == 2)
    finished, cut = map(json.loads, lines)
    assert (finished["status"], finished["bytes_sent"]) == (200, len(CSS))
    assert cut["status"] == 200
    assert 0 < cut["bytes_sent"] < LARGE


async def never_answers(scope: Any, receive: Any, send: Any) -> None:
    """An app that waits for its client to leave."""
    assert scope["type"] == "http"  # no lifespan
    while (await receive())["type"] != "http.disconnect":
        pass


@pytest.mark.parametrize(("leaves", "status"), [(True, 499), (False, 444)])
@pytest.mark.parametrize("version", ["1.1", "2"])
def test_a_status_tells_who_ended_a_request_without_an_answer(
    leaves: bool, status: int, version: str
) -> None:
    logger, lines = a_logger()
    with serving_inside(
        never_answers, accesslog=logger, access_log_format="json", graceful_timeout=0.2
    ) as server:
        client = Connection2(server.port) if version == "2" else server.connect()
        with client:
            if isinstance(client, Connection2):
                client.request("/waits")
            else:
                client.send(head("/waits"))
            time.sleep(0.3)  # for the request to arrive
            if not leaves:
                server.stop()
                assert eventually(lambda: len(lines) == 1)
        assert eventually(lambda: len(lines) == 1)
    (line,) = map(json.loads, lines)
    assert (line["status"], line["bytes_sent"]) == (status, 0)


# -- formats and classes of Hypercorn's -----------------------------------------------------------

HYPERCORN_FORMATS = ["%(r)s|%(R)s|%(U)s|%(q)s|%(f)s|%(a)s|%({x-a}i)s", "%(h)s %(s)s %(Uq)s"]


@pytest.mark.parametrize("form", HYPERCORN_FORMATS)
@pytest.mark.parametrize("direct", [True, False], ids=["direct", "handed over"])
def test_a_format_of_hypercorns_cannot_be_broken_by_a_client(
    root: Path, form: str, direct: bool
) -> None:
    logger, lines = a_logger()
    with serving_inside(
        StaticFiles(root), direct=direct, accesslog=logger, access_log_format=form
    ) as server, server.connect() as connection:  # fmt: skip
        hostile = ('User-Agent: a\x9b"', "Referer: \xe2\x80\xa8", "X-A: \\\x85")
        connection.get('/a%0a%1b[31m?%0a"', *hostile)
        assert eventually(lambda: len(lines) == 1)
    assert lines[0].isascii()
    assert lines[0].isprintable()
    assert "/a%0a%1b[31m" in lines[0]


def test_a_logger_class_with_its_own_access_method_hears_of_every_end(root: Path) -> None:
    heard: list[tuple[str, int]] = []

    class Own(Logger):
        async def access(self, request: Any, response: Any, request_time: float) -> None:
            heard.append((request["path"], response["status"]))

    for direct in (True, False):
        heard.clear()
        with serving_inside(StaticFiles(root), direct=direct, logger_class=Own) as server:
            with server.connect(receive_buffer=4096) as connection:
                connection.send(head("/large.bin"))
                connection.take(10_000)
            with server.connect() as connection:
                connection.get("/missing")
            assert eventually(lambda: len(heard) == 2)
        assert sorted(heard) == [("/large.bin", 200), ("/missing", 404)]


@pytest.mark.parametrize("form", ["common", "combined", "json"])
@pytest.mark.parametrize("by", ["option", "environment"])
def test_the_command_line_and_the_environment_choose_the_format(
    root: Path, tmp_path: Path, form: str, by: str
) -> None:
    log = tmp_path / "log"
    command = ["-m", "asyncstatic", "serve", str(root), "--bind", "127.0.0.1:{port}"]
    command += ["--access-logfile", str(log)]
    variables = {"ASYNCSTATIC_LOG_FORMAT": form} if by == "environment" else {}
    with running([*command, *(["--log-format", form] if not variables else [])], variables):
        assert eventually(lambda: bool(log.read_text()))
    line = log.read_text().splitlines()[0]
    assert line.startswith("{") is (form == "json")
    assert line.endswith('"-" "-"') is (form == "combined")


def test_no_log_costs_no_observation(root: Path) -> None:
    """Without a log and `max_requests` the direct entry reports nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Observation, "__init__", None)  # calling it fails
        with serving_inside(StaticFiles(root)) as server, server.connect() as connection:
            assert connection.get("/app.css").status == 200
