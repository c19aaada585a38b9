"""The schedule: start everyone, check everyone, then measure in turn, round by round."""

from __future__ import annotations

import http.client
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.load import Figures, Job, LoadError, choose_generator, run_asyncio, run_h2load, run_sink
from bench.measure import Meter, TreeChangedError
from bench.native import Certificate, Stage
from bench.results import Row, Sample
from bench.servers import Server, StartError, free_port, running
from bench.site import drop_from_cache
from bench.workloads import (
    COLD_FILES,
    UnofferedError,
    WrongAnswerError,
    prepare,
    within_handles,
)

if TYPE_CHECKING:
    from pathlib import Path

    from bench.contenders import Contender
    from bench.site import Site
    from bench.workloads import Prepared, Work

WARM_UP_SECONDS, MANY_WARM_UP_SECONDS = 0.1, 5.0
MANY_FILES = 1000  # fewer are all met in the usual warm-up
COLD_SECONDS = 10.0


Tick = Callable[[str, str], None]


@dataclass(frozen=True)
class Cores:
    """Where the server and the load run; None where the machine cannot keep them apart."""

    server: int | None
    load: int | None


def choose_cores() -> Cores:
    """Return two cores this process may use, or none."""
    if not hasattr(os, "sched_getaffinity"):
        return Cores(None, None)
    available = sorted(os.sched_getaffinity(0))
    return Cores(available[0], available[1]) if len(available) > 1 else Cores(None, None)


@dataclass
class Field:
    """The contenders that are up, what they serve, where they run; `notes` say who is not.

    `acquainted` are the ports of those that have met the many files, which takes them at most
    `warm_up_seconds`.
    """

    site: Site
    folder: Path
    cores: Cores
    stack: ExitStack
    servers: list[Server] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    acquainted: set[int] = field(default_factory=set)
    warm_up_seconds: float = MANY_WARM_UP_SECONDS

    def start(self, contender: Contender, certificate: Certificate | None = None) -> None:
        """Start one contender until the field is left; note it where that fails."""
        name = f"{contender.name}{'-tls' if certificate else ''}"
        stage = Stage(self.site.root, free_port(), self.folder / name, certificate=certificate)
        try:
            server = self.stack.enter_context(running(contender, stage, self.cores.server))
        except StartError as error:
            self.notes.append(str(error))
        else:
            self.servers.append(server)

    def entrants(self, work: Work) -> list[Server]:
        """Return the servers that take part in a work."""
        return [server for server in self.servers if _takes_part(server, work)]


def _takes_part(server: Server, work: Work) -> bool:
    contender = server.contender
    if server.tls != work.tls or (work.http2 and not contender.http2):
        return False
    return not contender.only or work.name in contender.only


def run_work(field: Field, work: Work, *, rounds: int, seconds: float, tick: Tick) -> list[Row]:
    """Measure one work on every server that takes part, in turn, `rounds` times.

    Args:
        field: the servers.
        work: what to ask of them.
        rounds: how often everyone has a turn.
        seconds: how long a turn is.
        tick: called with the work and the contender before each turn.
    """
    rows, entrants = [], []
    for server in field.entrants(work):
        tick(work.name, server.contender.name)
        row = Row(server.contender.name, work.name)
        rows.append(row)
        own = _fitted(work, server, row)
        if prepared := _checked(server, own, field.site, row):
            entrants.append(Entrant(field, server, own, prepared, row))
            entrants[-1].warm_up()
    for _ in range(rounds):
        for entrant in entrants:
            tick(work.name, entrant.row.contender)
            if entrant.row.void is None:
                entrant.turn(seconds)
    return rows


def _fitted(work: Work, server: Server, row: Row) -> Work:
    """Cut the work to what the server can hold open, and say so in the row."""
    own = within_handles(work, server.contender)
    if own is not work:
        row.remark = f"{len(own.paths):,} of them, since it holds each open and has no more handles"
    return own


def _checked(server: Server, work: Work, site: Site, row: Row) -> Prepared | None:
    """Prepare the work, or say in the row why not."""
    try:
        return prepare(server, work, site)
    except UnofferedError as reason:
        row.unoffered = str(reason)
    except (WrongAnswerError, OSError, http.client.HTTPException) as error:
        row.void = f"before the load: {error!r}"
    return None


@dataclass
class Entrant:
    """A server at one work; it goes on through the list of requests where its last turn ended."""

    field: Field
    server: Server
    work: Work
    prepared: Prepared
    row: Row
    asked: int = 0

    def warm_up(self) -> None:
        """Let the server get ready, and meet each of many files; a cold work has no warm-up."""
        if self.work.cold:
            return
        many = len(self.work.paths) >= MANY_FILES
        meets = many and self.server.port not in self.field.acquainted
        if meets:
            self.field.acquainted.add(self.server.port)
        self.turn(self.field.warm_up_seconds if meets else WARM_UP_SECONDS, once=meets)
        self.row.samples.clear()

    def turn(self, seconds: float, *, once: bool = False) -> None:
        """Measure one turn; anything wrong voids the row."""
        job = self._job(seconds, once=once)
        try:
            meter = Meter(self.server.tree)
            figures = self._generate(job)
            cost = meter.cost()
        except (LoadError, TreeChangedError) as error:
            self.row.void = str(error)
            return
        self.asked += figures.requests
        self.row.void = _objection(figures, self.work, self.prepared)
        self.row.samples.append(sample(figures, self.prepared, cost.cpu_seconds, cost.peak_bytes))

    def _job(self, seconds: float, *, once: bool) -> Job:
        start = self.asked % len(self.prepared.requests)
        requests = self.prepared.requests[start:] + self.prepared.requests[:start]
        if self.work.cold:
            drop_from_cache(self.field.site.root, self.work.paths[start:][:COLD_FILES])
            requests, seconds, once = requests[:COLD_FILES], COLD_SECONDS, True
        core, tls = self.field.cores.load, self.server.tls
        return Job(self.server.port, requests, self.work.connections, seconds, core, tls, once)

    def _generate(self, job: Job) -> Figures:
        if self.work.cold:
            return run_asyncio(job)
        if self.prepared.is_large and not job.tls:
            return run_sink(job)
        if self.work.http2:
            path = self.server.contender.prefix + self.work.paths[0]
            return run_h2load(job, path, self.prepared.fields)
        return choose_generator()[1](job)


def sample(figures: Figures, prepared: Prepared, cpu_seconds: float, peak_bytes: int) -> Sample:
    """Turn what the load and the meter saw into one sample."""
    # Of a large content much is on its way when the time is up: count octets, not answers.
    requests: float = figures.requests
    if prepared.is_large:
        requests = figures.bytes / prepared.wire_size
    return Sample(
        cpu_us=cpu_seconds / max(requests, 1e-9) * 1e6,
        per_second=requests / figures.seconds,
        bytes_per_second=figures.bytes / figures.seconds,
        p50_us=figures.p50_us if figures.requests else None,
        p99_us=figures.p99_us if figures.requests else None,
        peak_bytes=peak_bytes,
        requests=requests,
        seconds=figures.seconds,
    )


def _objection(figures: Figures, work: Work, prepared: Prepared) -> str | None:
    """Return why these figures may not be used, or None."""
    if figures.broken:
        return f"{figures.broken} broken transfers under load"
    if figures.bytes == 0:
        return "no answer under load"
    if figures.statuses_from_400 != (figures.requests if work.status >= 400 else 0):
        return f"{figures.statuses_from_400} answers with a wrong status under load"
    # Answers differ by a few octets of head, and some are on their way when the time is up.
    size = prepared.content_size if work.http2 else prepared.wire_size
    slack = figures.requests * 64 + work.at_once * size
    if abs(figures.bytes - figures.requests * size) > slack:
        return f"{figures.bytes} octets for {figures.requests} answers of {size}"
    return None
