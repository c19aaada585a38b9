"""A result as tables of text, before anyone decides how they look."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import TYPE_CHECKING

from bench.machine import in_a_sentence
from bench.promises import FIGURES, PROMISES
from bench.results import REFERENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.results import Result

    # A contender and a work, or nothing to say about them.
    Show = Callable[[str, str], float | None]

MIB = 2**20
AIR = 2


@dataclass(frozen=True)
class Table:
    """A title, a sentence that says how to read it, the head, and lines of cells.

    A table of figures may be shown in pieces; one that is `whole` may not.
    """

    title: str
    note: str
    head: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    whole: bool = False

    @property
    def width(self) -> int:
        """The characters of its widest cells, with air between columns."""
        columns = zip(self.head, *self.lines, strict=True)
        return sum(max(map(len, cells)) + AIR for cells in columns)


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
    first = (cost(result), ratios(result), kept(result), slow_readers(result))
    yield from (table for table in first if table.lines)


# Title, how to read it, the figure of a sample, and what to multiply it with.
UNDER_LOAD = (
    "Under full load, as its generator saw it, at {connections} connections (large files: 4)."
)
WAITED = (
    "The share of its core the server used. Much less than 1 means that it waited for the load "
    "generator, or for something else on the machine; its CPU time is less certain then."
)
DETAILS = (
    ("Requests per second", "One worker on one core.", "per_second", 1),
    ("Latency, p50, milliseconds", UNDER_LOAD, "p50_us", 1e-3),
    ("Latency, p99, milliseconds", UNDER_LOAD, "p99_us", 1e-3),
    ("Peak memory, MiB", "Resident, each process's own peak, summed.", "peak_bytes", 1 / MIB),
    ("Busy", WAITED, "busy", 1),
)


def _details(result: Result) -> Iterator[Table]:
    connections = result.settings.get("connections", 16)
    for title, note, name, factor in DETAILS:
        show = partial(_scaled, result, name, factor)
        yield _grid(result, title, note.format(connections=connections), show)


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


def kept(result: Result) -> Table:
    """Return the promised figures beside the measured ones."""
    measured = (
        (it, result.ratio(it.contender, it.work, it.reference, it.figure)) for it in PROMISES
    )
    lines = tuple(
        (
            result.titles[promise.contender],
            result.titles[promise.reference],
            result.titles[promise.work] + FIGURES[promise.figure],
            f"{promise.bar}",
            f"{ratio:.3g}",
            "kept" if ratio <= promise.bar else "missed",
        )
        for promise, ratio in measured
        if ratio is not None
    )
    head = ("contender", "relative to", "work", "at most", "measured", "")
    note = "CPU per request unless said otherwise, divided within each round, median of the rounds."
    return Table("Promises", note, head, lines, whole=True)


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
    return Table("Slow readers", note, head, lines, whole=True)


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
    return Table("CPU per request, microseconds", "", head, lines, whole=True)


def exceptions(result: Result) -> list[str]:
    """Return a sentence for everything that was left out, refused or void."""
    missing = [
        f"{result.titles.get(name, name)} is missing: `{'; '.join(lines)}`"
        for name, lines in result.missing.items()
    ]
    said = [
        f"{result.titles[row.contender]}, {result.titles[row.work]}: {prefix}{text}"
        for prefix, name in (("void, ", "void"), ("not offered, ", "unoffered"), ("", "remark"))
        for row in result.rows
        if (text := getattr(row, name))
    ]
    return [*result.notes, *missing, *said]


def circumstances(result: Result) -> str:
    """Return where, how and when the result was measured, in a sentence."""
    settings, machine = result.settings, result.machine
    minutes, seconds = divmod(round(settings.get("duration_seconds", 0)), 60)
    took = f" in {minutes} min {seconds} s" if minutes or seconds else ""
    return (
        f"{in_a_sentence(machine)}; load by {settings['generator']}, "
        f"{settings['rounds']} rounds of {settings['turn_seconds']} s{took}; "
        f"{machine['date']}, commit {machine['commit']}."
    )


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


def fitting(table: Table, width: int) -> list[Table]:
    """Return the table in as few pieces as fit into `width` characters."""
    pieces = [table]
    for most in range(len(table.head) - 1, 0, -1):
        pieces = list(columns(table, most))
        if table.whole or all(piece.width <= width for piece in pieces):
            break
    return pieces


def columns(table: Table, most: int) -> Iterator[Table]:
    """Yield the table in pieces of about equal width, each with at most `most` more columns."""
    if table.whole:
        yield table
        return
    others = len(table.head) - 1
    width = ceil(others / ceil(others / most))
    for start in range(1, len(table.head), width):
        part = slice(start, start + width)
        lines = tuple((line[0], *line[part]) for line in table.lines if any(line[part]))
        yield Table(table.title, table.note, (table.head[0], *table.head[part]), lines)


def markdown(table: Table) -> str:
    """Return a table in Markdown, with its title and note."""
    return f"## {table.title}\n\n{table.note}\n\n{grid(table)}\n"


def grid(table: Table) -> str:
    """Return the cells of a table in Markdown, figures to the right."""
    rule = (":--", *("--:" for _ in table.head[1:]))
    rows: Sequence[Sequence[str]] = (table.head, rule, *table.lines)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
