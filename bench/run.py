"""The schedule: start everyone, check everyone, then measure in turn, round by round."""

from __future__ import annotations

import http.client
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bench.load import Figures, Job, LoadError, choose_generator, run_asyncio, run_h2load, run_sink
from bench.measure import Meter, TreeChangedError
from bench.native import Certificate, Stage
from bench.results import REFERENCE, Row, Sample
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
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from bench.contenders import Contender
    from bench.site import Site
    from bench.workloads import Prepared, Work

WARM_UP_SECONDS, MANY_WARM_UP_SECONDS = 0.1, 5.0
MANY_FILES = 1000  # fewer are all met in the usual warm-up
COLD_SECONDS, VISIT_SECONDS = 10.0, 10.0
PACE_SHARE = 1 / 3
KEPT_SHARE = 0.9  # a rate is kept if so much of it was answered


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
        try:
            server = self.stack.enter_context(self.new(contender, name, certificate))
        except StartError as error:
            self.notes.append(str(error))
        else:
            self.servers.append(server)

    def new(
        self, contender: Contender, name: str, certificate: Certificate | None = None
    ) -> AbstractContextManager[Server]:
        """Return a new process of one contender, for a `with` block."""
        stage = Stage(self.site.root, free_port(), self.folder / name, certificate=certificate)
        return running(contender, stage, self.cores.server)

    def entrants(self, work: Work) -> list[Server]:
        """Return the servers that take part in a work."""
        return [server for server in self.servers if _takes_part(server, work)]


def _takes_part(server: Server, work: Work) -> bool:
    contender = server.contender
    if server.tls != work.tls or (work.http2 and not contender.http2):
        return False
    if work.among and contender.name not in work.among:
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
    if work.paced:
        _pace(field, work, entrants, seconds)
    for _ in range(rounds):
        for entrant in entrants:
            tick(work.name, entrant.row.contender)
            if entrant.row.void is None:
                entrant.turn(seconds)
    return rows


def _pace(field: Field, work: Work, entrants: Sequence[Entrant], seconds: float) -> None:
    """Give everyone a third of the rate the reference reaches; without it, of the first one's."""
    by_name = {entrant.row.contender: entrant for entrant in entrants}
    for entrant in (*filter(None, [by_name.get(REFERENCE)]), *entrants):
        entrant.turn(seconds)
        if entrant.row.samples:
            rate = entrant.row.samples.pop().per_second * PACE_SHARE
            who = entrant.server.contender.title
            field.notes.append(
                f"{work.title}: {rate:,.0f} requests a second, a third of what {who} answered."
            )
            for other in entrants:
                other.rate = rate
            return


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
    rate: float | None = None

    def warm_up(self) -> None:
        """Let the server get ready, and meet each of many files."""
        if self.work.cold or self.work.visit:
            return
        many = len(self.work.paths) >= MANY_FILES
        meets = many and self.server.port not in self.field.acquainted
        if meets:
            self.field.acquainted.add(self.server.port)
        self.load(
            self.field.warm_up_seconds if meets else WARM_UP_SECONDS,
            len(self.prepared.requests) if meets else None,
        )
        self.row.samples.clear()

    def turn(self, seconds: float) -> None:
        """Measure one turn; anything wrong voids the row."""
        if self.work.visit:
            self._visit()
        else:
            self.load(seconds)

    def _visit(self) -> None:
        """Measure the visits of each file, in a process that has seen none of them.

        The answers were checked at another process of the same server, whose port the requests name.
        """
        contender, everything = self.server.contender, len(self.prepared.requests)
        row = Row(contender.name, self.work.name)
        try:
            with self.field.new(contender, f"{contender.name}-visit") as server:
                fresh = Entrant(self.field, server, self.work, self.prepared, row)
                fresh.load(VISIT_SECONDS, everything)
                met = fresh.asked
                if self.work.visit == 2 and row.void is None:
                    fresh.asked = 0
                    fresh.load(VISIT_SECONDS, met)
        except StartError as error:
            row.void = str(error)
            return
        finally:
            self.row.void = row.void
        self.row.samples += row.samples[-1:]
        if met < KEPT_SHARE * everything:
            self.row.remark = f"{met:,} of {everything:,} files in {VISIT_SECONDS:.0f} s"

    def load(self, seconds: float, most: int | None = None) -> None:
        """Measure the load of so many seconds, or of `most` requests where that takes less."""
        job = self._job(seconds, most)
        try:
            meter = Meter(self.server.tree)
            figures = self._generate(job)
            cost = meter.cost()
        except (LoadError, TreeChangedError) as error:
            self.row.void = str(error)
            return
        self.asked += figures.requests
        self.row.void = _objection(figures, self.work, self.prepared)
        new = sample(figures, self.prepared, cost.cpu_seconds, cost.peak_bytes)
        if self.rate:
            # The generator waits before it sends; the latency it sees is not the server's.
            new = replace(new, p50_us=None, p99_us=None)
            if new.per_second < KEPT_SHARE * self.rate:
                reached = f"{new.per_second:,.0f} of {self.rate:,.0f}"
                self.row.remark = f"answered {reached} requests a second"
        self.row.samples.append(new)

    def _job(self, seconds: float, most: int | None) -> Job:
        start = self.asked % len(self.prepared.requests)
        requests = self.prepared.requests[start:] + self.prepared.requests[:start]
        if self.work.cold:
            drop_from_cache(self.field.site.root, self.work.paths[start:][:COLD_FILES])
            requests, seconds, most = requests[:COLD_FILES], COLD_SECONDS, COLD_FILES
        core, tls = self.field.cores.load, self.server.tls
        connections = self.work.connections
        return Job(self.server.port, requests, connections, seconds, core, tls, most, self.rate)

    def _generate(self, job: Job) -> Figures:
        if self.work.cold:
            return run_asyncio(job)
        if self.prepared.is_large and not (job.tls or job.rate or self.work.is_new):
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
