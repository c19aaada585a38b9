"""Load generators: wrk, h2load for HTTP/2, and an asyncio one for machines without wrk."""

from __future__ import annotations

import json
import math
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.client import first_number
from bench.measure import pinned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.client import Fields

SCRIPT = Path(__file__).with_name("load.lua")
PATIENCE_SECONDS = 30
H2_STREAMS, H2_REQUESTS = 8, 2000

# wrk looks whether it should stop ten times a second, and reads its list of requests first.
WRK_REQUESTS_READ_PER_SECOND = 200_000


class LoadError(Exception):
    """The load generator gave no figures."""


@dataclass(frozen=True)
class Job:
    """One stretch of load: these requests, in turn, over so many connections, for so many seconds.

    It ends earlier when `most` requests have been sent. `rate` is how many requests leave in a
    second, one by one; without it a connection asks again as soon as it has its answer. The
    requests that contain a TOKEN are numbered from `number` on.
    """

    port: int
    requests: Sequence[bytes]
    connections: int
    seconds: float
    core: int | None
    tls: bool = False
    most: int | None = None
    rate: float | None = None
    number: int = field(default_factory=first_number)

    @property
    def origin(self) -> str:
        """The scheme and authority of the server."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Figures:
    """The counts of a load generator; percentiles are None where it does not tell them.

    `bytes` are those of heads and contents, but of contents alone over HTTP/2.
    """

    requests: int
    bytes: int
    seconds: float
    p50_us: float | None
    p99_us: float | None
    broken: int
    statuses_from_400: int


def choose_generator() -> tuple[str, Callable[[Job], Figures]]:
    """Return wrk where it is installed, else the built-in generator, with its name."""
    if shutil.which("wrk"):
        return "wrk", run_wrk
    return "asyncio (built in; install wrk for steadier figures: apt install wrk)", run_asyncio


def run_wrk(job: Job) -> Figures:
    """Run wrk with one thread; stop it after `job.seconds`, which may be less than a second.

    Raises:
        LoadError: wrk could not connect, or printed no figures.
    """
    with _listed(job.requests) as listing:
        # fmt: off
        command = [
            "wrk", "--threads", "1", "--connections", str(job.connections),
            "--duration", f"{math.ceil(job.seconds) + 5}s", "--timeout", f"{PATIENCE_SECONDS}s",
            "--script", str(SCRIPT), job.origin, "--", listing,
            str(job.most or 0), str(job.number), str(1e6 / job.rate if job.rate else 0),
        ]
        # fmt: on
        output = _run_for(
            command, job.seconds + len(job.requests) / WRK_REQUESTS_READ_PER_SECOND, job.core
        )
    return _figures(output)


def run_h2load(job: Job, path: str, fields: Fields) -> Figures:
    """Run h2load over TLS for a number of requests, which servers bound for a connection."""
    # fmt: off
    command = [
        "h2load", "--threads=1", f"--requests={H2_REQUESTS}",
        f"--clients={job.connections}", f"--max-concurrent-streams={H2_STREAMS}",
        *(f"--header={': '.join(field)}" for field in fields), f"{job.origin}{path}",
    ]
    # fmt: on
    return _h2load_figures(_said(command, job))


def run_asyncio(job: Job) -> Figures:
    """Run the built-in generator in a process of its own."""
    more = {"tls": job.tls, "most": job.most, "rate": job.rate, "number": job.number}
    return _run_module("bench.generator", job, **more)


def run_sink(job: Job) -> Figures:
    """Run the generator that discards large contents in the kernel; it speaks no TLS."""
    return _run_module("bench.sink", job)


def _run_module(name: str, job: Job, **more: float | None) -> Figures:
    settings = {"port": job.port, "connections": job.connections, "seconds": job.seconds} | more
    with _listed(job.requests) as listing:
        command = [sys.executable, "-m", name, json.dumps(settings), listing]
        return _figures(_said(command, job))


def _said(command: Sequence[str], job: Job) -> str:
    """Run a generator that ends by itself, and return all it wrote."""
    patience = job.seconds + 2 * PATIENCE_SECONDS
    try:
        with pinned(job.core):
            done = subprocess.run(command, capture_output=True, text=True, timeout=patience)
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"the load was not over after {patience:.0f} s") from error
    return done.stdout + done.stderr


@contextmanager
def _listed(requests: Sequence[bytes]) -> Iterator[str]:
    """Write the requests to a file that lasts as long as the block; give its name."""
    with tempfile.NamedTemporaryFile(prefix="bench-requests-") as listing:
        listing.write(b"\0".join(requests))
        listing.flush()
        yield listing.name


def _run_for(command: Sequence[str], seconds: float, core: int | None) -> str:
    """Run `command` on `core`, interrupt it after `seconds`, and return what it printed."""
    with pinned(core):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise LoadError("the load generator did not stop") from error
    finally:
        process.kill()
        process.wait()
    return output


def _figures(output: str) -> Figures:
    found = re.search(r"^FIGURES (\{.*\})$", output, re.MULTILINE)
    if not found:
        raise LoadError(f"no figures from the load generator: {output.strip()[-300:]}")
    return Figures(**json.loads(found[1]))


H2LOAD_REPORT = re.compile(
    r"finished in (?P<seconds>[\d.]+)(?P<unit>ms|s|us).*?"
    r"requests: .*? (?P<done>\d+) done, (?P<succeeded>\d+) succeeded, (?P<failed>\d+) failed, "
    r"(?P<errored>\d+) errored, (?P<timeout>\d+) timeout.*?"
    r"status codes: .*? (?P<s4>\d+) 4xx, (?P<s5>\d+) 5xx.*?"
    r"traffic: .*\((?P<bytes>\d+)\) data",
    re.DOTALL,
)


def _h2load_figures(output: str) -> Figures:
    found = H2LOAD_REPORT.search(output)
    if not found:
        raise LoadError(f"no figures from h2load: {output.strip()[-300:]}")
    seconds = float(found["seconds"]) * {"s": 1.0, "ms": 1e-3, "us": 1e-6}[found["unit"]]
    return Figures(
        requests=int(found["succeeded"]),
        bytes=int(found["bytes"]),
        seconds=seconds,
        p50_us=None,
        p99_us=None,
        broken=int(found["errored"]) + int(found["timeout"]),
        statuses_from_400=int(found["s4"]) + int(found["s5"]),
    )
