"""The results on a terminal: counts first, then every cell that is not right, with its reason."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.conformance.catalogue import GROUPS
from bench.conformance.check import Check
from bench.conformance.examine import Cell, Column, rows
from bench.conformance.findings import FAULTS, Grade
from bench.conformance.messages import Answer

_STYLE = {Grade.WRONG: "bold red", Grade.WEAK: "yellow", Grade.DECIDED: "cyan"}


def show(columns: Sequence[Column], title: str, *, verbose: bool = False) -> None:
    """Print one table of counts and the cells behind it."""
    # A pipe has no width: give the table room instead of the 80 columns rich assumes.
    console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 170)
    console.print(_counts(columns, title))
    for column in columns:
        if column.absence:
            console.print(f"[dim]{column.server.name}: {escape(column.absence)}[/dim]")
            continue
        _faults(console, column, verbose=verbose)


def _counts(columns: Sequence[Column], title: str) -> Table:
    table = Table(title=f"{title}\nright / weak / wrong / decided by the server")
    table.add_column("server")
    for group in GROUPS:
        table.add_column(group.title, justify="right")
    table.add_column("total", justify="right")
    for column in columns:
        if column.absence:
            continue
        counts = [_count([column.count(group, grade) for grade in _SHOWN]) for group in GROUPS]
        total = _count([column.total(grade) for grade in _SHOWN])
        table.add_row(column.server.name, *counts, total)
    return table


_SHOWN = (Grade.RIGHT, *FAULTS)


def _count(counts: list[int]) -> str:
    right, *faults = counts
    shown = (
        f"[{_STYLE[grade]}]{count}[/]" if count else "·"
        for grade, count in zip(FAULTS, faults, strict=True)
    )
    return " ".join((str(right), *shown))


def _faults(console: Console, column: Column, *, verbose: bool) -> None:
    console.print(f"\n[bold]{column.server.name}[/bold] ({column.version})")
    for check in rows():
        cell = column.cells.get(check.id)
        if cell and cell.finding.grade in FAULTS:
            _fault(console, check, cell)
            if verbose:
                _exchanges(console, cell)


def _fault(console: Console, check: Check, cell: Cell) -> None:
    grade = cell.finding.grade
    assert grade is not None
    mark = f"[{_STYLE[grade]}]{grade.value.split()[0]:7}[/]"
    reason = escape(cell.finding.reason)
    console.print(f"  {mark} {check.id:20} {check.rfc:16} {escape(check.promise)}: {reason}")


def _exchanges(console: Console, cell: Cell) -> None:
    for asked, answer in cell.exchanges[-4:]:
        console.print(f"        > {escape(asked)}", style="dim")
        for line in _head(answer):
            console.print(f"        < {escape(line)}", style="dim")


def _head(answer: Answer) -> list[str]:
    fields = [f"{name}: {value}" for name, value in answer.fields]
    faults = [f"! {fault}" for fault in answer.faults]
    size = f"({len(answer.content)} octets)"
    return [f"{answer.version} {answer.status}", *fields, size, *faults]
