"""Metrics: what they count, from every entry and every worker, and what they never contain."""

from __future__ import annotations

import gc
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

import asyncstatic
from asyncstatic.serve import metrics
from asyncstatic.serve.metrics import Metrics
from asyncstatic.serve.process.sandbox import version as landlock_version
from tests.serve.inside import eventually
from tests.serve.test_server import refused
from tests.serve.test_workers import workers_of
from tests.support.http2 import Connection2
from tests.support.raw import HOST, Answer, EndedError, fetch
from tests.support.servers import Server, environment, free_port, running

_PATH = "/metrics"


@contextmanager
def serve(
    root: Path, *options: str, metrics: str = _PATH, directory: Path | None = None
) -> Iterator[Server]:
    """Run the command; temporary files are made below `directory`."""
    arguments = ["-m", "asyncstatic", "serve", str(root), "--bind", f"{HOST}:{{port}}"]
    variables = {} if directory is None else {"TMPDIR": str(directory)}
    with running([*arguments, "--metrics", metrics, *options], variables) as server:
        yield server


class Scrape:
    """The metrics as Prometheus reads them."""

    def __init__(self, answer: Answer) -> None:
        assert answer.status == 200, answer
        assert answer.field("cache-control") == "no-store"
        self.text = answer.content.decode()
        self.families = list(text_string_to_metric_families(self.text))
        self._samples = [sample for family in self.families for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """Add up the samples with these labels; 0 without one."""
        return sum(
            sample.value
            for sample in self._samples
            if sample.name == f"asyncstatic_{name}" and labels.items() <= sample.labels.items()
        )

    def requests(self, **labels: str) -> float:
        return self.value("requests_total", **labels)

    def labels(self, name: str) -> set[str]:
        """All values of a label."""
        return {sample.labels[name] for sample in self._samples if name in sample.labels}


def scrape(server: Server) -> Scrape:
    return Scrape(server.fetch(_PATH))


# -- what is counted ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "entry"),
    [
        pytest.param((), "direct", id="direct"),
        pytest.param(("--no-direct",), "portable", id="portable"),
        pytest.param(("--access-logfile", os.devnull), "direct", id="with an access log"),
    ],
)
def test_requests_are_counted_by_status_method_and_entry(
    site: Path, options: tuple[str, ...], entry: str
) -> None:
    with serve(site, *options) as server:
        for _ in range(3):
            assert server.fetch("/css/app.css").status == 200
        assert server.fetch("/missing").status == 404
        assert server.fetch("/css/app.css", method="HEAD").status == 200
        before = scrape(server)
        assert before.requests(status="200", method="GET", entry=entry) == 3
        assert before.requests(status="404", method="GET", entry=entry) == 1
        assert before.requests(status="200", method="HEAD", entry=entry) >= 1
        assert before.value("sent_bytes_total", entry=entry) >= 3 * 21
        assert before.labels("entry") == {"direct", "portable", "handed_over"}
        assert scrape(server).requests() == before.requests(), "a scrape is not counted"


def test_a_handed_over_request_is_counted_as_such(site: Path) -> None:
    with serve(site) as server:
        assert server.fetch("/css/app.css", method="OPTIONS").status == 204
        with Connection2(server.port) as connection:
            assert connection.get("/css/app.css").status == 200
        found = scrape(server)
        assert found.requests(status="204", method="OPTIONS", entry="handed_over") == 1
        assert found.requests(status="200", method="GET", entry="handed_over") == 1


@pytest.mark.parametrize("setup", ["--direct", "--no-direct"])
def test_saved_bytes_are_those_of_codings_and_of_304s(site: Path, setup: str) -> None:
    original = (site / "app.js").stat().st_size
    coded = (site / "app.js.gz").stat().st_size
    with serve(site, setup) as server:
        for _ in range(2):
            answer = server.fetch("/app.js", "Accept-Encoding: gzip")
            assert len(answer.content) == coded
        found = scrape(server)
        assert found.value("saved_bytes_total", by="coding") == 2 * (original - coded)
        assert found.value("saved_bytes_total", by="not_modified") == 0
        tag = f"If-None-Match: {answer.field('etag')}"
        for _ in range(2):
            assert server.fetch("/app.js", "Accept-Encoding: gzip", tag).status == 304
        assert server.fetch("/app.js", tag, method="HEAD").status in (200, 304)
        found = scrape(server)
        assert found.value("saved_bytes_total", by="not_modified") == 2 * coded
        assert found.value("saved_bytes_total", by="coding") == 2 * (original - coded)


@pytest.mark.parametrize("setup", ["--direct", "--no-direct"])
@pytest.mark.parametrize("target", ["/css/app.css", "/pixels.png"], ids=["small", "large"])
def test_cache_hits_and_misses_are_counted(tmp_path: Path, setup: str, target: str) -> None:
    path = tmp_path / target[1:]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(40_000 if target == "/pixels.png" else 40))
    os.utime(path, (1, 1))
    with serve(tmp_path, setup) as server:
        assert eventually(lambda: _is_cached(server, target))
        before = scrape(server)
        for _ in range(5):
            assert server.fetch(target).status == 200
        after = scrape(server)
        assert after.value("cache_hits_total") - before.value("cache_hits_total") == 5
        assert after.value("cache_misses_total") == before.value("cache_misses_total")
        assert after.value("cache_bytes") > 0


def _is_cached(server: Server, target: str) -> bool:
    """Ask twice; a file that was written just now is not cached yet."""
    before = scrape(server).value("cache_hits_total")
    assert server.fetch(target).status == 200
    return scrape(server).value("cache_hits_total") > before


def test_gauges_show_the_present_state(site: Path) -> None:
    with serve(site) as server:
        with server.connect() as idle, server.connect() as other:
            for connection in (idle, other):
                assert connection.get("/css/app.css").status == 200
            assert eventually(lambda: scrape(server).value("connections") == 3)  # with the scrape
            found = scrape(server)
            assert found.value("workers") == 1
            assert found.value("pool_waiting_calls") == 0
            assert 0 <= found.value("event_loop_lag_seconds") < 60
        assert eventually(lambda: scrape(server).value("connections") == 1)
        assert server.fetch("/big.bin").status == 200
        assert scrape(server).value("open_files") == 1
        assert eventually(lambda: scrape(server).value("open_files") == 0)


# -- what clients choose -------------------------------------------------------------------------


@pytest.mark.parametrize("setup", ["--direct", "--no-direct"])
def test_nothing_that_a_client_chooses_becomes_a_label(site: Path, setup: str) -> None:
    with serve(site, setup) as server:
        for method in ("BREW", "get", "X" * 200, "PROPFIND"):
            assert server.fetch("/css/app.css", method=method).status == 405
        for number in range(5):
            assert server.fetch(f"/secret-{number}?token={number}").status == 404
        with server.connect() as connection:
            connection.send(b"\x00nonsense\r\n\r\n")
            assert connection.take(1000)
        found = scrape(server)
        assert found.requests(method="other") == 5
        assert found.requests(status="404") == 5
        assert found.labels("method") <= {"GET", "HEAD", "other"}
        assert not any(word in found.text for word in ("secret", "BREW", "nonsense", "PROPFIND"))


def test_names_and_units_follow_the_conventions_of_prometheus(site: Path) -> None:
    with serve(site) as server:
        assert server.fetch("/css/app.css").status == 200
        found = scrape(server)
    linted = {"counter": "_total", "gauge": ""}
    for family in found.families:
        assert family.name.startswith("asyncstatic_")
        assert family.documentation.endswith(".")
        for sample in family.samples:
            assert sample.name == family.name + linted[family.type]
            assert sample.value >= 0
    assert len({family.name for family in found.families}) == len(found.families) == 11


def test_the_documentation_names_all_metrics_and_shows_a_scrape() -> None:
    page = Path(asyncstatic.__file__).parents[1] / "docs" / "metrics.md"
    if not page.exists():
        pytest.skip("tested without the source tree")
    text = page.read_text("utf-8")
    named = set(re.findall(r"^\| `(asyncstatic_\w+?)(?:_total)?` \|", text, re.M))
    assert named == set(metrics._HELP)
    _, example = text.split("```text\n")[:2]
    shown = list(text_string_to_metric_families(example.partition("```")[0]))
    assert {family.name for family in shown} < named


# -- several processes -------------------------------------------------------------------------


def test_all_workers_are_added_up(site: Path, tmp_path: Path) -> None:
    with serve(site, "--workers", "2", directory=tmp_path) as server:
        assert eventually(lambda: scrape(server).value("workers") == 2)
        for _ in range(40):
            assert server.fetch("/css/app.css").status == 200
        for _ in range(10):
            assert scrape(server).requests(method="GET", status="200") == 40
        assert server.interrupt() == 0
        assert "Traceback" not in server.log
    assert not list(tmp_path.iterdir()), "the directory is removed at the end"


def test_replaced_workers_leave_neither_files_nor_series(site: Path, tmp_path: Path) -> None:
    port, options = free_port(), ["--workers", "2", "--max-requests", "5"]
    with serve(site, *options, metrics=f"{HOST}:{port}", directory=tmp_path) as server:
        for _ in range(30):
            assert eventually(lambda: _is_answered(server))
        assert eventually(lambda: _workers(port) == 2)
        found = Scrape(fetch(port, "/metrics"))
        assert found.requests(method="GET", status="200") == 30, server.log
        assert len(found.families) == 11
        slots = list(tmp_path.glob("*/*.lock"))
        assert len(slots) <= 4, "two workers, and those that take their places meanwhile"
        assert server.interrupt() == 0


def _is_answered(server: Server) -> bool:
    try:
        return server.fetch("/css/app.css").status == 200
    except (OSError, EndedError):  # accepted by a worker that just ended
        return False


def _workers(port: int) -> float:
    try:
        return Scrape(fetch(port, "/metrics")).value("workers")
    except (OSError, EndedError):
        return 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "workers"),
    [
        pytest.param(signal.SIGHUP, 1, id="reload of one process"),
        pytest.param(signal.SIGHUP, 2, id="reload of two workers"),
        pytest.param(signal.SIGKILL, 2, id="one of two workers killed"),
    ],
)
def test_counters_go_on_after_a_reload_and_after_a_killed_worker(
    site: Path, tmp_path: Path, number: signal.Signals, workers: int
) -> None:
    port = free_port()
    options = ["--workers", str(workers)]
    with serve(site, *options, metrics=f"{HOST}:{port}", directory=tmp_path) as server:
        for _ in range(10):
            assert server.fetch("/css/app.css").status == 200
        # A worker counts a request just after the client has the answer.
        assert eventually(lambda: Scrape(fetch(port, "/metrics")).requests(method="GET") == 10)
        before = set(workers_of(server))
        os.kill(server.pid if number is signal.SIGHUP else min(before), number)
        if before:
            assert eventually(lambda: not before <= set(workers_of(server)))
        assert eventually(lambda: _workers(port) == workers)
        for _ in range(10):
            assert eventually(lambda: _is_answered(server))
        found = Scrape(fetch(port, "/metrics"))
        assert found.requests(method="GET", status="200") == 20
        assert len(found.families) == 11


_WORKER = """
import asyncio, sys, time
from asyncstatic.serve.direct.registry import Registry
from asyncstatic.serve.metrics import Metrics

async def main():
    metrics = Metrics(sys.argv[1])
    metrics.watch([], Registry())
    metrics.count(b"GET / HTTP/1.1", 200, 10, "direct")
    await metrics.page()
    print("ready", flush=True)
    time.sleep(60)

asyncio.run(main())
"""


@contextmanager
def worker(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a worker that has answered one request and hangs."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WORKER, str(directory)],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


async def test_a_killed_worker_keeps_its_counts_and_loses_its_gauges(tmp_path: Path) -> None:
    with worker(tmp_path), worker(tmp_path):
        both = await _read(tmp_path)
        assert (both.requests(), both.value("workers")) == (2, 3)
    none = await _read(tmp_path)
    assert (none.requests(), none.value("workers")) == (2, 1)
    files = sorted(tmp_path.iterdir())
    with worker(tmp_path), worker(tmp_path):
        again = await _read(tmp_path)
        assert (again.requests(), again.value("workers")) == (4, 3)
        assert again.value("sent_bytes_total") == 40
    assert sorted(tmp_path.iterdir()) == files, "they took the places of the dead ones"


async def _read(directory: Path) -> Scrape:
    """Read the metrics as one more worker does, which ends then."""
    metrics = Metrics(str(directory))
    page = await metrics.page()
    del metrics
    gc.collect()
    return Scrape(Answer(page.status, (("cache-control", "no-store"),), page.content))


# -- where they are shown ------------------------------------------------------------------------


def test_an_address_of_its_own_shows_metrics_and_nothing_else(site: Path, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    options = ["--workers", "2", "--access-logfile", str(log)]
    with serve(site, *options, metrics=f"{HOST}:{port}", directory=tmp_path) as server:
        assert server.fetch("/css/app.css").status == 200
        found = Scrape(fetch(port, "/metrics"))
        assert found.requests(method="GET", status="200", entry="direct") == 1
        assert fetch(port, "/css/app.css").status == 404
        assert fetch(port, "/metrics", method="POST").status == 405
        assert server.fetch("/metrics").status == 404
        assert Scrape(fetch(port, "/metrics")).requests() == found.requests() + 1
        assert server.interrupt(signal.SIGTERM) == 0
        assert "Traceback" not in server.log
    assert "/metrics" not in log.read_text().replace('"GET /metrics HTTP/1.1" 404', "")


def test_the_metrics_path_comes_before_a_file_and_is_not_logged(tmp_path: Path) -> None:
    root, log = tmp_path / "root", tmp_path / "log"
    root.mkdir()
    (root / "metrics").write_text("content")
    with serve(root, "--access-logfile", str(log)) as server:
        for _ in range(3):
            assert server.fetch(_PATH).content.startswith(b"# HELP asyncstatic_")
    assert _PATH not in log.read_text()


def test_metrics_are_shown_until_the_drain_has_ended(site: Path) -> None:
    port = free_port()
    options = ["--drain-seconds", "1", "--health", "/healthz"]
    with serve(site, *options, metrics=f"{HOST}:{port}") as server:
        os.kill(server.pid, signal.SIGTERM)
        assert eventually(lambda: server.fetch("/healthz").status == 503)
        assert Scrape(fetch(port, "/metrics")).value("workers") == 1
        assert server._process.wait(20) == 0


@pytest.mark.skipif(not landlock_version(), reason="the kernel has no Landlock")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_metrics_are_shown_in_a_sandbox(site: Path, tmp_path: Path, workers: str) -> None:
    with serve(site, "--sandbox", "--workers", workers, directory=tmp_path) as server:
        assert server.fetch("/css/app.css").status == 200
        assert scrape(server).requests(method="GET", status="200") == 1
        assert server.interrupt() == 0
        assert "Traceback" not in server.log


# -- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param(["--metrics", "/a b"], "--metrics", id="a path with two spellings"),
        pytest.param(["--metrics", "x:y"], "--metrics x:y: say HOST:PORT", id="no address"),
        pytest.param(["--metrics", "/x", "--health", "/x"], "name two paths", id="one path"),
    ],
)
def test_a_wrong_place_is_one_line(site: Path, options: list[str], says: str) -> None:
    assert says in refused(str(site), *options)


def test_an_address_in_use_is_one_line(site: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        address = f"{HOST}:{taken.getsockname()[1]}"
        line = refused(str(site), "--bind", f"{HOST}:0", "--metrics", address)
        assert f"cannot listen on {address}" in line
        assert "--metrics" in line


def test_without_prometheus_client_the_command_says_what_to_install(site: Path) -> None:
    code = "import sys; sys.modules['prometheus_client'] = None; from asyncstatic.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "serve", str(site), "--metrics", "/metrics"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "Error: --metrics needs prometheus-client: pip install 'asyncstatic[metrics]'\n"
    )


def test_a_server_without_metrics_loads_none_of_it(site: Path) -> None:
    code = (
        "import sys; from asyncstatic.serve import server, process; "
        "from asyncstatic.serve.process import run; "
        "assert not [name for name in sys.modules if 'prometheus' in name or name.endswith('.metrics')]"
    )
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True, timeout=60)
