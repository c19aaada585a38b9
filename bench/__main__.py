"""`python -m bench`: measure everyone side by side and write a report."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

try:
    import click
    from rich.console import Console

    from bench import (
        contenders,
        growth,
        growth_report,
        machine,
        pages,
        report,
        results,
        session,
        soak,
    )
except ModuleNotFoundError as error:
    package = str(error.name).partition(".")[0]
    sys.exit(f"python -m bench needs {package}, which is not here: pip install '.[bench]'")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "bench" / "results"
README = REPOSITORY / "README.md"
SOAK_PAGE = REPOSITORY / "docs" / "soak.md"


@click.group(invoke_without_command=True)
@click.option("--quick", is_flag=True, help="Fewer works and rounds: under 90 seconds.")
@click.option("--only", metavar="NAMES", help="Contenders, separated by commas.")
@click.option("--work", metavar="NAMES", help="Works, separated by commas: 1k,304+browser,slow.")
@click.option("--rounds", type=click.IntRange(1), help="Turns of each contender in each work.")
@click.option("--seconds", type=click.FloatRange(0.1), help="Length of a turn.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the report to this directory.")
@click.option("--list", "listing", is_flag=True, help="Name contenders and works, and stop.")
@click.pass_context
def main(
    context: click.Context,
    quick: bool,
    only: str | None,
    work: str | None,
    rounds: int | None,
    seconds: float | None,
    out: Path | None,
    listing: bool,
) -> None:
    """Compare file servers by the CPU time a request costs them.

    A full run writes its report to bench/results/<date>/; any other run only where --out says.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    if context.invoked_subcommand:
        return
    if listing:
        _list_names()
        return
    plan = session.make_plan(quick=quick, only=only, work=work, rounds=rounds, seconds=seconds)
    if out is None and not (quick or only or work):
        out = _today()
    _run(plan, out)


def _run(plan: session.Plan, out: Path | None) -> None:
    with _scratch() as folder, report.progress(Console(stderr=True), plan.turns) as tick:
        result = session.run_plan(plan, folder, tick)
    report.show(result, Console())
    if out:
        report.write(result, out)
        click.echo(f"Written to {out}/; python -m bench readme {out} quotes it in the README")


def _list_names() -> None:
    for contender in contenders.ALL:
        missing = "; ".join(contender.missing())
        click.echo(f"{contender.name:<24}{contender.title}{f'  ({missing})' if missing else ''}")
    click.echo(f"\nworks: {', '.join(session.FULL)}")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Leave as on Ctrl-C, so that every server is stopped on the way out."""
    raise KeyboardInterrupt


@main.command("report")
@click.argument("first", type=click.Path(exists=True, path_type=Path))
@click.argument("second", required=False, type=click.Path(exists=True, path_type=Path))
def report_command(first: Path, second: Path | None) -> None:
    """Show one result in full and draw it anew, or compare two (directories or JSON files)."""
    console = Console()
    before = results.load(first)
    if second:
        report.show_comparison(before, results.load(second), console)
        return
    report.show(before, console, everything=True)
    if first.is_dir():
        report.write(before, first)


@main.command("readme")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--check", is_flag=True, help="Change nothing; fail when it says something else.")
def readme_command(folder: Path, check: bool) -> None:
    """Write the figures of a report into README.md."""
    place = Path(os.path.relpath(folder, README.parent)).as_posix()
    before = README.read_text()
    after = pages.rewritten(before, results.load(folder), place)
    if check and before != after:
        raise click.ClickException(f"README.md is not what {place} says; leave out --check")
    README.write_text(after)


@main.command("growth")
@click.option("--out", type=click.Path(path_type=Path), help="Write points and plot here.")
def growth_command(out: Path | None) -> None:
    """Measure how cost grows with files, connections and workers, and plot it."""
    where, out = machine.describe(), out or _today()
    with _scratch() as folder, _status() as say:
        points = list(growth.measure(folder, say))
    for table in growth_report.tables(points):
        report.show_table(table, Console())
    growth_report.write(points, where, out)
    click.echo(f"Written to {out}/")


@main.command("soak")
@click.option("--only", default="asyncstatic-serve", help="The contender.")
@click.option("--requests", default=2_000_000, help="How many requests at least.")
@click.option("--out", type=click.Path(path_type=Path), default=SOAK_PAGE, help="The page.")
def soak_command(only: str, requests: int, out: Path) -> None:
    """Send millions of mixed requests and see whether anything grows; writes docs/soak.md."""
    with _scratch() as folder, _status() as say:
        looks = soak.soak(only, requests, folder, say)
    out.write_text(soak.page(only, looks))
    click.echo(soak.verdict(looks))


@contextmanager
def _scratch() -> Iterator[Path]:
    """Give an empty directory; servers may read it as another user."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def _status() -> Iterator[Callable[[str], None]]:
    """Show one line that says what is being done; give the function that changes it."""
    with Console(stderr=True).status("starting") as status:
        yield lambda words: status.update(words)


def _today() -> Path:
    return RESULTS / f"{datetime.now(UTC):%Y-%m-%d}"


if __name__ == "__main__":
    sys.exit(main())
