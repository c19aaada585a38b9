"""Plots of a result: a dot for every figure, in colours and shapes all can tell apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from bench.machine import in_a_sentence
from bench.tables import MIB, significant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from bench.results import Result

# Okabe and Ito's palette, and a shape for each, so that the families differ without colour too.
STYLES = {
    "asyncstatic": ("#D55E00", "D"),
    "file server": ("#0072B2", "s"),
    "Python": ("#009E73", "o"),
    "floor": ("#777777", "^"),
}
SIZES = ("200+new", "1k", "64k", "10m", "100m")
ROW_INCHES, PANEL_INCHES = 0.3, 3.0


@dataclass(frozen=True)
class Panel:
    """One column of dots: a title, the figure of each contender that has one, remarks on some."""

    title: str
    figures: dict[str, float]
    remarks: dict[str, str] = field(default_factory=dict)


def draw_all(result: Result, folder: Path) -> None:
    """Draw cost, throughput and memory, as far as the result has them, as PNG and SVG."""
    cost = _by_size(result, result.figure)
    _draw(result, cost, "CPU time per request, microseconds (less is better)", folder / "cost")
    rate = _by_size(result, lambda who, work: result.figure(who, work, "per_second"))
    title = "Requests per second, one worker on one core"
    _draw(result, rate, title, folder / "throughput", more_is_better=True)
    memory = _memory(result)
    _draw(result, memory, "Memory, MiB (less is better)", folder / "memory")


def save(figure: Figure, path: Path) -> None:
    """Save a figure in both formats, alike each time; `path` has no suffix yet."""
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": path.name}):
        for suffix, unwanted in (("png", "Software"), ("svg", "Date")):
            figure.savefig(
                path.with_suffix(f".{suffix}"), dpi=150, bbox_inches="tight",
                metadata={unwanted: None},
            )  # fmt: skip


def tick(value: float, _position: int | None = None) -> str:
    """Return the label of a tick, short enough to stand beside its neighbours."""
    return f"{value / 1e6:,.10g} M" if value >= 1e6 else f"{value:,.10g}"


def _by_size(result: Result, figure: Callable[[str, str], float | None]) -> list[Panel]:
    return [
        Panel(result.titles[work], _known({who: figure(who, work) for who in result.contenders()}))
        for work in SIZES
        if work in result.works()
    ]


def _memory(result: Result) -> list[Panel]:
    """Return the peak in the first work, and the growth under slow readers."""
    first = result.works()[0]
    peaks = {who: result.figure(who, first, "peak_bytes") for who in result.contenders()}
    peak = {who: value / MIB for who, value in _known(peaks).items()}
    growth = {held.contender: max(held.growth_bytes / MIB, 0.1) for held in result.held}
    silent = {held.contender: ", but no answer" for held in result.held if not held.answer_ms}
    return [
        Panel(f"peak, {result.titles[first]}", peak),
        Panel("growth with 1,000 slow readers", growth, silent),
    ]


def _known(figures: dict[str, float | None]) -> dict[str, float]:
    return {who: value for who, value in figures.items() if value}


def _draw(
    result: Result, panels: Sequence[Panel], title: str, path: Path, *, more_is_better: bool = False
) -> None:
    """Draw panels side by side, one line for each contender, the best on top.

    A contender's first figure gives its place: a floor has none in the first panel.
    """
    panels = [panel for panel in panels if panel.figures]
    if not panels:
        return
    first = {who: panel.figures[who] for panel in reversed(panels) for who in panel.figures}
    order = sorted(first, key=first.__getitem__, reverse=not more_is_better)
    figure = Figure(figsize=(2.5 + PANEL_INCHES * len(panels), 1.2 + ROW_INCHES * len(order)))
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, panel in zip(axes, panels, strict=True):
        _dots(axis, panel, order, result.families)
    axes[0].set_yticks(range(len(order)), [result.titles[who] for who in order])
    _highlight(axes[0], order, result.families)
    figure.suptitle(title, x=0.02, ha="left", fontsize=13)
    figure.legend(handles=_legend(), loc="upper right", ncols=len(STYLES), frameon=False)
    figure.text(0.02, -0.01, in_a_sentence(result.machine), fontsize=8, color="#555555")
    figure.tight_layout(rect=(0, 0, 1, 0.97))
    save(figure, path)


def _dots(axis: Axes, panel: Panel, order: Sequence[str], families: dict[str, str]) -> None:
    """Draw one panel; the figure stands beside its dot."""
    for line, who in enumerate(order):
        if (value := panel.figures.get(who)) is not None:
            colour, marker = STYLES[families[who]]
            axis.plot(value, line, marker, color=colour, markersize=7, clip_on=False)
            axis.annotate(
                significant(value) + panel.remarks.get(who, ""),
                (value, line), (8, 0), textcoords="offset points",
                va="center", fontsize=8,
            )  # fmt: skip
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(FuncFormatter(tick))
    axis.set_xlim(min(panel.figures.values()) / 1.5, max(panel.figures.values()) * 6)
    axis.set_title(panel.title, fontsize=10)
    axis.grid(axis="both", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.tick_params(axis="y", length=0)


def _highlight(axis: Axes, order: Sequence[str], families: dict[str, str]) -> None:
    """Set our own names in bold."""
    for label, who in zip(axis.get_yticklabels(), order, strict=True):
        if families[who] == "asyncstatic":
            label.set_fontweight("bold")


def _legend() -> list[Line2D]:
    return [
        Line2D([], [], color=colour, marker=marker, linestyle="none", label=family)
        for family, (colour, marker) in STYLES.items()
    ]
