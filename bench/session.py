"""One run of the bench, from its plan to its result."""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench import contenders, machine
from bench.load import choose_generator
from bench.native import make_certificate
from bench.results import Result
from bench.run import Field, choose_cores, run_work
from bench.site import Site, build_site
from bench.slow import run_slow
from bench.workloads import (
    COLD_FILES,
    CONNECTIONS,
    SAMPLED_FILES,
    VISITED_FILES,
    base_works,
    parse_work,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from bench.contenders import Contender
    from bench.run import Cores, Tick
    from bench.workloads import Work

SLOW = "slow"
FULL = (
    "200+new", "200+new+query", "tags+new", "misses+new",
    "200+browser+paced", "200+new+paced", "64k+browser+paced", "first+browser", "second+browser",
    "1k", "1k+browser", "64k", "64k+browser", "10m", "100m",
    "304", "304+browser", "range", "range+browser", "precompressed", "precompressed+browser",
    "miss", "miss+browser", "files", "files+browser", "cold", "1k+https", "64k+https", "1k+h2", SLOW,
)  # fmt: skip
QUICK = ("200+new", "1k", "1k+browser", "64k", "10m")
FULL_ROUNDS, QUICK_ROUNDS = 3, 2
FULL_FILES, QUICK_FILES = 20_000, VISITED_FILES
FULL_SECONDS, QUICK_SECONDS = 0.2, 0.15
IDLE_LOAD = 0.5
APT = {"openssl": "openssl", "h2load": "nghttp2-client"}
BASES = base_works(Site(Path(), (), ()))


@dataclass(frozen=True)
class Plan:
    """The measurements of a run; `seconds` is the length of one turn."""

    contenders: tuple[Contender, ...]
    works: tuple[str, ...]
    rounds: int
    seconds: float
    files: int

    @property
    def turns(self) -> int:
        """The largest number of turns."""
        each = sum(1 if name == SLOW else self.rounds + 1 for name in self.works)
        return each * len(self.contenders)


def make_plan(
    *, quick: bool, only: str | None, work: str | None, rounds: int | None, seconds: float | None
) -> Plan:
    """Return the plan that the options ask for.

    Raises:
        click.BadParameter: an unknown contender or work.
    """
    names = _names(only, contenders.BY_NAME, contenders.BY_NAME.__contains__, "--only")
    return Plan(
        contenders=tuple(contenders.BY_NAME[name] for name in names),
        works=_names(work, QUICK if quick else FULL, _is_work, "--work"),
        rounds=rounds or (QUICK_ROUNDS if quick else FULL_ROUNDS),
        seconds=seconds or (QUICK_SECONDS if quick else FULL_SECONDS),
        files=QUICK_FILES if quick else FULL_FILES,
    )


def _names(
    text: str | None, default: Iterable[str], known: Callable[[str], bool], option: str
) -> tuple[str, ...]:
    names = tuple(text.split(",") if text else default)
    for name in names:
        if not known(name):
            raise click.BadParameter(f"{name} is unknown; see --list", param_hint=option)
    return names


def _is_work(name: str) -> bool:
    if name == SLOW:
        return True
    try:
        parse_work(name, BASES)
    except KeyError:
        return False
    return True


def run_plan(plan: Plan, folder: Path, tick: Tick) -> Result:
    """Run a plan.

    Args:
        plan: what to measure.
        folder: an empty directory, for the document root and the servers' files.
        tick: called with a work and a contender before each turn.
    """
    begin = time.monotonic()
    result, cores = _blank(plan), choose_cores()
    result.notes.extend(_doubts(result, cores))
    root = folder / "root"
    root.mkdir()
    visits = any(parse_work(name, BASES).visit for name in plan.works if name != SLOW)
    cold, flat = plan.rounds * COLD_FILES + SAMPLED_FILES, plan.files if visits else 0
    site = build_site(root, plan.files, cold, flat)
    bases = base_works(site)
    works = [parse_work(name, bases) for name in plan.works if name != SLOW]
    works = _possible(works, result)
    result.titles |= {work.name: work.title for work in works}
    with ExitStack() as stack:
        field = Field(site, folder, cores, stack)
        _start_all(field, plan, works, result, tick)
        for work in works:
            rows = run_work(field, work, rounds=plan.rounds, seconds=plan.seconds, tick=tick)
            result.rows.extend(rows)
        if SLOW in plan.works:
            result.held.extend(run_slow(field, tick))
        result.notes.extend(field.notes)
    result.settings["duration_seconds"] = time.monotonic() - begin
    return result


def _doubts(result: Result, cores: Cores) -> Iterator[str]:
    """Yield what about this machine makes its figures less certain."""
    if cores.server is None:
        yield "This machine cannot keep server and load on cores of their own."
    if (load := result.machine["load_average"][0]) > IDLE_LOAD:
        yield f"This machine was not idle: its load average was {load} when the run began."


def _blank(plan: Plan) -> Result:
    settings = {
        "generator": choose_generator()[0],
        "rounds": plan.rounds,
        "turn_seconds": plan.seconds,
        "connections": CONNECTIONS,
        "files": plan.files,
        "works": plan.works,
    }
    titles = {contender.name: contender.title for contender in plan.contenders}
    families = {contender.name: contender.family.value for contender in plan.contenders}
    return Result(machine.describe(), settings, titles, families)


def _possible(works: Sequence[Work], result: Result) -> list[Work]:
    """Return the works whose tools are installed; note in the result what the others need."""
    possible = []
    for work in works:
        needs = {"openssl": work.tls, "h2load": work.http2}
        absent = [name for name in needs if needs[name] and not shutil.which(name)]
        result.missing |= {name: [f"apt install {APT[name]}"] for name in absent}
        if not absent:
            possible.append(work)
    return possible


def _start_all(field: Field, plan: Plan, works: Sequence[Work], result: Result, tick: Tick) -> None:
    """Start who can be started, once in the clear and, where the works want it, once with TLS."""
    secured = any(work.tls for work in works)
    certificate = make_certificate(field.folder) if secured else None
    for contender in plan.contenders:
        tick("starting", contender.name)
        if lines := contender.missing():
            result.missing[contender.name] = lines
            continue
        field.start(contender)
        if certificate and contender.tls and not contender.only:
            if lines := contender.missing(tls=True):
                result.missing[f"{contender.name}, HTTPS"] = lines
            else:
                field.start(contender, certificate)
