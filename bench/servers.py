"""Starting servers and stopping them: each a process group with a port of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.measure import ProcessTree, pinned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.contenders import Contender
    from bench.native import Command, Stage

REPOSITORY = Path(__file__).parent.parent
START_SECONDS = 30
STOP_SECONDS = 5

# What would change a server's ways without being said.
FOREIGN = ("ASYNCSTATIC_", "GRANIAN_", "UVICORN_", "GUNICORN_", "WEB_CONCURRENCY")


class StartError(Exception):
    """A server did not come up; the message ends with what it wrote."""


@dataclass(frozen=True)
class Server:
    """A running contender."""

    contender: Contender
    port: int
    tree: ProcessTree
    tls: bool = False


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def running(contender: Contender, stage: Stage, core: int | None) -> Iterator[Server]:
    """Run a contender on one core until the block ends.

    Raises:
        StartError: it ended, or did not listen within 30 seconds.
    """
    try:
        with listening(contender.command, stage, core) as pid:
            yield Server(contender, stage.port, ProcessTree(pid), bool(stage.certificate))
    except StartError as error:
        raise StartError(f"{contender.name} did not start: {error}") from error


@contextmanager
def listening(
    command: Callable[[Stage], Command], stage: Stage, core: int | None = None
) -> Iterator[int]:
    """Start a server, wait until it accepts connections, give its process id, stop it at the end.

    Raises:
        StartError: it ended, or did not listen within 30 seconds.
    """
    stage.folder.mkdir(parents=True, exist_ok=True)
    log = stage.folder / "output.log"
    with log.open("wb") as output, pinned(core):
        process = subprocess.Popen(
            command(stage),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=REPOSITORY,
            env=_environment(stage),
            start_new_session=True,
        )
    try:
        _wait_until_listening(process, stage.port, log)
        yield process.pid
    finally:
        _stop(process)


def _environment(stage: Stage) -> dict[str, str]:
    """Return the environment of a server: ours, less what would change its ways."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return kept | {
        "BENCH_ROOT": str(stage.root),
        "ASYNCSTATIC_ROOT": str(stage.root),
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(stage.folder),
        "XDG_DATA_HOME": str(stage.folder),
        "XDG_CONFIG_HOME": str(stage.folder),
    }


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    said = log.read_text(errors="replace").strip().splitlines()[-2:]
    raise StartError(" / ".join(said) or "it said nothing")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the group this bench started: kindly, then surely."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
