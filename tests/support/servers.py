"""Real servers as child processes: started on a free port, waited for, stopped by their id."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncstatic
from tests.support.raw import HOST, Answer, Connection, EndedError, fetch, head

_PATIENCE = 30.0  # seconds for a server to start: a loaded two-core machine
_PAUSE = 0.02
# Below the ports that Linux gives to outgoing connections, so no client takes it meanwhile.
_PORTS = range(12_000, 32_000)

# What the child imports is what the tests import, wherever both come from.
_IMPORTS = [str(Path(asyncstatic.__file__).parents[1]), str(Path(__file__).parents[2])]

_BIND = f"{HOST}:{{port}}"

#: Every way to run a root; the same tests run against each. "{root}" and "{port}" are filled in.
SETUPS: dict[str, tuple[str, ...]] = {
    "hypercorn": ("-m", "hypercorn", "--bind", _BIND, "asyncstatic:app"),
    "hypercorn-uvloop": ("-m", "hypercorn", "-k", "uvloop", "--bind", _BIND, "asyncstatic:app"),
    "uvicorn": ("-m", "uvicorn", "--no-access-log", "--port", "{port}", "asyncstatic:app"),
    "hypercorn-no-direct": ("-m", "hypercorn", "--bind", _BIND, "asyncstatic:app"),
    "serve": ("-m", "asyncstatic", "serve", "{root}", "--bind", _BIND),
    "serve-no-direct": ("-m", "asyncstatic", "serve", "{root}", "--no-direct", "--bind", _BIND),
}
#: What else an entry needs: variables of its environment.
VARIABLES = {"hypercorn-no-direct": {"ASYNCSTATIC_DIRECT": "0"}}


class StartError(Exception):
    """A server ended, or did not answer, before it was of use; the message is its log."""


class Server:
    """A running server.

    Attributes:
        port: where it listens, on the loopback.
        pid: of the process that was started; workers are its children.

    """

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self._process = process
        self._log = log
        self.port = port
        self.pid = process.pid

    @property
    def log(self) -> str:
        """What it has written to stdout and stderr."""
        return self._log.read_text(errors="replace")

    def url(self, path: str = "/") -> str:
        """Return the URL of a path."""
        return f"http://{HOST}:{self.port}{path}"

    def connect(self, timeout: float = 10.0, receive_buffer: int | None = None) -> Connection:
        """Open a connection."""
        return Connection(self.port, timeout, receive_buffer)

    def fetch(self, target: str | bytes, *lines: str, method: str = "GET") -> Answer:
        """One request on a connection of its own."""
        return fetch(self.port, target, *lines, method=method)

    def open_handles(self, below: str = "") -> int:
        """Count the open handles of the process and its workers (proc(5)).

        Args:
            below: count only files below this directory.

        """
        return sum(target.startswith(below) for target in self._handles())

    def _handles(self) -> Iterator[str]:
        for pid in _tree(self.pid):
            directory = f"/proc/{pid}/fd"
            for name in os.listdir(directory):
                with suppress(FileNotFoundError):  # closed in between
                    yield os.readlink(f"{directory}/{name}")

    def resident_bytes(self) -> int:
        """Memory in use by the process and its workers (proc(5), statm)."""
        pages = (int(_statm(pid).split()[1]) for pid in _tree(self.pid))
        return sum(pages) * os.sysconf("SC_PAGE_SIZE")

    def processor_seconds(self) -> float:
        """Processor time of the process and its workers (proc(5), stat: utime and stime)."""
        fields = (_stat(pid) for pid in _tree(self.pid))
        ticks = sum(int(utime) + int(stime) for *_, utime, stime in fields)
        return ticks / os.sysconf("SC_CLK_TCK")

    def settled_handles(self, at_most: int, seconds: float, below: str = "") -> int:
        """Count the open handles until they are few enough, or the time is up."""
        deadline = time.monotonic() + seconds
        while (count := self.open_handles(below)) > at_most and time.monotonic() < deadline:
            time.sleep(_PAUSE)
        return count

    def alive(self) -> bool:
        """Tell whether the process still runs."""
        return self._process.poll() is None

    def interrupt(self, number: signal.Signals = signal.SIGINT, seconds: float = 15.0) -> int:
        """Signal the process and return its exit code."""
        self._process.send_signal(number)
        return self.wait(seconds)

    def wait(self, seconds: float = 15.0) -> int:
        """Wait for the end of the process, and return its exit code."""
        return self._process.wait(seconds)

    def stop(self) -> None:
        """End the process, kindly first; its workers are in its process group."""
        if self.alive():
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(5.0)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(5.0)


def free_port() -> int:
    """Return a port that nothing listens on."""
    for port in random.sample(_PORTS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise StartError("100 ports in a row are in use")


def environment(**variables: str) -> dict[str, str]:
    """The environment of a child: ours without any asyncstatic setting, then `variables`."""
    ours = ("ASYNCSTATIC", "LISTEN_", "PORT")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "PYTHONPATH": os.pathsep.join(_IMPORTS), "PYTHONUNBUFFERED": "1", **variables}


@contextmanager
def serving(setup: str, root: str | os.PathLike[str], **settings: str) -> Iterator[Server]:
    """Serve a root in one of the `SETUPS`; settings as in ``ASYNCSTATIC_*``, in lower case."""
    variables = {f"ASYNCSTATIC_{name.upper()}": value for name, value in settings.items()}
    variables |= {"ASYNCSTATIC_ROOT": os.fspath(root), **VARIABLES.get(setup, {})}
    command = [part.replace("{root}", os.fspath(root)) for part in SETUPS[setup]]
    with running(command, variables) as server:
        yield server


@contextmanager
def running(
    arguments: Sequence[str],
    variables: Mapping[str, str],
    cwd: str | None = None,
    *,
    port: int | None = None,
    answers: bool = True,
) -> Iterator[Server]:
    """Run Python with arguments, in which "{port}" is a free port, until it answers HTTP.

    Args:
        arguments: of Python.
        variables: beside those of `environment`.
        cwd: the working directory; an empty one if None.
        port: the port, where the arguments do not name it.
        answers: False does not wait for an answer.

    Raises:
        StartError: it did not.

    """
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory, "log")
        port = port or free_port()
        command = [sys.executable, *(part.replace("{port}", str(port)) for part in arguments)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=cwd or directory,
                env=environment(**variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        server = Server(process, port, log)
        try:
            if answers:
                wait_until_it_answers(server)
            yield server
        finally:
            server.stop()


def wait_until_it_answers(server: Server) -> None:
    """Ask until it answers.

    Raises:
        StartError: it ended, or it took too long.

    """
    deadline = time.monotonic() + _PATIENCE
    while server.alive() and time.monotonic() < deadline:
        with suppress(OSError, EndedError), server.connect() as connection:
            connection.send(head("/", "Connection: close", method="HEAD"))
            connection.read("HEAD")
            return
        time.sleep(_PAUSE)
    raise StartError(server.log or "it did not answer in time")


def _tree(pid: int) -> list[int]:
    """A process and all below it."""
    tree = [pid]
    for task in os.listdir(f"/proc/{pid}/task"):
        for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
            tree += _tree(int(child))
    return tree


def _stat(pid: int) -> list[str]:
    """The fields of proc(5), stat, from the third to stime."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:13]


def _statm(pid: int) -> str:
    return Path(f"/proc/{pid}/statm").read_text()
