"""The health path: 200 while every root can be opened, 503 otherwise and while the server drains."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from asyncstatic import StaticFiles, StaticMiddleware
from asyncstatic.files.tree_source import TreeSource
from asyncstatic.serve import health
from tests.serve.inside import Inside, eventually, serving_inside
from tests.serve.test_proxies import app_of, serving, websocket
from tests.serve.test_server import refused
from tests.serve.test_workers import workers_of
from tests.support.http2 import Connection2
from tests.support.programs import require
from tests.support.raw import HOST, Answer
from tests.support.servers import running

_PATH = "/healthz"
_LONG = 60.0  # seconds of drain; no test waits for the end of it
ENTRIES = pytest.mark.parametrize("direct", [True, False], ids=["direct", "no direct"])


def over_http_1(server: Inside, target: str, method: str = "GET") -> Answer:
    with server.connect() as connection:
        return connection.get(target, method=method)


def over_http_2(server: Inside, target: str, method: str = "GET") -> Answer:
    with Connection2(server.port) as connection:
        return connection.read(connection.request(target, method=method))


Ask = Callable[[Inside, str, str], Answer]
VERSIONS = pytest.mark.parametrize("ask", [over_http_1, over_http_2], ids=["HTTP/1.1", "HTTP/2"])


@ENTRIES
@VERSIONS
@pytest.mark.parametrize(
    ("method", "target", "status", "content"),
    [
        pytest.param("GET", _PATH, 200, b"ok\n", id="GET"),
        pytest.param("HEAD", _PATH, 200, b"", id="HEAD"),
        pytest.param("GET", f"{_PATH}?a=b", 200, b"ok\n", id="a query"),
        pytest.param("POST", _PATH, 405, b"method not allowed\n", id="another method"),
        pytest.param("GET", "/css/app.css", 200, b"body { color: #123 }\n", id="a file"),
    ],
)
def test_the_health_path_is_answered_on_every_entry(
    site: Path, direct: bool, ask: Ask, method: str, target: str, status: int, content: bytes
) -> None:
    with serving_inside(StaticFiles(site), direct=direct, health=_PATH) as server:
        answer = ask(server, target, method)
        assert (answer.status, answer.content) == (status, content)
        if target.startswith(_PATH):
            assert answer.field("cache-control") == "no-store"


@ENTRIES
def test_the_health_path_comes_before_a_file_of_the_same_name(tmp_path: Path, direct: bool) -> None:
    for name in ("healthz", "other"):
        (tmp_path / name).write_text("a file")
    app = StaticFiles(tmp_path)
    with serving_inside(app, direct=direct) as server, server.connect() as connection:
        assert connection.get(_PATH).content == b"a file"
    app = StaticFiles(tmp_path)
    with (
        serving_inside(app, direct=direct, health=_PATH) as server,
        server.connect() as connection,
    ):
        assert [connection.get(_PATH).content for _ in range(3)] == [b"ok\n"] * 3
        assert connection.get("/other").content == b"a file"


@ENTRIES
def test_another_spelling_of_the_path_belongs_to_the_app(site: Path, direct: bool) -> None:
    with serving_inside(StaticFiles(site), direct=direct, health=_PATH) as server:
        for target in ("/%68ealthz", "/healthz/", "/Healthz", "/x/healthz"):
            assert over_http_1(server, target).status == 404


@ENTRIES
@pytest.mark.parametrize(("path", "prefix"), [(_PATH, "/app"), ("/ops/healthz", "/ops")])
def test_the_prefix_that_a_proxy_removed_does_not_belong_to_the_path(
    site: Path, direct: bool, path: str, prefix: str
) -> None:
    with (
        serving_inside(
            StaticFiles(site), direct=direct, health=path, trusted_proxies="127.0.0.1"
        ) as server,
        server.connect() as connection,
        Connection2(server.port) as connection2,
    ):
        for target in (path, "/healthz"):
            status = 200 if target == path else 404
            assert connection.get(target, f"X-Forwarded-Prefix: {prefix}").status == status
            assert connection2.get(target, ("x-forwarded-prefix", prefix)).status == status


def test_a_websocket_at_the_path_is_the_apps_and_is_logged(site: Path) -> None:
    with serving(app_of(site), health=_PATH) as served:
        assert websocket(served.server, _PATH)["path"] == _PATH
    assert served.line(_PATH)["status"] == 101


@ENTRIES
def test_a_missing_root_is_reported_until_it_is_back(tmp_path: Path, direct: bool) -> None:
    roots = [tmp_path / "one", tmp_path / "two"]
    for root in roots:
        root.mkdir()
    app = StaticMiddleware(StaticFiles(roots[0]), {"/two": roots[1]})
    with serving_inside(app, direct=direct, health=_PATH) as server:
        assert over_http_1(server, _PATH).status == 200
        for root in roots:
            root.rename(tmp_path / "away")
            answer = over_http_1(server, _PATH)
            assert (answer.status, answer.content) == (503, b"a root cannot be opened\n")
            assert answer.field("cache-control") == "no-store"
            (tmp_path / "away").rename(root)
            assert over_http_1(server, _PATH).status == 200


@ENTRIES
def test_a_disk_that_does_not_answer_is_reported_in_time_and_holds_one_thread(
    site: Path, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, asked = threading.Event(), []

    def hangs(source: TreeSource) -> None:
        asked.append(source.tree.path)
        answers.wait(30)

    monkeypatch.setattr(health, "_DISK_SECONDS", 0.2)
    with serving_inside(StaticFiles(site), direct=direct, health=_PATH) as server:
        assert over_http_1(server, "/css/app.css").status == 200
        monkeypatch.setattr(TreeSource, "_enter_root", hangs)
        try:
            assert [over_http_1(server, _PATH).status for _ in range(3)] == [503] * 3
            assert len(asked) == 1
            assert over_http_1(server, "/css/app.css").status == 200
        finally:
            answers.set()
        assert eventually(lambda: over_http_1(server, _PATH).status == 200)


# -- draining ----------------------------------------------------------------------------------


def status_by_curl(server: Inside, target: str, *options: str) -> int:
    url = f"http://{HOST}:{server.port}{target}"
    command = [require("curl", apt="curl"), "-s", "-o", os.devnull, "-w", "%{http_code}", *options]
    done = subprocess.run([*command, url], capture_output=True, text=True, timeout=30)
    return int(done.stdout)


@ENTRIES
@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_the_server_says_503_and_still_answers_while_it_drains(
    site: Path, direct: bool, version: str
) -> None:
    with serving_inside(
        StaticFiles(site), direct=direct, health=_PATH, drain_seconds=1.0
    ) as server:
        assert status_by_curl(server, _PATH, version) == 200
        server.stop()
        assert eventually(lambda: status_by_curl(server, _PATH, version) == 503)
        assert over_http_1(server, _PATH).content == b"draining\n"
        assert status_by_curl(server, "/css/app.css", version) == 200
        assert eventually(server.loop.is_closed)


@ENTRIES
def test_each_answer_while_it_drains_is_the_last_of_its_connection(
    site: Path, direct: bool
) -> None:
    with (
        serving_inside(StaticFiles(site), direct=direct, health=_PATH, drain_seconds=1.0) as server,
        server.connect() as early,
        server.connect() as other,
    ):
        for connection in (early, other):
            for _ in range(2):
                assert connection.get("/css/app.css").field("connection") is None
        server.stop()
        assert eventually(lambda: over_http_1(server, _PATH).status == 503)
        for target, connection in (("/css/app.css", early), ("/docs/", other)):
            answer = connection.get(target, "Accept: text/html")
            assert (answer.status, answer.field("connection")) == (200, "close")
            assert connection.ended()


@ENTRIES
def test_a_server_that_has_served_its_requests_drains_too(site: Path, direct: bool) -> None:
    """So does a worker that is stopped while it waits for its successor."""
    with serving_inside(
        StaticFiles(site), direct=direct, health=_PATH, drain_seconds=2.0, max_requests=1
    ) as server:
        assert eventually(lambda: over_http_1(server, _PATH).status == 503)
        assert over_http_1(server, "/css/app.css").status == 200


def test_without_a_drain_the_server_ends_at_once(site: Path) -> None:
    with (
        serving_inside(StaticFiles(site), health=_PATH, graceful_timeout=_LONG) as server,
        server.connect() as idle,
    ):
        assert idle.get("/css/app.css").status == 200
        server.stop()
        assert idle.ended()
        assert eventually(server.loop.is_closed)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_request_fails_from_sigterm_to_the_end_of_the_drain(
    site: Path, tmp_path: Path, workers: str
) -> None:
    log = tmp_path / "log"
    arguments = ["-m", "asyncstatic", "serve", str(site), "--bind", f"{HOST}:{{port}}"]
    arguments += ["--health", _PATH, "--drain-seconds", "2", "--workers", workers]
    with running([*arguments, "--access-logfile", str(log)], {}) as server:
        assert server.fetch(_PATH).status == 200
        server._process.send_signal(signal.SIGTERM)
        assert eventually(lambda: server.fetch(_PATH).status == 503)
        for _ in range(20):
            answer = server.fetch("/css/app.css")
            assert (answer.status, answer.field("connection")) == (200, "close")
        assert server.alive()
        assert server._process.wait(20) == 0
        assert "Traceback" not in server.log
    lines = log.read_text().splitlines()
    assert sum('"GET /css/app.css HTTP/1.1" 200' in line for line in lines) == 20
    assert not [line for line in lines if _PATH in line]


def test_a_second_signal_ends_the_drain(site: Path) -> None:
    arguments = ["-m", "asyncstatic", "serve", str(site), "--bind", f"{HOST}:{{port}}"]
    with running([*arguments, "--health", _PATH, "--drain-seconds", str(_LONG)], {}) as server:
        server._process.send_signal(signal.SIGTERM)
        assert eventually(lambda: server.fetch(_PATH).status == 503)
        assert server.interrupt(signal.SIGTERM) == -signal.SIGTERM


@pytest.mark.parametrize("path", ["healthz", "/", "/a b", "/%68", "/a?b", "/é", ""])
def test_a_path_with_two_spellings_is_refused(site: Path, path: str) -> None:
    assert "--health" in refused(str(site), "--health", path)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_reload_is_no_drain(site: Path, workers: str) -> None:
    """Others accept the connections already, so the health stays good, and nobody waits."""
    options = ["--health", _PATH, "--drain-seconds", str(_LONG), "--workers", workers]
    arguments = ["-m", "asyncstatic", "serve", str(site), "--bind", f"{HOST}:{{port}}", *options]
    with running(arguments, {}) as server:
        before = set(workers_of(server))
        for _ in range(3):
            server._process.send_signal(signal.SIGHUP)
            assert [server.fetch(_PATH).status for _ in range(20)] == [200] * 20
        if workers != "1":
            assert eventually(lambda: not before & set(workers_of(server)), seconds=30)
        assert server.fetch(_PATH).status == 200


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may enter every directory")
def test_a_root_that_may_not_be_entered_is_reported(tmp_path: Path) -> None:
    with serving_inside(StaticFiles(tmp_path), health=_PATH) as server:
        assert over_http_1(server, _PATH).status == 200
        tmp_path.chmod(0o600)
        assert over_http_1(server, _PATH).status == 503
        tmp_path.chmod(0o700)
        assert over_http_1(server, _PATH).status == 200
