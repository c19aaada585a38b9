"""Running the rows against servers, one server after another."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.conformance.catalogue import GROUPS, features
from bench.conformance.exchange import Client, Http1Client, Log
from bench.conformance.http2 import Http2Client
from bench.conformance.model import Finding, Grade
from bench.conformance.servers import NotStarted, Place, Server, free_port, running
from bench.conformance.site import build

if TYPE_CHECKING:
    from collections.abc import Collection

    from bench.conformance.model import Check, Group


@dataclass(frozen=True, slots=True)
class Cell:
    """What one row found on one server, and the answers it was found in."""

    finding: Finding
    exchanges: Log


@dataclass(slots=True)
class Column:
    """One server's results; ``absence`` says why there are none."""

    server: Server
    version: str
    cells: dict[str, Cell] = field(default_factory=dict)
    absence: str | None = None

    def count(self, group: Group, grade: Grade) -> int:
        """How many of a group's rows have this grade."""
        found = (self.cells.get(check.id) for check in group.checks)
        return sum(cell is not None and cell.finding.grade is grade for cell in found)

    def total(self, grade: Grade) -> int:
        """How many rows have this grade."""
        return sum(cell.finding.grade is grade for cell in self.cells.values())


def examine(server: Server, wanted: Collection[str] = (), *, http2: bool = False) -> Column:
    """Start a server on a fresh document root, ask everything, stop it.

    Args:
        server: which one.
        wanted: ids of the rows to run; empty for all.
        http2: ask over HTTP/2 with prior knowledge, leaving out the rows about HTTP/1.1 octets.

    Returns:
        Its column; without cells, and with ``absence`` set, when it is not installed, did not
        start, or does not speak HTTP/2 in the clear.

    """
    absence = server.absent()
    if absence or (http2 and server.http2 is None):
        return Column(server, "", absence=absence or "no HTTP/2 in the clear")
    column = Column(server, server.version())
    with tempfile.TemporaryDirectory(prefix="conformance-") as parent:
        site = build(Path(parent))
        scratch = Path(parent, "scratch")
        scratch.mkdir()
        place = Place(site.root, scratch, free_port())
        kind = Http2Client if http2 else Http1Client
        try:
            with running(server, place, http2=http2):
                _ask_all(column, kind(site, place.port), rows(wanted, http2=http2))
        except NotStarted as reason:
            column.absence = f"did not start: {reason}"
    return column


def rows(wanted: Collection[str] = (), *, http2: bool = False) -> list[Check]:
    """All rows, or those with these ids, that have a meaning over this HTTP version."""
    checks = (check for group in GROUPS for check in group.checks)
    return [c for c in checks if (not wanted or c.id in wanted) and not (http2 and c.wire)]


def _ask_all(column: Column, client: Client, checks: list[Check]) -> None:
    client.features = features(client)
    for check in checks:
        start = len(client.log)
        finding = check.find(client)
        column.cells[check.id] = Cell(finding, client.log[start:])
