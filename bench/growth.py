"""The growth of cost with the files, the connections and the workers, and with new visitors."""

from __future__ import annotations

import os
import random
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench import contenders
from bench.measure import TreeChangedError
from bench.native import Stage
from bench.results import Row
from bench.run import KEPT_SHARE, Entrant, Field, choose_cores, run_work
from bench.servers import free_port, running
from bench.site import SEED, Site, build_site, make_old, write_many
from bench.workloads import VISITED_FILES, base_works, parse_work, prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from bench.contenders import Contender
    from bench.run import Cores
    from bench.servers import Server
    from bench.workloads import Work

FILES = (1, 10, 100, 1_000, 10_000, 100_000)
CONNECTIONS = (1, 10, 100, 1_000)
VISITORS = (200, 4_000, 40_000, 400_000)
VISITED, VISITED_NAMES, VISITORS_SECONDS = "200+new+query", ("asyncstatic-serve", "nginx"), 60.0
NAMES = ("asyncstatic-serve", "asyncstatic-hypercorn", "nginx")
ROUNDS, SECONDS, WARM_UP_SECONDS = 3, 0.4, 10.0
AXES = {
    "files": "files in the tree, asked for in random order",
    "connections": "connections, 1 KiB",
    "workers": "workers, 1 KiB",
    "visitors": f"new visitors with queries, {VISITED_FILES} files",
}


@dataclass(frozen=True)
class Point:
    """The cost of a request for one contender at one size; None where the row was void.

    `resident_bytes` is known only for visitors: the memory when so many have come.
    """

    contender: str
    grows: str
    size: int
    cpu_us: float | None
    per_second: float | None
    peak_bytes: float | None
    void: str | None = None
    resident_bytes: float | None = None


def measure(folder: Path, say: Callable[[str], None]) -> Iterator[Point]:
    """Yield every point.

    Args:
        folder: an empty directory.
        say: called with a few words before each step.
    """
    cores = choose_cores()
    chosen = [contenders.BY_NAME[name] for name in NAMES]
    present = [contender for contender in chosen if not contender.missing()]
    for count in FILES:
        site = _tree(folder / f"files-{count}", count)
        yield from _points(present, site, cores, "files", count, say)
    site = build_site(_made(folder / "plain"), 1, 1)
    for connections in CONNECTIONS:
        yield from _points(present, site, cores, "connections", connections, say)
    for workers in range(1, (os.cpu_count() or 1) + 1):
        # Workers that shared one core would show nothing: here nobody is pinned.
        unpinned = replace(cores, server=None, load=None)
        yield from _points(present, site, unpinned, "workers", workers, say)
    yield from _visitors(present, _tree(folder / "visited", VISITED_FILES), cores, say)


def _tree(root: Path, count: int) -> Site:
    """Return a document root with `count` files and nothing else."""
    rng = random.Random(SEED)  # noqa: S311 - reproducible content, not a secret
    site = Site(_made(root), tuple(write_many(root, "many", count, rng)), ())
    make_old(root)
    return site


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _points(
    present: Sequence[Contender], site: Site, cores: Cores, grows: str, size: int,
    say: Callable[[str], None],
) -> Iterator[Point]:  # fmt: skip
    """Start the contenders afresh and measure one size of one thing, in turn."""
    bases = base_works(site)
    work = bases["files"] if grows == "files" else bases["1k"]
    if grows == "connections":
        work = replace(work, connections=size)
    workers = size if grows == "workers" else 1
    say(f"{size:,} {grows}")
    with ExitStack() as stack:
        field = Field(site, site.root.parent / f"{grows}-{size}-servers", cores, stack)
        for contender in present:
            stage = Stage(site.root, free_port(), field.folder / contender.name, workers)
            field.servers.append(stack.enter_context(running(contender, stage, cores.server)))
        yield from _measured(field, work, grows, size)


def _measured(field: Field, work: Work, grows: str, size: int) -> Iterator[Point]:
    for row in run_work(field, work, rounds=ROUNDS, seconds=SECONDS, tick=lambda *_: None):
        cpu_us, per_second, peak_bytes = map(row.median, ("cpu_us", "per_second", "peak_bytes"))
        yield Point(row.contender, grows, size, cpu_us, per_second, peak_bytes, row.void)


def _visitors(
    present: Sequence[Contender], site: Site, cores: Cores, say: Callable[[str], None]
) -> Iterator[Point]:
    """Start each contender afresh and let visitors come, none of whom comes again."""
    for contender in present:
        if contender.name in VISITED_NAMES:
            say(f"{VISITORS[-1]:,} new visitors: {contender.name}")
            with ExitStack() as stack:
                field = Field(site, site.root.parent / "visited-servers", cores, stack)
                yield from visitors(field, contender, VISITORS)


def visitors(field: Field, contender: Contender, counts: Sequence[int]) -> Iterator[Point]:
    """Yield a point when so many visitors have come; the first of them load the content."""
    field.start(contender)
    if not field.servers:
        return
    work, server = parse_work(VISITED, base_works(field.site)), field.servers[-1]
    row = Row(contender.name, work.name)
    entrant = Entrant(field, server, work, prepare(server, work, field.site), row)
    for count in counts:
        entrant.load(VISITORS_SECONDS, count - entrant.asked)
        resident = _resident(server, row)
        if row.void is None and entrant.asked < KEPT_SHARE * count:
            row.void = f"only {entrant.asked:,} visitors in time"
        yield _grown(row, count, resident)


def _grown(row: Row, count: int, resident: int | None) -> Point:
    """Return the point of the last sample; None in place of each figure where the row is void."""
    if row.void is not None:
        return Point(row.contender, "visitors", count, None, None, None, row.void)
    last = row.samples[-1]
    return Point(
        row.contender, "visitors", count, last.cpu_us, last.per_second, last.peak_bytes,
        resident_bytes=resident,
    )  # fmt: skip


def _resident(server: Server, row: Row) -> int | None:
    try:
        return server.tree.resident_bytes()
    except TreeChangedError as error:
        row.void = str(error)
        return None
