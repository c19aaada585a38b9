"""A result made visible: in the terminal, and as the files of a report."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import rich.table
from rich.box import SIMPLE_HEAD
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import pages, plots, results, tables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import Console

    from bench.results import Result
    from bench.run import Tick


@contextmanager
def progress(console: Console, turns: int) -> Iterator[Tick]:
    """Show whose turn it is; the block gets the function to call before each turn."""
    bar = Progress(
        TextColumn("{task.description:<40}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), console=console, transient=True,
    )  # fmt: skip
    with bar:
        task = bar.add_task("starting", total=turns)
        yield lambda work, who: bar.update(task, description=f"{work}: {who}", advance=1)


def show(result: Result, console: Console, *, everything: bool = False) -> None:
    """Print the costs - or `everything` -, and what needs to be said beside them."""
    short = replace(result, titles={name: name for name in result.titles})
    for table in tables.all_tables(short) if everything else tables.costs(short):
        show_table(table, console)
    for sentence in tables.exceptions(result):
        console.print(sentence, style="yellow", markup=False, highlight=False)
    console.print(tables.circumstances(result), style="dim", markup=False, highlight=False)


def show_table(table: tables.Table, console: Console) -> None:
    """Print one table, in pieces where it is too wide."""
    for piece in tables.fitting(table, console.width):
        console.print(piece.title, style="bold", highlight=False)
        console.print(_rich(piece))
        console.print(f"{piece.note}\n", style="dim", highlight=False)


def show_comparison(before: Result, after: Result, console: Console) -> None:
    """Print two results side by side."""
    after = replace(after, titles={name: name for name in after.titles})
    show_table(tables.comparison(before, after), console)
    console.print(
        f"before: {tables.circumstances(before)}\nafter:  {tables.circumstances(after)}",
        style="dim",
        markup=False,
    )


def write(result: Result, folder: Path) -> None:
    """Write a result to a directory: the raw numbers, the tables, the plots."""
    folder.mkdir(parents=True, exist_ok=True)
    results.save(result, folder / "result.json")
    (folder / "table.md").write_text(pages.report(result))
    plots.draw_all(result, folder)


def _rich(table: tables.Table) -> rich.table.Table:
    shown = rich.table.Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, tables.AIR, 0, 0))
    for number, name in enumerate(table.head):
        shown.add_column(
            name, justify="right" if number else "left", no_wrap=not number, overflow="fold"
        )
    for line in table.lines:
        shown.add_row(*line, style="bold" if "asyncstatic" in line[0] else None)
    return shown
