"""A result made visible: in the terminal, as Markdown, as plots."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import rich.table
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import plots, results, tables
from bench.machine import in_a_sentence

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import Console

    from bench.results import Result
    from bench.run import Tick

TERMINAL_COLUMNS = 7
PAGE_COLUMNS = 8


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
        for part in tables.columns(table, TERMINAL_COLUMNS):
            console.print(_rich(part))
    for sentence in tables.exceptions(result):
        console.print(sentence, style="yellow", markup=False, highlight=False)
    console.print(_where(result), style="dim", markup=False, highlight=False)


def show_table(table: tables.Table, console: Console) -> None:
    """Print one table."""
    console.print(_rich(table))


def show_comparison(before: Result, after: Result, console: Console) -> None:
    """Print two results side by side."""
    after = replace(after, titles={name: name for name in after.titles})
    console.print(_rich(tables.comparison(before, after)))
    console.print(f"before: {_where(before)}\nafter:  {_where(after)}", style="dim", markup=False)


def write(result: Result, folder: Path) -> None:
    """Write a result to a directory: the raw numbers, the tables, the plots."""
    folder.mkdir(parents=True, exist_ok=True)
    results.save(result, folder / "result.json")
    (folder / "table.md").write_text(page(result))
    plots.draw_all(result, folder)


def page(result: Result) -> str:
    """Return all tables as one Markdown page."""
    parts = [f"# Benchmark\n\n{_where(result)}\n"]
    for table in tables.all_tables(result):
        parts += [tables.markdown(part) for part in tables.columns(table, PAGE_COLUMNS)]
    if sentences := tables.exceptions(result):
        parts.append(
            "## Left out\n\n" + "\n".join(f"* {sentence}" for sentence in sentences) + "\n"
        )
    parts.append("## Versions\n\n" + _versions(result) + "\n")
    return "\n".join(parts)


def _where(result: Result) -> str:
    settings = result.settings
    return (
        f"{in_a_sentence(result.machine)}; load by {settings['generator']}, "
        f"{settings['rounds']} rounds of {settings['turn_seconds']} s; "
        f"{result.machine['date']}, commit {result.machine['commit']}."
    )


def _versions(result: Result) -> str:
    known = result.machine["packages"] | result.machine["programs"]
    return ", ".join(f"{name} {version}" for name, version in known.items()) + "."


def _rich(table: tables.Table) -> rich.table.Table:
    shown = rich.table.Table(title=table.title, caption=table.note or None, title_justify="left")
    for number, name in enumerate(table.head):
        shown.add_column(name, justify="right" if number else "left", overflow="fold")
    for line in table.lines:
        shown.add_row(*line, style="bold" if "asyncstatic" in line[0] else None)
    return shown
