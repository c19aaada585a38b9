"""The growth of cost as JSON, as tables and as a plot."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bench import contenders, plots
from bench.growth import AXES, NAMES
from bench.machine import in_a_sentence
from bench.tables import MIB, Table, markdown, significant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import Any

    from matplotlib.axes import Axes

    from bench.growth import Point

FIGURES = (
    ("CPU per request, microseconds", "cpu_us", 1),
    ("Peak memory, MiB", "peak_bytes", 1 / MIB),
    ("Resident memory, MiB", "resident_bytes", 1 / MIB),
)
COLOURS = ("#D55E00", "#E69F00", "#0072B2")
MARKERS = ("D", "o", "s")
CLOSE = 1.5  # figures whose labels would touch


def write(points: Sequence[Point], machine: dict[str, Any], folder: Path) -> None:
    """Write the points to a directory: growth.json, growth.md and the plot."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {"machine": machine, "points": [asdict(point) for point in points]}
    (folder / "growth.json").write_text(json.dumps(document, indent=1) + "\n")
    where = f"# Growth\n\n{in_a_sentence(machine)}; {machine['date']}.\n"
    (folder / "growth.md").write_text("\n".join((where, *map(markdown, tables(points)))))
    plots.save(_figure(points, machine), folder / "growth")


def tables(points: Sequence[Point]) -> Iterator[Table]:
    """Yield a table of each figure for each thing that grows."""
    for title, name, factor in FIGURES:
        for grows, label in AXES.items():
            own = {(p.contender, p.size): getattr(p, name) for p in points if p.grows == grows}
            if any(own.values()):
                yield _table(f"{title}: {label}", own, factor)


def _table(title: str, figures: dict[tuple[str, int], float | None], factor: float) -> Table:
    """Return one table: contenders down, sizes across."""
    sizes = sorted({size for _, size in figures})
    lines = tuple(
        (_title(name), *(_shown(figures[name, size], factor) for size in sizes))
        for name in NAMES
        if (name, sizes[0]) in figures
    )
    return Table(title, "Flat is good.", ("", *(f"{size:,}" for size in sizes)), lines)


def _shown(figure: float | None, factor: float) -> str:
    return "void" if figure is None else significant(figure * factor)


def _title(name: str) -> str:
    return contenders.BY_NAME[name].title


def _figure(points: Sequence[Point], machine: dict[str, Any]) -> Figure:
    """Draw cost over size, one panel for each thing that grows."""
    figure = Figure(figsize=(16, 4))
    panels = figure.subplots(1, len(AXES), sharey=True)
    for axis, (grows, label) in zip(panels, AXES.items(), strict=True):
        _panel(axis, [point for point in points if point.grows == grows and point.cpu_us])
        axis.set_xscale("linear" if grows == "workers" else "log")
        axis.set_xlabel(label)
        _ticks(axis, {point.size for point in points if point.grows == grows})
    title = "CPU time per request, microseconds (flat is good)"
    figure.suptitle(title, x=0.02, ha="left", fontsize=13)
    lines, names = panels[0].get_legend_handles_labels()
    figure.legend(lines, names, loc="upper right", ncols=len(NAMES), frameon=False)
    figure.text(0.02, -0.02, in_a_sentence(machine), fontsize=8, color="#555555")
    figure.tight_layout(rect=(0, 0, 1, 0.97))
    return figure


def _ticks(axis: Axes, sizes: set[int]) -> None:
    """Mark the sizes that were measured, and plain figures of cost."""
    axis.set_yscale("log")
    axis.set_xticks(sorted(sizes))
    axis.minorticks_off()
    axis.tick_params(labelsize=8)
    for scale in (axis.xaxis, axis.yaxis):
        scale.set_major_formatter(FuncFormatter(plots.tick))


def _panel(axis: Axes, points: Sequence[Point]) -> None:
    """Draw a line for each contender, and each figure beside its dot."""
    for name, colour, marker in zip(NAMES, COLOURS, MARKERS, strict=True):
        own = [(point.size, point.cpu_us or 0) for point in points if point.contender == name]
        if own:
            axis.plot(*zip(*own, strict=True), color=colour, marker=marker, label=_title(name))
    for point in points:
        _label(axis, point, [other for other in points if other.size == point.size])
    axis.grid(color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.margins(x=0.08, y=0.12)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _label(axis: Axes, point: Point, same_size: Sequence[Point]) -> None:
    """Write a figure above its dot, or below where another one is close above."""
    cost = point.cpu_us or 0
    crowded = any(cost < (other.cpu_us or 0) < cost * CLOSE for other in same_size)
    axis.annotate(
        significant(cost), (point.size, cost), (0, -15 if crowded else 7),
        textcoords="offset points", ha="center", fontsize=8,
    )  # fmt: skip
