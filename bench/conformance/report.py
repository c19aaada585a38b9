"""``docs/supported-http.md``: the template's prose, with the measured tables put in their places."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.conformance.catalogue import GROUPS
from bench.conformance.check import Check, Group
from bench.conformance.examine import Column, rows
from bench.conformance.findings import FAULTS, Grade

TEMPLATE = Path(__file__).with_name("supported-http.template.md")
PAGE = Path(__file__).parents[2] / "docs" / "supported-http.md"
SYMBOLS = {
    Grade.RIGHT: "✓",
    Grade.WEAK: "~",
    Grade.WRONG: "✗",
    Grade.DECIDED: "◇",
    Grade.NOT_OFFERED: "·",
}


def write(http1: Sequence[Column], http2: Sequence[Column]) -> None:
    """Render the page from what was found over both HTTP versions."""
    http1, http2 = _measured(http1), _measured(http2)
    blocks = {
        "servers": _servers(http1),
        "summary": _summary(http1),
        "summary-http2": _summary(http2, without_wire=True),
        "details": _details(http1),
        "reasons": _reasons(http1, http2),
    }
    text = TEMPLATE.read_text("utf-8")
    for name, block in blocks.items():
        text = text.replace(f"<!-- generated: {name} -->", _marked(name, block))
    PAGE.write_text(text, "utf-8")


def _measured(columns: Sequence[Column]) -> list[Column]:
    return [column for column in columns if not column.absence]


def _marked(name: str, block: str) -> str:
    begin = f"<!-- generated: {name}, by python -m bench.conformance --write; do not edit -->"
    return f"{begin}\n{block}\n<!-- end generated: {name} -->"


def table(head: Sequence[str], body: Iterable[Sequence[str]], left: int = 1) -> str:
    """Lay out a Markdown table; the columns after the first ``left`` are centred."""
    rule = ["---"] * left + [":-:"] * (len(head) - left)
    lines = [head, rule, *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _servers(columns: Sequence[Column]) -> str:
    body = [(f"**{c.server.name}**", c.server.about, c.version) for c in columns]
    day = f"{datetime.now(UTC):%d %B %Y}"
    measured = f"Measured {day} with Python {platform.python_version()} on {platform.system()}."
    return table(("server", "configuration", "version"), body, left=3) + f"\n\n{measured}"


def _summary(columns: Sequence[Column], *, without_wire: bool = False) -> str:
    groups = [g for g in GROUPS if not (without_wire and all(check.wire for check in g.checks))]
    head = ("server", *(group.title for group in groups), "together")
    body = []
    for column in columns:
        counts = [_counts([column.count(group, grade) for grade in Grade]) for group in groups]
        together = _counts([column.total(grade) for grade in Grade])
        body.append((f"**{column.server.name}**", *counts, f"**{together}**"))
    return table(head, body)


def _counts(counts: Sequence[int]) -> str:
    """Right, then what is not: ``48 · 2~ 1✗``; a server without faults shows one number."""
    by_grade = dict(zip(Grade, counts, strict=True))
    faults = [f"{by_grade[grade]}{SYMBOLS[grade]}" for grade in FAULTS if by_grade[grade]]
    return " ".join((str(by_grade[Grade.RIGHT]), *faults))


def _details(columns: Sequence[Column]) -> str:
    return "\n\n".join(f"### {g.title} (RFC {g.rfc})\n\n{_group(g, columns)}" for g in GROUPS)


def _group(group: Group, columns: Sequence[Column]) -> str:
    head = ("required", "RFC", "", *(column.server.name for column in columns))
    body = [_line(check, columns) for check in group.checks]
    return table(head, body, left=3)


def _line(check: Check, columns: Sequence[Column]) -> list[str]:
    found = (column.cells[check.id].finding.grade for column in columns)
    symbols = [SYMBOLS[grade] for grade in found if grade]
    promise = f"{_safe(check.promise)} <sub>`{check.id}`</sub>"
    return [promise, check.rfc.removeprefix("RFC "), check.level.value, *symbols]


def _reasons(http1: Sequence[Column], http2: Sequence[Column]) -> str:
    """Everything that is not right, a folded list for each server."""
    over_http2 = {column.server.name: _faults(column) for column in http2}
    lists = [_folded(column, over_http2.get(column.server.name, {})) for column in http1]
    return "\n\n".join(text for text in lists if text) or "None."


def _folded(column: Column, over_http2: dict[str, str]) -> str:
    """Give one server's faults; those that only HTTP/2 shows come last."""
    faults = _faults(column)
    only = {name: line for name, line in over_http2.items() if name not in faults}
    if not faults and not only:
        return ""
    counts = ", ".join(f"{column.total(grade)} {grade.value}" for grade in FAULTS)
    title = f"<summary><b>{column.server.name}</b>: {counts}</summary>"
    more = ["", "Over HTTP/2 only:", "", *only.values()] if only else []
    return "\n".join(["<details>", title, "", *faults.values(), *more, "", "</details>"])


def _faults(column: Column) -> dict[str, str]:
    """Give a line for each row that is not right, by the row's id."""
    lines = {}
    for check in rows():
        cell = column.cells.get(check.id)
        if cell and cell.finding.grade in FAULTS:
            mark, said = SYMBOLS[cell.finding.grade], _safe(cell.finding.reason)
            row = f"`{check.id}` ({_cited(check)}) {_safe(check.promise)}"
            lines[check.id] = f"* {mark} {row}: *{said}*"
    return lines


def _cited(check: Check) -> str:
    """Give "RFC 9110 §14.2", or what a row without an RFC says of itself."""
    return check.rfc if "RFC" in check.rfc else f"RFC {check.rfc}"


def _safe(text: str) -> str:
    """Keep what servers and targets say from being Markdown or HTML."""
    for mark in "\\`*_|<>[]":
        text = text.replace(mark, f"&#{ord(mark)};")
    return text
