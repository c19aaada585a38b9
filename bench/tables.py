"""A result as tables of text, before anyone decides how they look."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import TYPE_CHECKING

from bench.results import REFERENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.results import Result

    # A contender and a work, or nothing to say about them.
    Show = Callable[[str, str], float | None]

MIB = 2**20


@dataclass(frozen=True)
class Table:
    """A title, a sentence that says how to read it, the head, and lines of cells."""

    title: str
    note: str
    head: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Promise:
    """A figure this project promises: CPU of one contender relative to another, at most `bar`."""

    contender: str
    reference: str
    work: str
    bar: float


PROMISES = (
    Promise("asyncstatic-serve", "nginx", "1k+browser", 0.65),
    Promise("asyncstatic-serve", "nginx", "64k+browser", 0.9),
    Promise("asyncstatic-serve", "nginx", "10m", 0.7),
    Promise("asyncstatic-serve", "nginx", "100m", 0.9),
    Promise("asyncstatic-hypercorn", "hello-hypercorn", "1k", 1.15),
    Promise("asyncstatic-hypercorn", "hello-hypercorn", "64k", 1.3),
    Promise("asyncstatic-hypercorn", "quart", "1k", 0.3),
    Promise("asyncstatic-hypercorn", "quart", "64k", 0.2),
    Promise("asyncstatic-hypercorn", "quart", "10m", 0.05),
    Promise("asyncstatic-hypercorn", "quart", "100m", 0.05),
)


def significant(value: float) -> str:
    """Return a figure with three significant digits, thousands separated."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def all_tables(result: Result) -> Iterator[Table]:
    """Yield every table that has a line, the most important first."""
    yield from costs(result)
    yield from (table for table in _details(result) if table.lines)


def costs(result: Result) -> Iterator[Table]:
    """Yield the tables of the first figure: CPU per request, by itself and relative to others."""
    first = (cost(result), ratios(result), promises(result), slow_readers(result))
    yield from (table for table in first if table.lines)


# Title, how to read it, the figure of a sample, and what to multiply it with.
DETAILS = (
    ("Requests per second", "One worker on one core.", "per_second", 1),
    ("Latency, p50, milliseconds", "Under full load, as its generator saw it.", "p50_us", 1e-3),
    ("Latency, p99, milliseconds", "Under full load, as its generator saw it.", "p99_us", 1e-3),
    ("Peak memory, MiB", "Resident, each process's own peak, summed.", "peak_bytes", 1 / MIB),
)


def _details(result: Result) -> Iterator[Table]:
    for title, note, name, factor in DETAILS:
        yield _grid(result, title, note, partial(_scaled, result, name, factor))


def cost(result: Result) -> Table:
    """Return the first figure: CPU time per request."""
    note = "User and system time of the whole process tree, median of the rounds."
    return _grid(result, "CPU per request, microseconds", note, result.figure)


def ratios(result: Result) -> Table:
    """Return the same relative to the reference."""
    if REFERENCE not in result.contenders():
        return Table("", "", (), ())
    title = f"CPU per request relative to {result.titles[REFERENCE]}"
    return _grid(result, title, "Divided within each round, median of the rounds.", result.ratio)


def promises(result: Result) -> Table:
    """Return the promised figures beside the measured ones."""
    measured = (
        (promise, result.ratio(promise.contender, promise.work, promise.reference))
        for promise in PROMISES
    )
    lines = tuple(
        (
            result.titles[promise.contender],
            result.titles[promise.reference],
            result.titles[promise.work],
            f"{promise.bar}",
            f"{ratio:.2f}",
            "kept" if ratio <= promise.bar else "missed",
        )
        for promise, ratio in measured
        if ratio is not None
    )
    head = ("contender", "relative to", "work", "at most", "measured", "")
    return Table("Promises", "CPU per request, divided within each round.", head, lines)


def slow_readers(result: Result) -> Table:
    """Return what many slow readers cost."""
    lines = tuple(
        (
            result.titles[held.contender],
            f"{held.connections:,}",
            significant(max(0, held.growth_bytes) / MIB),
            "no answer" if held.answer_ms is None else significant(held.answer_ms),
            str(max(0, held.handles_left)),
        )
        for held in result.held
    )
    head = ("", "connected", "memory, MiB", "another answer, ms", "handles left after")
    note = "Each asks for 10 MiB and reads nothing; memory is what the tree grew by."
    return Table("Slow readers", note, head, lines)


def comparison(before: Result, after: Result) -> Table:
    """Return CPU per request in two results, and the change."""
    lines = tuple(
        (
            after.titles[row.contender],
            after.titles[row.work],
            significant(old),
            significant(new),
            f"{(new / old - 1) * 100:+.0f} %",
        )
        for row in after.rows
        if (old := before.figure(row.contender, row.work))
        and (new := after.figure(row.contender, row.work))
    )
    head = ("contender", "work", "before", "after", "change")
    return Table("CPU per request, microseconds", "", head, lines)


def exceptions(result: Result) -> list[str]:
    """Return a sentence for everything that was left out, refused or void."""
    missing = [
        f"{result.titles.get(name, name)} is missing: `{'; '.join(lines)}`"
        for name, lines in result.missing.items()
    ]
    void = [
        f"{result.titles[row.contender]}, {result.titles[row.work]}: void, {row.void}"
        for row in result.rows
        if row.void
    ]
    unoffered = [
        f"{result.titles[row.contender]}, {result.titles[row.work]}: not offered, {row.unoffered}"
        for row in result.rows
        if row.unoffered
    ]
    return [*result.notes, *missing, *void, *unoffered]


def _grid(result: Result, title: str, note: str, show: Show) -> Table:
    """Return contenders down, works across; works that give no figure are left out."""
    contenders = result.contenders()
    works = [
        work
        for work in result.works()
        if any(show(contender, work) is not None for contender in contenders)
    ]
    lines = tuple(
        (result.titles[contender], *(_cell(result, contender, work, show) for work in works))
        for contender in contenders
    )
    head = ("", *(result.titles[work] for work in works))
    return Table(title, note, head, lines if works else ())


def _cell(result: Result, contender: str, work: str, show: Show) -> str:
    row = result.row(contender, work)
    if row is None:
        return ""
    if row.void:
        return "void"
    value = show(contender, work)
    return "-" if value is None else significant(value)


def _scaled(result: Result, name: str, factor: float, contender: str, work: str) -> float | None:
    value = result.figure(contender, work, name)
    return None if value is None else value * factor


def columns(table: Table, most: int) -> Iterator[Table]:
    """Yield the table in pieces of about equal width, each with at most `most` more columns."""
    others = len(table.head) - 1
    width = ceil(others / ceil(others / most))
    for start in range(1, len(table.head), width):
        part = slice(start, start + width)
        lines = tuple((line[0], *line[part]) for line in table.lines if any(line[part]))
        yield Table(table.title, table.note, (table.head[0], *table.head[part]), lines)


def markdown(table: Table) -> str:
    """Return a table in Markdown, figures to the right."""
    rule = (":--", *("--:" for _ in table.head[1:]))
    rows: Sequence[Sequence[str]] = (table.head, rule, *table.lines)
    lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"## {table.title}\n\n{table.note}\n\n{lines}\n"
