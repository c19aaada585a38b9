"""Running the rows against servers, one server after another."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.conformance.catalogue import GROUPS, features
from bench.conformance.check import Check, Group
from bench.conformance.exchange import Client, Http1Client, Log, Sent
from bench.conformance.findings import Finding, Grade
from bench.conformance.http2 import Http2Client
from bench.conformance.servers import NotStarted, Place, Server, free_port, running
from bench.conformance.site import build
from bench.conformance.told import excuse, with_probe


@dataclass(frozen=True, slots=True)
class Cell:
    """The finding of one row on one server, with the answers that show it and the last request."""

    finding: Finding
    exchanges: Log
    sent: Sent | None

    @property
    def faulty(self) -> bool:
        """Whether it is weak or wrong."""
        return self.finding.grade in (Grade.WEAK, Grade.WRONG)


@dataclass(slots=True)
class Column:
    """One server's results; ``absence`` says why there are none."""

    server: Server
    version: str
    cells: dict[str, Cell] = field(default_factory=dict)
    absence: str | None = None

    def count(self, group: Group, grade: Grade) -> int:
        """Count the rows of a group that have this grade."""
        found = (self.cells.get(check.id) for check in group.checks)
        return sum(cell is not None and cell.finding.grade is grade for cell in found)

    def total(self, grade: Grade) -> int:
        """Count the rows that have this grade."""
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
    probed = with_probe(server)
    try:
        with _client(server, http2=http2) as client:
            _ask_all(column, client, rows(wanted, http2=http2))
        if probed and any(cell.faulty for cell in column.cells.values()):
            with _client(probed, http2=http2) as client:
                _excuse(column, client)
    except NotStarted as reason:
        column.absence = f"did not start: {reason}"
    return column


@contextmanager
def _client(server: Server, *, http2: bool) -> Iterator[Client]:
    """Run a server on a fresh document root, and give a client of it."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as parent:
        site = build(Path(parent))
        scratch = Path(parent, "scratch")
        scratch.mkdir()
        place = Place(site.root, scratch, free_port())
        with running(server, place, http2=http2):
            yield (Http2Client if http2 else Http1Client)(site, place.port)


def rows(wanted: Collection[str] = (), *, http2: bool = False) -> list[Check]:
    """All rows, or those with these ids, that have a meaning over this HTTP version."""
    checks = (check for group in GROUPS for check in group.checks)
    return [c for c in checks if (not wanted or c.id in wanted) and not (http2 and c.wire)]


def _ask_all(column: Column, client: Client, checks: list[Check]) -> None:
    client.features = features(client)
    for check in checks:
        start = len(client.log)
        client.sent = None
        finding = check.find(client)
        column.cells[check.id] = Cell(finding, client.log[start:], client.sent)


def _excuse(column: Column, probed: Client) -> None:
    """Take from an application the faults that its server keeps it from avoiding."""
    for name, cell in column.cells.items():
        why = excuse(probed, cell.sent) if cell.faulty and cell.sent is not None else None
        if why:
            found = Finding(Grade.DECIDED, f"{cell.finding.reason}; {why}")
            column.cells[name] = replace(cell, finding=found)
