"""Signals at inconvenient moments: while workers start, retire, drain or hang; repeated, and combined."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypercorn.config import Config, Sockets

from asyncstatic import StaticFiles
from asyncstatic.serve import server as module
from asyncstatic.serve.process import single, supervisor
from asyncstatic.serve.process.control import control
from asyncstatic.serve.process.single import SingleProcess, Site
from asyncstatic.serve.process.worker import Work
from asyncstatic.serve.process.worker_process import WorkerProcess
from asyncstatic.serve.server import Until
from asyncstatic.serve.server_options import ServerOptions
from tests.serve.inside import eventually
from tests.serve.test_workers import PAGE, is_gone, reloaded, serve, workers_of
from tests.support.raw import HOST, head
from tests.support.servers import Server, environment, running, wait_until_it_answers

pytestmark = [
    pytest.mark.grid,
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs proc(5)"),
]

_HEALTH = "/healthz"
_LONG = "60"  # seconds; no test waits for the end of it
#: The first worker starts at once, the others when the file "wait" is gone.
_SLOW = """
import os, sys, time
if "--multiprocessing-fork" in sys.orig_argv:
    try:
        os.mkdir("first")
    except FileExistsError:
        while os.path.exists("wait"):
            time.sleep(0.01)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with a site, whose server starts its first worker only."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_bytes(PAGE)
    (tmp_path / "sitecustomize.py").write_text(_SLOW)
    (tmp_path / "wait").touch()
    return tmp_path


def imports_of(folder: Path) -> dict[str, str]:
    """Return the variables with which workers start as the folder says."""
    return {"PYTHONPATH": os.pathsep.join([str(folder), environment()["PYTHONPATH"]])}


def statuses(server: Server, *targets: str) -> list[int]:
    return [server.fetch(target).status for target in targets]


# -- a stop ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_a_stop_while_a_worker_starts_drains_the_one_that_serves(
    folder: Path, number: signal.Signals
) -> None:
    command = ["-m", "asyncstatic", "serve", "site", "--bind", f"{HOST}:{{port}}", "--workers", "2"]
    command += ["--health", _HEALTH, "--drain-seconds", _LONG]
    with running(command, imports_of(folder), cwd=str(folder)) as server:
        assert eventually(lambda: len(workers_of(server)) == 2)
        assert statuses(server, _HEALTH, "/") == [200, 200]
        os.kill(server.pid, number)
        assert eventually(lambda: statuses(server, _HEALTH) == [503])
        assert eventually(lambda: len(workers_of(server)) == 1)  # nobody waits for the other
        assert statuses(server, "/", _HEALTH, "/") == [200, 503, 200]
        assert server.interrupt(signal.SIGTERM) in (-signal.SIGTERM, 128 + signal.SIGTERM)


def test_a_stop_while_the_workers_of_a_reload_start_drains_those_that_serve(folder: Path) -> None:
    (folder / "wait").unlink()
    options = ("--workers", "2", "--health", _HEALTH, "--drain-seconds", _LONG)
    with serve(folder, *options, **imports_of(folder)) as server:
        old = workers_of(server)
        (folder / "wait").touch()
        (folder / "first").rmdir()
        os.kill(server.pid, signal.SIGHUP)
        assert eventually((folder / "first").exists)
        for pid in old:  # so only the new worker can answer
            os.kill(pid, signal.SIGSTOP)
        assert statuses(server, _HEALTH) == [200]
        os.kill(server.pid, signal.SIGTERM)
        assert eventually(lambda: statuses(server, _HEALTH) == [503])
        assert statuses(server, "/", _HEALTH, "/") == [200, 503, 200]
        assert server.interrupt(signal.SIGTERM) in (-signal.SIGTERM, 128 + signal.SIGTERM)


class Worker(WorkerProcess):
    """A worker without a process. Only the first of each two becomes ready by itself."""

    every: ClassVar[list[Worker]] = []
    told: list[str]
    work: Work

    async def start(self, work: Work) -> None:
        """Begin."""
        self.told, self.work, self._pid = [], work, self.number
        self.every.append(self)
        if self.number % 2:
            self.is_ready.set()

    async def ended(self) -> None:
        """Wait for the end."""
        while self.exit_status is None:
            await asyncio.sleep(0)

    def end(self, command: str) -> None:
        """End at the first command."""
        self.is_ending = True
        self.told.append(command)
        self.exit_status = 0


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> list[Worker]:
    """The workers that a supervisor starts, without processes."""
    found: list[Worker] = []
    monkeypatch.setattr(supervisor, "WorkerProcess", Worker)
    monkeypatch.setattr(Worker, "every", found)
    return found


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0)


@pytest.mark.parametrize("while_", ["workers start", "workers of a reload start"])
async def test_a_stop_tells_no_worker_that_others_serve(workers: list[Worker], while_: str) -> None:
    stop = asyncio.Event()
    service = supervisor.Supervisor(lambda _: None, 2, 1.0, Sockets([], [], []))
    running = asyncio.create_task(control(service, stop.wait))
    expected = 2
    if while_ == "workers of a reload start":
        await until(lambda: len(workers) == 2)
        workers[1].is_ready.set()
        await until(lambda: service.status == "2 workers")
        os.kill(os.getpid(), signal.SIGHUP)
        expected = 4
    await until(lambda: len(workers) == expected)
    stop.set()
    assert await running == 0
    assert [worker.told for worker in workers] == [["stop"]] * expected


# -- before the server obeys signals -------------------------------------------------------------

#: Each listen(2) of the server waits until the file "wait" is gone.
_LISTENS = """
import os, socket, time
listen = socket.socket.listen
def waits(sock, *backlog):
    listen(sock, *backlog)
    open("listening", "w").close()
    while os.path.exists("wait"):
        time.sleep(0.01)
socket.socket.listen = waits
"""


@contextmanager
def starting(folder: Path, *arguments: str) -> Iterator[Server]:
    """Start a server, which waits until the file "wait" is gone."""
    variables = imports_of(folder) | {"TMPDIR": str(folder / "tmp")}
    (folder / "tmp").mkdir()
    command = ["-m", "asyncstatic", "serve", *arguments]
    with running(command, variables, cwd=str(folder), answers=False) as server:
        yield server


@pytest.mark.parametrize(
    ("number", "options"),
    [
        (signal.SIGTERM, ()),
        (signal.SIGINT, ("--no-uvloop",)),
        (signal.SIGQUIT, ("--no-uvloop",)),
        (signal.SIGTERM, ("--workers", "2")),
    ],
)
def test_a_stop_between_listening_and_the_start_line_leaves_nothing_behind(
    folder: Path, number: signal.Signals, options: tuple[str, ...]
) -> None:
    (folder / "sitecustomize.py").write_text(_LISTENS)
    before = {*os.listdir(folder), "tmp", "__pycache__", "listening"}
    options = ("--pid", "pid", "--metrics", "/metrics", *options)
    with starting(folder, "site", "--bind", "unix:socket", *options) as server:
        assert eventually((folder / "listening").exists)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(folder / "socket"))
            client.sendall(head("/"))
            os.kill(server.pid, number)
            (folder / "wait").unlink()
            if "--workers" not in options:  # the request that has arrived is answered
                client.settimeout(20)
                assert PAGE in client.makefile("rb").read()
        assert server.wait() == 0
    assert {*os.listdir(folder)} <= before
    assert os.listdir(folder / "tmp") == []


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
@pytest.mark.parametrize("waits_for", ["listening", "the import of the app"])
def test_a_reload_before_the_start_line_waits_for_it(
    folder: Path, number: signal.Signals, waits_for: str
) -> None:
    (folder / "sitecustomize.py").write_text(_LISTENS if waits_for == "listening" else "")
    (folder / "slow.py").write_text(_SLOW_APP)
    target = "site" if waits_for == "listening" else "slow:app"
    with starting(folder, target, "--bind", f"{HOST}:{{port}}") as server:
        assert eventually((folder / "listening").exists)
        os.kill(server.pid, number)
        (folder / "wait").unlink()
        wait_until_it_answers(server)
        assert eventually(lambda: reloaded(server, number == signal.SIGHUP)), server.log
        assert server.interrupt(signal.SIGTERM) == 0


_SLOW_APP = """
import os, time
from asyncstatic import StaticFiles
app = StaticFiles("site")
open("listening", "w").close()
while os.path.exists("wait"):
    time.sleep(0.01)
"""
_SLOW_IMPORTS = """
import os, sys, time
if "--multiprocessing-fork" in sys.orig_argv:
    open("listening", "w").close()
    while os.path.exists("wait"):
        time.sleep(0.01)
"""


@pytest.mark.parametrize("target", ["an app", "a directory in workers"])
def test_ctrl_c_while_a_process_imports_says_nothing(folder: Path, target: str) -> None:
    """A terminal sends SIGINT to every process of the command."""
    (folder / "sitecustomize.py").write_text(_SLOW_IMPORTS)
    (folder / "slow.py").write_text(_SLOW_APP)
    arguments = ["slow:app"] if target == "an app" else ["site", "--workers", "2"]
    with starting(folder, *arguments, "--bind", f"{HOST}:{{port}}") as server:
        assert eventually((folder / "listening").exists)
        children = workers_of(server)
        os.killpg(server.pid, signal.SIGINT)
        is_ready = target != "an app"  # and obeys
        assert server.wait() == (0 if is_ready else 130)
        assert eventually(lambda: all(map(is_gone, children)))
        assert len(server.log.splitlines()) == is_ready, server.log


# -- a reload ----------------------------------------------------------------------------------


def test_a_reload_is_reported_when_the_old_workers_accept_no_more(folder: Path) -> None:
    (folder / "wait").unlink()
    with serve(folder, "--workers", "2", "--access-logfile", "log", **imports_of(folder)) as server:
        old = workers_of(server)
        for pid in old:
            os.kill(pid, signal.SIGSTOP)
        os.kill(server.pid, signal.SIGHUP)
        assert server.fetch("/").content == PAGE  # by a new one
        (folder / "log").rename(folder / "log.1")
        os.kill(server.pid, signal.SIGUSR1)
        assert eventually((folder / "log").exists)  # it has told that it is ready before
        assert not reloaded(server, 1) or "does not answer" in server.log
        for pid in old:
            os.kill(pid, signal.SIGCONT)
        assert eventually(lambda: reloaded(server, 1))
        assert eventually(lambda: all(map(is_gone, old)))


async def test_one_process_reports_a_reload_when_its_old_site_accepts_no_more(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[int] = []
    stop_accepting = module._stop_accepting

    async def noted(servers: Any) -> None:
        await stop_accepting(servers)
        closed.append(len(servers))

    monkeypatch.setattr(module, "_stop_accepting", noted)
    monkeypatch.setattr(single, "tune_garbage_collection", lambda: None)  # it is for a process
    with socket.create_server((HOST, 0)) as listener:
        service = SingleProcess(partial(site_of, folder), Sockets([], [listener], []))
        await service.start()
        assert closed == []
        await service.reload()
        assert closed == [1]
        await service.stop()


async def test_the_loop_runs_while_a_new_site_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single, "tune_garbage_collection", lambda: None)
    answered = threading.Event()

    def build() -> Site:
        assert answered.wait(10)
        return site_of(folder)

    with socket.create_server((HOST, 0)) as listener:
        service = SingleProcess(build, Sockets([], [listener], []))
        starting = asyncio.create_task(service.start())
        await asyncio.sleep(0)
        answered.set()  # as a request that comes meanwhile
        await starting
        await service.stop()


async def fails_to_stop(scope: Any, receive: Any, send: Any) -> None:
    while scope["type"] == "lifespan":
        event = (await receive())["type"]
        end = "failed" if event == "lifespan.shutdown" else "complete"
        await send({"type": f"{event}.{end}"})


async def test_an_old_site_that_fails_to_end_does_not_end_the_new_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single, "tune_garbage_collection", lambda: None)
    new = await asyncio.to_thread(site_of, folder)
    sites = iter([new._replace(app=fails_to_stop), new])
    with socket.create_server((HOST, 0)) as listener:
        service = SingleProcess(lambda: next(sites), Sockets([], [listener], []))
        await service.start()
        failing = asyncio.create_task(service.failed())
        await service.reload()
        await asyncio.wait(service._ending)
        await asyncio.sleep(0)
        assert not failing.done()
        failing.cancel()
        await service.stop()


def site_of(folder: Path) -> Site:
    config = Config()
    config.errorlog, config.graceful_timeout = None, 0.1
    static = StaticFiles(folder / "site")
    return Site(static, config, ServerOptions(), None, lambda: None, static.close)


async def test_a_worker_that_dies_during_a_reload_is_replaced_with_the_settings_that_are_served(
    workers: list[Worker],
) -> None:
    def served(_: Until) -> None: ...
    def wanted(_: Until) -> None: ...

    service = supervisor.Supervisor(served, 2, 1.0, Sockets([], [], []), lambda: wanted)
    starting = asyncio.create_task(service.start())
    await until(lambda: len(workers) == 2)
    workers[1].is_ready.set()
    await starting
    reloading = asyncio.create_task(service.reload())
    await until(lambda: len(workers) == 4)
    workers[0].exit_status = -signal.SIGKILL
    await until(lambda: len(workers) == 5)
    assert [worker.work for worker in workers] == [served, served, wanted, wanted, served]
    reloading.cancel()
    await service.stop()


async def test_no_successor_of_a_dead_worker_serves_the_old_settings_after_a_reload(
    workers: list[Worker],
) -> None:
    service = supervisor.Supervisor(lambda _: None, 1, 1.0, Sockets([], [], []))
    await service.start()
    workers[0].exit_status = -signal.SIGKILL
    await until(lambda: len(workers) == 2)  # the successor starts
    await service.reload()
    assert [worker.told for worker in workers] == [[], ["retire"], []]
    await service.stop()


@pytest.mark.slow
def test_an_old_worker_that_hangs_is_named_and_does_not_stop_a_reload(folder: Path) -> None:
    (folder / "wait").unlink()
    with serve(folder, "--max-requests", "1000", **imports_of(folder)) as server:
        (old,) = workers_of(server)
        os.kill(old, signal.SIGSTOP)
        os.kill(server.pid, signal.SIGHUP)
        assert eventually(lambda: reloaded(server, 1), 30)
        assert f"worker 1 (process {old}) does not answer; it may still accept" in server.log


# -- the logs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("problem", ["Is a directory", "No such file or directory"])
def test_usr1_says_why_a_log_is_not_opened_anew_and_loses_no_line(
    folder: Path, workers: int, problem: str
) -> None:
    (folder / "wait").unlink()
    (folder / "logs").mkdir()
    log = folder / "logs" / "log"
    options = ("--workers", str(workers), "--access-logfile", "logs/log")
    with serve(folder, *options, **imports_of(folder)) as server:
        assert eventually(lambda: "HEAD / " in log.read_text())  # of `running`
        (folder / "logs").rename(folder / "moved")
        if problem == "Is a directory":
            log.mkdir(parents=True)
        os.kill(server.pid, signal.SIGUSR1)
        line = f"log {log}: not opened anew, the old file goes on: {problem}\n"
        assert eventually(lambda: server.log.count(line) == workers), server.log  # from each
        server.fetch("/one")
        assert eventually(lambda: "/one" in (folder / "moved" / "log").read_text())
        assert server.log.count(line) == workers
