"""Workers that stay alive: deaths, reloads, signals, the process id file, the service manager."""

from __future__ import annotations

import asyncio
import itertools
import os
import pty
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypercorn.config import Config, Sockets

from asyncstatic import SettingsError, StaticFiles, serve_app
from asyncstatic.serve.process import worker_process
from asyncstatic.serve.process.notify import Notifier
from asyncstatic.serve.process.pid_file import pid_file
from asyncstatic.serve.process.sandbox import version as landlock_version
from asyncstatic.serve.server import Closed, Waiter
from asyncstatic.serve.server import serve as serve_until
from asyncstatic.serve.server_options import ServerOptions
from tests.serve.inside import LOOPS, eventually
from tests.support.http2 import Connection2, StreamError
from tests.support.raw import HOST, Connection, fetch, head
from tests.support.servers import Server, environment, free_port, running
from tests.support.strict_clients import StrictClients
from tests.support.tls import make_certificate

pytestmark = pytest.mark.grid

PAGE = b"<!doctype html><title>workers</title>"
LARGE = 24 * 1024 * 1024
_COMMAND = ("-m", "asyncstatic", "serve")
WORKERS = pytest.mark.parametrize("workers", ["1", "2"])
WORKERS_SLOWLY = pytest.mark.parametrize(
    "workers", ["1", pytest.param("2", marks=pytest.mark.slow)]
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with a site."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_bytes(PAGE)
    return tmp_path


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket of a service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(30)
        yield sock


@contextmanager
def serve(folder: Path, *options: str, **variables: str) -> Iterator[Server]:
    """Serve the site of a folder, in that folder, until every worker is ready."""
    command = [*_COMMAND, "site", "--bind", f"{HOST}:{{port}}", *options]
    with (
        TemporaryDirectory() as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock,
    ):
        sock.bind(f"{directory}/notify")
        sock.settimeout(30)
        variables = {"NOTIFY_SOCKET": f"{directory}/notify", **variables}
        with running(command, variables, cwd=str(folder)) as server:
            if variables["NOTIFY_SOCKET"].startswith(directory):
                assert sock.recv(1000).startswith(b"READY=1")
                sock.close()  # nobody reads it any more
            yield server


def workers_of(server: Server) -> list[int]:
    """Return the process ids of the workers."""
    found = []
    for task in os.listdir(f"/proc/{server.pid}/task"):
        for child in Path(f"/proc/{server.pid}/task/{task}/children").read_text().split():
            with suppress(FileNotFoundError):
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
    return sorted(found)


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def lines(server: Server, text: str) -> int:
    """Count the lines of the log that contain a text."""
    return sum(text in line for line in server.log.splitlines())


def reloaded(server: Server, times: int) -> bool:
    """Tell whether a server was reloaded so often."""
    return lines(server, "] reloaded") == times


def failed_to_reload(server: Server, times: int) -> bool:
    """Tell whether a reload has failed so often, because the working directory is gone."""
    says = "not reloaded, the old settings stay: the working directory was removed"
    return lines(server, says) == times


def listens(port: int) -> bool:
    try:
        Connection(port, timeout=1).socket.close()
    except OSError:
        return False
    return True


# -- deaths ----------------------------------------------------------------------------------


@WORKERS
def test_no_warning_comes_of_a_server_in_development_mode(folder: Path, workers: str) -> None:
    """Under uvloop a warning that is an error, about a resource, keeps the loop from its end."""
    variables = {"PYTHONDEVMODE": "1", "PYTHONWARNINGS": "error"}
    with serve(folder, "--workers", workers, "--metrics", "/m", **variables) as server:
        os.kill(server.pid, signal.SIGHUP)
        assert eventually(lambda: reloaded(server, 1), 30)
        assert server.fetch("/").content == PAGE
        assert server.interrupt(signal.SIGTERM) == 0
        assert "Warning" not in server.log


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (signal.SIGKILL, "was ended by SIGKILL"),
        (signal.SIGSEGV, "was ended by SIGSEGV"),
        (signal.SIGTERM, "ended with status 0"),
    ],
)
def test_a_dead_worker_is_replaced_and_the_log_says_which_and_how(
    folder: Path, number: signal.Signals, says: str
) -> None:
    with serve(folder, "--workers", "2") as server:
        victim, other = workers_of(server)
        os.kill(victim, number)
        line = rf"worker [12] \(process {victim}\) {says}; it is replaced"
        assert eventually(lambda: re.search(line, server.log) is not None), server.log
        assert eventually(lambda: len(workers_of(server)) == 2)
        assert victim not in workers_of(server)
        assert other in workers_of(server)
        assert server.fetch("/").content == PAGE
        assert server.interrupt(signal.SIGTERM) == 0


@pytest.mark.parametrize(
    ("number", "kills", "says"),
    [
        (signal.SIGKILL, 1, "was ended by SIGKILL, perhaps because memory ran out (see dmesg)"),
        (signal.SIGKILL, 0, "was ended by SIGKILL"),
        (signal.SIGSEGV, 1, "was ended by SIGSEGV"),
        (signal.SIGRTMIN + 1, 0, f"was ended by signal {signal.SIGRTMIN + 1}"),
    ],
)
def test_a_kill_while_the_kernel_reports_that_memory_ran_out_is_said_to_be_perhaps_for_that(
    monkeypatch: pytest.MonkeyPatch, number: int, kills: int, says: str
) -> None:
    worker = worker_process.WorkerProcess(3)
    worker._pid, worker.exit_status = 4711, -number
    worker.is_ready.set()
    before = worker_process.oom_kills()
    monkeypatch.setattr(worker_process, "oom_kills", lambda: before + kills)
    assert worker.death() == f"worker 3 (process 4711) {says}"


def test_connections_of_a_dead_only_worker_wait_for_the_next(folder: Path) -> None:
    with serve(folder, "--max-requests", "100000") as server:
        (victim,) = workers_of(server)
        os.kill(victim, signal.SIGKILL)
        assert eventually(lambda: is_gone(victim))
        assert server.fetch("/").content == PAGE


_DIES = """
import os, signal, sys
if "--multiprocessing-fork" in sys.orig_argv and os.path.exists("bad"):
    os.kill(os.getpid(), signal.SIGSEGV)
"""


@pytest.mark.slow
def test_workers_that_die_at_once_again_and_again_end_the_service(folder: Path) -> None:
    (folder / "sitecustomize.py").write_text(_DIES)
    imports = os.pathsep.join([str(folder), environment()["PYTHONPATH"]])
    with serve(folder, "--max-requests", "100000", PYTHONPATH=imports) as server:
        (folder / "bad").touch()
        os.kill(workers_of(server)[0], signal.SIGKILL)
        assert eventually(lambda: not server.alive(), 60), server.log
        assert server.interrupt(signal.SIGTERM) == 1
        (last,) = server.log.splitlines()[-1:]
        assert "workers end as soon as they start" in last
        assert re.search("ended .*by SIGSEGV", last)
        assert last.endswith("correct the cause, and start the server again")


def test_a_dead_worker_is_replaced_when_the_system_can_start_processes_again(folder: Path) -> None:
    with serve(folder, "--workers", "2") as server:
        _, most = limits = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        victim, _ = workers_of(server)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (3, most))
        os.kill(victim, signal.SIGKILL)
        assert eventually(lambda: lines(server, "no process can be started: [Errno 24]") > 1)
        assert server.fetch("/").content == PAGE
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, limits)
        assert eventually(lambda: len(workers_of(server)) == 2, 30)


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGQUIT, marks=pytest.mark.slow),
    ],
)
def test_a_stop_is_heard_also_while_workers_start(folder: Path, number: signal.Signals) -> None:
    with serve(folder, "--workers", "2") as server:
        for victim in workers_of(server):
            os.kill(victim, signal.SIGKILL)
        os.kill(server.pid, signal.SIGHUP)
        assert eventually(lambda: lines(server, "SIGKILL") == 2)
        assert server.interrupt(number) == 0
        assert not listens(server.port)


def test_no_orphan_keeps_the_address_of_the_metrics(folder: Path) -> None:
    (folder / "site" / "large.bin").write_bytes(bytes(LARGE))
    metrics = free_port()
    options = ("--workers", "2", "--metrics", f"{HOST}:{metrics}", "--graceful-timeout", "60")
    with serve(folder, *options) as server, server.connect(receive_buffer=4096) as slow:
        assert listens(metrics)
        slow.send(head("/large.bin"))
        assert slow.take(1000)
        left = workers_of(server)
        os.kill(server.pid, signal.SIGKILL)
        assert eventually(lambda: not listens(metrics))
        assert not all(map(is_gone, left))


@pytest.mark.parametrize("while_", ["it serves", "it starts"])
def test_the_death_of_the_supervisor_ends_the_workers(folder: Path, while_: str) -> None:
    with serve(folder, "--workers", "2") as server:
        assert eventually(lambda: len(workers_of(server)) == 2)
        if while_ == "it starts":
            os.kill(server.pid, signal.SIGHUP)
            assert eventually(lambda: len(workers_of(server)) > 2)
        left = workers_of(server)
        os.kill(server.pid, signal.SIGKILL)
        assert eventually(lambda: all(map(is_gone, left)))
        assert not listens(server.port)


_CHANNEL_ONLY = """
import socket, sys
from asyncstatic.serve.process import worker
worker.sys = type("Elsewhere", (), {"platform": "darwin", "exit": sys.exit})
ours, theirs = socket.socketpair()
if len(sys.argv) > 1:
    ours.close()
import asyncio
worker.run_worker(lambda until: asyncio.run(until(asyncio.Event().wait)), theirs, -1)
"""


def test_where_the_kernel_does_not_tell_the_end_of_the_connection_ends_a_worker() -> None:
    command = [sys.executable, "-c", _CHANNEL_ONLY, "closed"]
    done = subprocess.run(command, env=environment(), timeout=30, check=False)
    assert done.returncode == 0


def test_a_worker_whose_supervisor_died_before_it_could_ask_ends_at_once() -> None:
    code = _CHANNEL_ONLY.replace("worker.sys", "_ignored")
    done = subprocess.run([sys.executable, "-c", code], env=environment(), timeout=30, check=False)
    assert done.returncode == 1


# -- reload ----------------------------------------------------------------------------------


@WORKERS
@pytest.mark.parametrize(
    ("loop", "entry"),
    [
        pytest.param("--uvloop", "--direct", id="uvloop"),
        pytest.param("--no-uvloop", "--direct", id="asyncio", marks=pytest.mark.slow),
        pytest.param("--uvloop", "--no-direct", id="Hypercorn, uvloop", marks=pytest.mark.slow),
        pytest.param("--no-uvloop", "--no-direct", id="Hypercorn, asyncio", marks=pytest.mark.slow),
    ],
)
def test_no_request_fails_while_the_server_is_reloaded(
    folder: Path, workers: str, loop: str, entry: str
) -> None:
    with (
        serve(folder, "--workers", workers, loop, entry) as server,
        StrictClients(server.port, "/", len(PAGE)) as clients,
    ):
        for number in range(1, 4):
            clients.more()
            os.kill(server.pid, signal.SIGHUP)
            assert eventually(partial(reloaded, server, number), 30)
        clients.more()
        time.sleep(2.5)  # until the old ones have ended
        clients.more()
        assert clients.failures == []
        assert "Traceback" not in server.log


@pytest.mark.parametrize("loop", LOOPS)
def test_a_connection_accepted_while_the_listener_closes_is_answered(
    folder: Path, loop: str
) -> None:
    """The others wait in the queue, which is the next worker's. asyncio lost the accepted ones."""
    for steps in range(5):  # of the event loop, between connection and retirement
        with socket.create_server((HOST, 0)) as listener, listener.dup() as queue:
            clients = _clients_of_a_retiring_worker(folder, listener, loop, steps)
            accepted = len(clients) - _waiting_in(queue)
            for number, client in enumerate(clients):
                with client:
                    assert number >= accepted or client.recv(10_000).endswith(PAGE)


def _clients_of_a_retiring_worker(
    folder: Path, listener: socket.socket, loop: str, steps: int
) -> list[socket.socket]:
    config = Config()
    config.graceful_timeout = 0.2  # also how long it answers after it retired
    config.errorlog = None
    clients = [socket.socket() for _ in range(3)]

    async def until(_worn: Waiter) -> Closed:
        for client in clients:
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
            client.send(head("/"))
        for _ in range(steps):
            await asyncio.sleep(0)
        return lambda: None

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        app, sockets = StaticFiles(folder / "site"), Sockets([], [listener], [])
        runner.run(serve_until(app, config, until, ServerOptions(), sockets))
    for client in clients:
        client.settimeout(10)
    return clients


def _waiting_in(queue: socket.socket) -> int:
    """Accept the connections that nobody accepted, and count them."""
    queue.setblocking(False)
    for count in itertools.count():
        try:
            queue.accept()[0].close()
        except BlockingIOError:
            return count
    raise AssertionError


def fingerprint(port: int) -> bytes:
    """Return the certificate that a server shows."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((HOST, port), timeout=10) as plain,
        context.wrap_socket(plain) as secure,
    ):
        return secure.getpeercert(binary_form=True) or b""


@WORKERS_SLOWLY
def test_a_reload_takes_a_new_certificate_and_a_new_root(folder: Path, workers: str) -> None:
    chain, key = make_certificate(folder)
    port = free_port()
    arguments = [*_COMMAND, "site", "--bind", f"{HOST}:{port}", "--certfile", chain]
    arguments += ["--keyfile", key, "--workers", workers]
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, env=environment(), stderr=subprocess.DEVNULL
    )
    try:
        assert eventually(lambda: listens(port), 30)
        before = fingerprint(port)
        with StrictClients(port, "/", len(PAGE), tls=True) as clients:
            clients.more(10)
            make_certificate(folder)
            (folder / "site").rename(folder / "old")
            (folder / "site").mkdir()
            (folder / "site" / "index.html").write_bytes(PAGE.swapcase())
            process.send_signal(signal.SIGHUP)
            assert eventually(lambda: fingerprint(port) != before, 30)
            clients.more(20)
            time.sleep(2.5)
            clients.more(20)
            assert clients.failures == []
        assert fingerprint(port) != before
    finally:
        process.terminate()
        assert process.wait(15) == 0


@WORKERS_SLOWLY
def test_every_http2_request_is_answered_or_named_as_not_processed(
    folder: Path, workers: str
) -> None:
    """GOAWAY names the last request that was processed: clients repeat later ones (RFC 9113 §6.8)."""
    with serve(folder, "--workers", workers) as server, Connection2(server.port) as client:
        os.kill(server.pid, signal.SIGHUP)
        answered = 0
        with suppress(StreamError, OSError):
            while True:
                stream = client.request("/")
                assert client.read(stream).content == PAGE
                answered = stream
        goodbye = client.goodbye()
        assert (goodbye.error_code, goodbye.last_stream_id) == (0, answered)
        with Connection2(server.port) as again:
            assert again.get("/").content == PAGE


@pytest.mark.slow
@WORKERS
def test_a_reload_that_fails_keeps_the_old_settings_and_says_so_in_one_line(
    folder: Path, workers: str
) -> None:
    with (
        serve(folder, "--workers", workers) as server,
        StrictClients(server.port, "/", len(PAGE)) as clients,
    ):
        clients.more(10)
        before = len(server.log.splitlines())
        (folder / "site").rename(folder / "elsewhere")
        (folder / "site").symlink_to("elsewhere")
        clients.more(10)
        (folder / "site").unlink()
        (folder / "site").write_text("no directory")
        os.kill(server.pid, signal.SIGHUP)
        assert eventually(lambda: lines(server, "not reloaded, the old settings stay") == 1, 30)
        assert "site: is a file, not a directory or a zip archive" in server.log
        assert len(server.log.splitlines()) == before + 1
        assert server.alive()
        (folder / "site").unlink()
        (folder / "elsewhere").rename(folder / "site")
        os.kill(server.pid, signal.SIGHUP)
        assert eventually(lambda: lines(server, "] reloaded") == 1, 30)
        clients.more(10)


@WORKERS
def test_no_error_of_a_reload_keeps_the_next_one_from_being_tried(
    folder: Path, workers: str
) -> None:
    """Relative paths need the working directory, which a deploy may have removed."""
    release = folder / "release"
    shutil.copytree(folder / "site", release / "site")
    with serve(release, "--workers", workers) as server:
        shutil.rmtree(release)
        for number in (1, 2):
            os.kill(server.pid, signal.SIGHUP)
            assert eventually(partial(failed_to_reload, server, number))
        for victim in workers_of(server)[:1]:
            os.kill(victim, signal.SIGKILL)
            assert eventually(lambda: lines(server, "can be started: the working directory") > 0)
        assert server.interrupt(signal.SIGTERM) == 0


@pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock")
def test_a_reload_lets_a_sandboxed_server_read_a_root_that_was_replaced(folder: Path) -> None:
    with serve(folder, "--sandbox", "--bind", "unix:socket", "--pid", "pid") as server:
        (folder / "site").rename(folder / "old")
        (folder / "site").mkdir()
        (folder / "site" / "index.html").write_bytes(PAGE.swapcase())
        os.kill(server.pid, signal.SIGHUP)
        assert eventually(partial(reloaded, server, 1), 30)
        assert server.fetch("/").content == PAGE.swapcase()
        assert server.interrupt(signal.SIGTERM) == 0
        assert sorted(path.name for path in folder.iterdir()) == ["old", "site"]


@pytest.mark.slow
@WORKERS_SLOWLY
@pytest.mark.parametrize("then", ["nothing", "a stop"])
def test_a_download_goes_on_through_a_reload(folder: Path, workers: str, then: str) -> None:
    (folder / "site" / "large.bin").write_bytes(bytes(LARGE))
    options = ("--workers", workers, "--graceful-timeout", "30")
    with serve(folder, *options) as server, server.connect(receive_buffer=65_536) as slow:
        slow.send(head("/large.bin"))
        taken = slow.take(1000)
        os.kill(server.pid, signal.SIGHUP)
        assert eventually(partial(reloaded, server, 1), 30)
        if then == "a stop":
            os.kill(server.pid, signal.SIGTERM)
            assert eventually(lambda: not listens(server.port))
        time.sleep(2.5)  # longer than old workers wait for idle connections
        taken += slow.take(2 * LARGE)
        assert len(taken) == taken.index(b"\r\n\r\n") + 4 + LARGE
        assert then == "a stop" or server.fetch("/").content == PAGE


@pytest.mark.slow
def test_a_worker_that_has_served_its_requests_is_replaced_and_no_request_fails(
    folder: Path,
) -> None:
    with (
        serve(folder, "--max-requests", "40") as server,
        StrictClients(server.port, "/", len(PAGE)) as clients,
    ):
        first = workers_of(server)
        assert eventually(lambda: not set(first) & set(workers_of(server)), 30)
        clients.more(200)
        assert clients.failures == []


@pytest.mark.slow
def test_the_memory_of_one_process_stays_flat_through_reloads(folder: Path) -> None:
    with serve(folder) as server:
        sizes = []
        for number in range(1, 11):
            os.kill(server.pid, signal.SIGHUP)
            assert eventually(partial(reloaded, server, number), 30)
            assert server.fetch("/").content == PAGE
            if number in (5, 10):
                time.sleep(2.5)
                sizes.append((server.resident_bytes(), server.open_handles()))
        assert sizes[1][0] < sizes[0][0] + 4 * 2**20
        assert sizes[1][1] <= sizes[0][1]


# -- signals ---------------------------------------------------------------------------------


@WORKERS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_stop_lets_a_download_finish(folder: Path, workers: str, number: signal.Signals) -> None:
    (folder / "site" / "large.bin").write_bytes(bytes(LARGE))
    options = ("--workers", workers, "--graceful-timeout", "30")
    with serve(folder, *options) as server, server.connect(receive_buffer=65_536) as slow:
        slow.send(head("/large.bin"))
        taken = slow.take(1000)
        os.kill(server.pid, number)
        assert eventually(lambda: not listens(server.port))
        taken += slow.take(2 * LARGE)
        assert len(taken) == taken.index(b"\r\n\r\n") + 4 + LARGE
        assert eventually(lambda: not server.alive())
        assert server.interrupt(number) == 0


@contextmanager
def announced(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start a server, until it announces itself; give it and its port."""
    process = subprocess.Popen(
        [sys.executable, *_COMMAND, "site", "--bind", f"{HOST}:0", "--pid", "pid", *options],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        yield process, int(line.split("/")[2].rpartition(":")[2])
    finally:
        process.kill()
        process.communicate(timeout=20)


@pytest.mark.slow
@WORKERS
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM])
def test_a_signal_is_obeyed_as_soon_as_the_server_has_announced_itself(
    folder: Path, workers: str, number: signal.Signals
) -> None:
    with announced(folder, "--workers", workers) as (process, _):
        assert int((folder / "pid").read_text()) == process.pid
        process.send_signal(number)
        if number == signal.SIGHUP:
            assert process.stderr is not None
            assert "reloaded" in process.stderr.readline()
        if number != signal.SIGTERM:
            process.terminate()
        assert process.wait(20) == 0
    assert not (folder / "pid").exists()


@WORKERS
def test_a_stop_during_a_reload_gives_up_the_port(folder: Path, workers: str) -> None:
    (folder / "site" / "large.bin").write_bytes(bytes(LARGE))
    with announced(folder, "--workers", workers, "--graceful-timeout", "60") as (process, port):
        assert eventually(lambda: fetch(port, "/").content == PAGE, 30)
        with Connection(port, receive_buffer=4096) as slow:
            slow.send(head("/large.bin"))
            assert slow.take(1000)
            process.send_signal(signal.SIGHUP)
            process.send_signal(signal.SIGTERM)
            assert eventually(lambda: not listens(port))
            assert process.poll() is None
        assert process.wait(20) == 0


@WORKERS
@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(
    folder: Path, workers: str, first: signal.Signals, second: signal.Signals
) -> None:
    (folder / "site" / "large.bin").write_bytes(bytes(LARGE))
    (folder / "tmp").mkdir()
    options = ["--workers", workers, "--graceful-timeout", "60", "--pid", "pid"]
    options += ["--bind", "unix:socket", "--metrics", "/metrics"]
    with (
        serve(folder, *options, TMPDIR=str(folder / "tmp")) as server,
        server.connect(receive_buffer=4096) as slow,
    ):
        slow.send(head("/large.bin"))
        assert slow.take(1000)
        os.kill(server.pid, first)
        assert eventually(lambda: not listens(server.port))
        assert server.alive()
        left = workers_of(server)
        status = server.interrupt(second)
        assert status in (-second, 128 + second)
        assert all(map(is_gone, left))
        assert sorted(os.listdir(folder)) == ["site", "tmp"]
        assert os.listdir(folder / "tmp") == []


@WORKERS_SLOWLY
def test_usr1_opens_the_access_log_anew(folder: Path, workers: str) -> None:
    """Without a request, so that not the check before each line does it."""
    with serve(folder, "--workers", workers, "--access-logfile", "log") as server:
        server.fetch("/one")
        assert eventually(lambda: "/one" in (folder / "log").read_text())
        (folder / "log").rename(folder / "log.1")
        os.kill(server.pid, signal.SIGUSR1)
        assert eventually((folder / "log").exists)
        server.fetch("/two")
        assert eventually(lambda: "/two" in (folder / "log").read_text())
        assert "/two" not in (folder / "log.1").read_text()


@WORKERS_SLOWLY
def test_every_line_of_the_access_log_has_its_format_through_reloads(
    folder: Path, workers: str
) -> None:
    options = ("--workers", workers, "--access-logfile", "log", "--log-format", "common")
    with (
        serve(folder, *options) as server,
        StrictClients(server.port, "/", len(PAGE)) as clients,
    ):
        for number in range(1, 4):
            clients.more()
            os.kill(server.pid, signal.SIGHUP)
            assert eventually(partial(reloaded, server, number), 30)
    for line in (folder / "log").read_text().splitlines():
        assert re.fullmatch(r'127\.0\.0\.1 - - \[[^]]+\] "[^"]+" [0-9]+ [0-9]+', line)


@WORKERS_SLOWLY
def test_a_server_ends_with_the_terminal_in_which_it_was_started(
    folder: Path, workers: str
) -> None:
    port = free_port()
    arguments = [*_COMMAND, "site", "--bind", f"{HOST}:{port}", "--workers", workers]
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
        os.chdir(folder)
        os.execve(sys.executable, [sys.executable, *arguments], environment())
    try:
        assert eventually(lambda: listens(port), 30)
        os.close(terminal)
        assert eventually(lambda: is_gone(pid), 20)
        assert not listens(port)
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


_FAILS_TO_STOP = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
    while scope["type"] == "lifespan":
        event = (await receive())["type"]
        failed = event == "lifespan.shutdown"
        await send({"type": event + (".failed" if failed else ".complete"), "message": "too late"})
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_app_that_fails_to_shut_down_is_named(folder: Path, number: signal.Signals) -> None:
    (folder / "failing.py").write_text(_FAILS_TO_STOP)
    command = [*_COMMAND, "failing:app", "--bind", f"{HOST}:{{port}}"]
    with running(command, {}, cwd=str(folder)) as server:
        os.kill(server.pid, number)
        line = r"worker 1 \(process [0-9]+\) ended with status 1: Lifespan failure .*too late"
        assert eventually(lambda: re.search(line, server.log) is not None, 30), server.log


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs full(4)")
def test_a_start_line_that_cannot_be_written_stops_no_server(folder: Path) -> None:
    port = free_port()
    with open("/dev/full", "wb") as full:
        process = subprocess.Popen(
            [sys.executable, *_COMMAND, "site", "--bind", f"{HOST}:{port}"],
            cwd=folder,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
        )
    try:
        assert eventually(lambda: listens(port), 30)
        assert fetch(port, "/").content == PAGE
        process.terminate()
        assert process.communicate(timeout=20)[1] == b""
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()


# -- the process id file ---------------------------------------------------------------------


@WORKERS_SLOWLY
def test_the_process_id_is_written_and_removed_at_the_end(folder: Path, workers: str) -> None:
    with serve(folder, "--workers", workers, "--pid", "pid") as server:
        assert (folder / "pid").read_text() == f"{server.pid}\n"
        assert server.interrupt(signal.SIGTERM) == 0
        assert sorted(path.name for path in folder.iterdir()) == ["site"]


def test_a_second_server_does_not_take_the_file_of_a_live_one(folder: Path) -> None:
    with serve(folder, "--pid", "pid") as server:
        done = subprocess.run(
            [sys.executable, *_COMMAND, "site", "--bind", f"{HOST}:0", "--pid", "pid"],
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        says = f"--pid pid: a running server has it (process {server.pid}); name another file"
        assert says in done.stderr
        assert done.returncode == 1
        assert (folder / "pid").read_text() == f"{server.pid}\n"


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("text", "the file that is there holds no process id"),
        ("FIFO", "what is there is not a file"),
        ("directory", "what is there is not a file"),
    ],
)
def test_what_is_no_process_id_file_is_never_replaced(folder: Path, kind: str, says: str) -> None:
    path = folder / "pid"
    if kind == "text":
        path.write_text("PORT=80\n")
    elif kind == "FIFO":
        os.mkfifo(path)
    else:
        path.mkdir()
    before = path.lstat()
    done = subprocess.run(
        [sys.executable, *_COMMAND, "site", "--bind", f"{HOST}:0", "--pid", "pid"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stderr == f"Error: --pid pid: {says}; name another file\n"
    assert (done.returncode, done.stdout) == (1, "")
    assert os.path.samestat(path.lstat(), before)


@pytest.mark.parametrize("before", ["", "4711"])
def test_an_unlocked_process_id_file_is_replaced(tmp_path: Path, before: str) -> None:
    (tmp_path / "pid").write_text(before)
    with pid_file(str(tmp_path / "pid")):
        assert (tmp_path / "pid").read_text() == f"{os.getpid()}\n"


def test_no_link_beside_the_process_id_file_is_followed(tmp_path: Path) -> None:
    """In a directory where others write, such as /tmp."""
    (tmp_path / "mine").write_text("precious")
    (tmp_path / f"pid.{os.getpid()}").symlink_to("mine")
    with pid_file(str(tmp_path / "pid")):
        assert (tmp_path / "pid").read_text() == f"{os.getpid()}\n"
        assert not (tmp_path / "pid").is_symlink()
    assert (tmp_path / "mine").read_text() == "precious"


def test_a_file_that_a_dead_server_left_is_replaced(folder: Path) -> None:
    (folder / "pid").write_text(f"{os.getpid()}\n")  # alive, but no server
    with serve(folder, "--pid", "pid") as server:
        assert (folder / "pid").read_text() == f"{server.pid}\n"


# -- the service manager ---------------------------------------------------------------------


@WORKERS
def test_the_service_manager_is_told_of_start_reload_and_stop(
    folder: Path, manager: socket.socket, workers: str
) -> None:
    variables = {"NOTIFY_SOCKET": str(folder / "notify")}
    with serve(folder, "--workers", workers, **variables) as server:
        assert manager.recv(1000).startswith(b"READY=1\nSTATUS=")
        before = time.monotonic_ns() // 1000
        os.kill(server.pid, signal.SIGHUP)
        told = re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=([0-9]+)", manager.recv(1000))
        assert told is not None
        assert before <= int(told[1]) <= time.monotonic_ns() // 1000
        assert manager.recv(1000).startswith(b"READY=1\nSTATUS=reloaded")
        assert server.interrupt(signal.SIGTERM) == 0
        assert manager.recv(1000) == b"STOPPING=1"


@WORKERS
def test_the_watchdog_is_fed_only_while_every_worker_answers(
    folder: Path, manager: socket.socket, workers: str
) -> None:
    variables = {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "400000"}
    with serve(folder, "--workers", workers, **variables) as server:
        while manager.recv(1000) != b"WATCHDOG=1":
            pass
        assert manager.recv(1000) == b"WATCHDOG=1"
        if workers == "1":
            return
        hung = workers_of(server)[0]
        os.kill(hung, signal.SIGSTOP)
        manager.settimeout(1.5)  # more than three intervals
        with pytest.raises(TimeoutError):
            all(iter(partial(manager.recv, 1000), b""))
        os.kill(hung, signal.SIGCONT)
        manager.settimeout(30)
        assert manager.recv(1000) == b"WATCHDOG=1"


def test_the_watchdog_is_fed_while_a_dead_worker_is_replaced(
    folder: Path, manager: socket.socket
) -> None:
    """The others serve, and its successor may take long to start."""
    (folder / "sitecustomize.py").write_text(_DIES)
    imports = os.pathsep.join([str(folder), environment()["PYTHONPATH"]])
    variables = {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "400000"}
    with serve(folder, "--workers", "2", PYTHONPATH=imports, **variables) as server:
        while manager.recv(1000) != b"WATCHDOG=1":
            pass
        (folder / "bad").touch()
        os.kill(workers_of(server)[0], signal.SIGKILL)
        assert eventually(lambda: lines(server, "before it was ready") > 0, 30)
        manager.settimeout(1.5)  # more than three intervals
        while lines(server, "before it was ready") < 5:
            assert manager.recv(1000) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        pytest.param({}, None, id="no manager"),
        pytest.param({"NOTIFY_SOCKET": "/s"}, None, id="no watchdog"),
        pytest.param({"WATCHDOG_USEC": "1000000"}, None, id="watchdog without a socket"),
        pytest.param({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "2500000"}, 2.5, id="watchdog"),
        pytest.param({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "0"}, None, id="zero"),
        pytest.param({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "often"}, None, id="no number"),
        pytest.param(
            {"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}, None, id="parent's"
        ),
        pytest.param(
            {"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid())},
            1.0,
            id="ours",
        ),
    ],
)
def test_the_interval_of_the_watchdog_is_that_of_this_process(
    environment: dict[str, str], seconds: float | None
) -> None:
    assert Notifier(environment).watchdog_seconds == seconds


def test_a_manager_that_reads_nothing_does_not_stop_the_server(
    folder: Path, manager: socket.socket
) -> None:
    with serve(folder, NOTIFY_SOCKET=str(folder / "notify")) as server:
        for number in range(1, 11):  # more messages than such a socket holds (unix(7))
            os.kill(server.pid, signal.SIGHUP)
            assert eventually(partial(reloaded, server, number), 30)
            assert server.fetch("/").content == PAGE


def test_a_socket_in_the_abstract_name_space_is_told_too() -> None:
    name = f"asyncstatic-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0{name}")
        sock.settimeout(10)
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).ready("two\nlines, \udcff")
        assert sock.recv(100) == rb"READY=1\nSTATUS=two lines, \udcff".replace(rb"\n", b"\n", 1)


# -- serve_app -------------------------------------------------------------------------------

_PROGRAM = """
import asyncio, os, sys
from hypercorn.config import Config
from asyncstatic import StaticFiles, serve_app

app = StaticFiles("site")

def main():
    config = Config()
    config.bind, config.workers = ["127.0.0.1:" + sys.argv[1]], int(sys.argv[2])
    asyncio.run(serve_app(APP, config))

if GUARD:
    main()
"""


def program(folder: Path, app: str, guard: str = "__name__ == '__main__'") -> list[str]:
    (folder / "main.py").write_text(_PROGRAM.replace("APP", app).replace("GUARD", guard))
    return [str(folder / "main.py"), "{port}"]


@WORKERS
def test_serve_app_serves_with_as_many_workers_as_the_config_says(
    folder: Path, workers: str
) -> None:
    command = [*program(folder, "'main:app'"), workers]
    with running(command, {}, cwd=str(folder)) as server:
        assert server.fetch("/").content == PAGE
        assert eventually(lambda: len(workers_of(server)) == (0 if workers == "1" else 2))
        victims = workers_of(server)[:1]
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        assert eventually(lambda: all(map(is_gone, victims)))
        assert server.fetch("/").content == PAGE
        assert server.interrupt(signal.SIGTERM) == 0


def test_serve_app_needs_the_main_thread_for_workers() -> None:
    config = Config()
    config.workers = 2
    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(SettingsError, match="the main thread gets; call serve_app there"),
    ):
        pool.submit(asyncio.run, serve_app("main:app", config)).result()


@pytest.mark.parametrize(
    ("app", "guard", "says"),
    [
        ("app", "__name__ == '__main__'", r"serve_app\('main:app', config\)$"),
        (
            "'main:nothing'",
            "__name__ == '__main__'",
            "worker .* before it was ready: .* has no nothing",
        ),
        ("'main:app'", "True", r"below: if __name__ == '__main__':"),
    ],
)
def test_serve_app_says_what_workers_need(folder: Path, app: str, guard: str, says: str) -> None:
    command = [part.replace("{port}", str(free_port())) for part in program(folder, app, guard)]
    done = subprocess.run(
        [sys.executable, *command, "2"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert re.search(says, done.stderr, re.MULTILINE), done.stderr
