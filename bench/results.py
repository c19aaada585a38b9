"""A run's results: every raw number, and the arithmetic that turns them into figures."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

REFERENCE = "nginx"


@dataclass(frozen=True)
class Sample:
    """One stretch of one work on one contender; percentiles are None where none were measured."""

    cpu_us: float
    per_second: float
    bytes_per_second: float
    p50_us: float | None
    p99_us: float | None
    peak_bytes: int
    requests: float
    seconds: float

    @property
    def busy(self) -> float:
        """The share of the time that the server was computing."""
        return self.cpu_us * self.per_second / 1e6


@dataclass
class Row:
    """All rounds of one work on one contender, or why there are none."""

    contender: str
    work: str
    samples: list[Sample] = field(default_factory=list)
    void: str | None = None
    unoffered: str | None = None
    remark: str | None = None

    def median(self, figure: str) -> float | None:
        """Return the median of one figure over the rounds; None when the row gives none."""
        known = [value for value in self.figures(figure) if value is not None]
        return median(known) if known and self.void is None else None

    def figures(self, name: str) -> list[float | None]:
        """Return one figure of each round."""
        return [getattr(sample, name) for sample in self.samples]


@dataclass(frozen=True)
class Held:
    """The cost of many slow readers of a large file, with the handles that stay open after them."""

    contender: str
    connections: int
    growth_bytes: int
    answer_ms: float | None
    handles_left: int


@dataclass
class Result:
    """One run of the bench."""

    machine: dict[str, Any]
    settings: dict[str, Any]
    titles: dict[str, str] = field(default_factory=dict)
    families: dict[str, str] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    missing: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def row(self, contender: str, work: str) -> Row | None:
        """Return one row, or None where that was not run."""
        rows = (row for row in self.rows if (row.contender, row.work) == (contender, work))
        return next(rows, None)

    def contenders(self) -> list[str]:
        """Return the names of the contenders, in their order."""
        return list(dict.fromkeys(row.contender for row in self.rows))

    def works(self) -> list[str]:
        """Return the names of the works, in their order."""
        return list(dict.fromkeys(row.work for row in self.rows))

    def figure(self, contender: str, work: str, name: str = "cpu_us") -> float | None:
        """Return the median of one figure; None where it was not measured or is void."""
        row = self.row(contender, work)
        return row.median(name) if row else None

    def ratio(
        self, contender: str, work: str, reference: str = REFERENCE, name: str = "cpu_us"
    ) -> float | None:
        """Return the median over the rounds of one figure, divided within each round."""
        row, base = self.row(contender, work), self.row(reference, work)
        if not row or not base or row.void or base.void:
            return None
        pairs = zip(row.figures(name), base.figures(name), strict=False)
        ratios = [mine / theirs for mine, theirs in pairs if mine is not None and theirs]
        return median(ratios) if ratios else None


def save(result: Result, path: Path) -> None:
    """Write a result as JSON."""
    path.write_text(json.dumps(asdict(result), indent=1) + "\n")


def load(path: Path) -> Result:
    """Read a result; `path` is the JSON file or its directory.

    Raises:
        OSError: there is none.
    """
    file = path / "result.json" if path.is_dir() else path
    raw = json.loads(file.read_text())
    rows = [Row(**row | {"samples": [Sample(**s) for s in row["samples"]]}) for row in raw["rows"]]
    held = [Held(**held) for held in raw["held"]]
    return Result(**raw | {"rows": rows, "held": held})
