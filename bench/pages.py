"""A result as Markdown: the page of the report, and the lines of it that the README quotes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bench import tables
from bench.results import REFERENCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.results import Result

PAGE_COLUMNS, README_COLUMNS = 8, 6
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"

# The part of a report that the README shows: the figures it quotes, and the rows and columns of its table.
OURS, BASELINE = "asyncstatic-serve", "flask"
QUOTED = ("200+new", "1k+browser", "64k+browser", "10m")
README_CONTENDERS = (
    OURS, "asyncstatic-serve-asyncio", "asyncstatic-serve-app",
    "asyncstatic-hypercorn", "asyncstatic-hypercorn-uvloop", "asyncstatic-quart",
    REFERENCE, "nginx-cache", "caddy", "lighttpd", "starlette", BASELINE, "quart", "hello-hypercorn",
)  # fmt: skip
README_WORKS = (
    "200+new", "200+new+query", "tags+new", "misses+new", "200+browser+paced", "200+new+paced",
    "64k+browser+paced", "first+browser", "second+browser",
    "1k", "1k+browser",
    "64k", "64k+browser", "10m", "100m", "304", "range", "precompressed", "miss", "files",
)  # fmt: skip


class MarksMissingError(Exception):
    """The README has no place for the figures."""


def report(result: Result) -> str:
    """Return all tables as one page."""
    parts = [f"# Benchmark\n\n{tables.circumstances(result)}\n"]
    for table in tables.all_tables(result):
        parts += [tables.markdown(part) for part in tables.columns(table, PAGE_COLUMNS)]
    if sentences := tables.exceptions(result):
        parts.append(f"## Left out, or otherwise\n\n{_list(sentences)}\n")
    parts.append(f"## Versions\n\n{_versions(result)}\n")
    return "\n".join(parts)


def rewritten(readme: str, result: Result, folder: str) -> str:
    """Return the text of the README with what stands between its marks written anew.

    Args:
        readme: the text as it is.
        result: the result to quote.
        folder: where its report is, relative to the README.

    Raises:
        MarksMissingError: there is no place between marks.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise MarksMissingError(f"no {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n\n{section(result, folder)}\n{END}{after}"


def section(result: Result, folder: str) -> str:
    """Return the README's part: a few figures, what is not in our favour, a table, a plot."""
    introduction = (
        "CPU time per request of the whole process tree, in microseconds. All of it is in\n"
        f"[this report]({folder}/table.md), with the other contenders, latency and memory."
    )
    machine = f"Measured on: {tables.circumstances(result)}"
    plot = f"![CPU per request by size]({folder}/cost.png)"
    quoted, worse = tables.grid(_quoted(result)), _unfavourable(result)
    parts = (introduction, quoted, worse, *_excerpt(result), plot, machine)
    return "\n\n".join(part for part in parts if part) + "\n"


def _quoted(result: Result) -> tables.Table:
    """Return the quoted figures beside those of the reference and the baseline."""
    who = (OURS, REFERENCE, BASELINE)
    lines = []
    for work in (work for work in QUOTED if work in result.works()):
        figures = (*(result.figure(name, work) for name in who), result.ratio(OURS, work))
        lines.append((result.titles[work], *map(_shown, figures)))
    titles = (result.titles.get(name, name) for name in who)
    return tables.Table("", "", ("", *titles, f"relative to {REFERENCE}"), tuple(lines))


def _shown(figure: float | None) -> str:
    return "-" if figure is None else tables.significant(figure)


def _unfavourable(result: Result) -> str:
    """Return the works that cost us more than the reference, the worst first."""
    ratios = {work: result.ratio(OURS, work) or 0 for work in result.works()}
    worse = sorted((work for work in ratios if ratios[work] > 1), key=ratios.__getitem__)
    named = (f"{result.titles[work]} ({_shown(ratios[work])})" for work in reversed(worse))
    if not worse:
        return ""
    return f"Where `asyncstatic serve` costs more than {REFERENCE}: {'; '.join(named)}."


def _excerpt(result: Result) -> Iterator[str]:
    """Yield the table of costs, cut to the contenders and works the README has room for."""
    rows = [
        row
        for work in README_WORKS
        for contender in README_CONTENDERS
        if (row := result.row(contender, work))
    ]
    for part in tables.columns(tables.cost(replace(result, rows=rows)), README_COLUMNS):
        yield tables.grid(part)


def _list(sentences: Sequence[str]) -> str:
    return "\n".join(f"* {sentence}" for sentence in sentences)


def _versions(result: Result) -> str:
    known = result.machine["packages"] | result.machine["programs"]
    return ", ".join(f"{name} {version}" for name, version in known.items()) + "."
