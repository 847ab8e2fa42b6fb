"""The overview as one picture for a README or a slide: headline differences above, a strip of the gallery below."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import IO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from workflow.report.appearance import Look
from workflow.report.build import looks_of
from workflow.report.comparisons import headline, tables
from workflow.report.gallery import Gallery, galleries
from workflow.report.inputs import ReportError, Results
from workflow.report.table import Effect, Table

__all__ = ["overview"]

_MARKERS = ("o", "D", "s", "^", "v", "|", "*", "h")
"""matplotlib's names of the shapes in `appearance.LOOKS`, by slot."""

_WRONG = "#c1121f"
_ANCHORS, _FINDS = 3, 6
_LINE = 1.3

_Line = tuple[str, Effect | None]
"""A detector with its effect, or a heading without one."""


def overview(results: Results, file: IO[bytes]) -> None:
    """Write the overview as PNG.

    Raises:
        ReportError: if no headline comparison has been tested yet.
    """
    looks = looks_of(results)
    blocks: dict[str, list[_Line]] = {}
    for table, numbers in headline(results, tables(results)):
        lines = list(_lines(table, numbers))
        if lines:
            blocks.setdefault(f"{table.experiment}, {table.objective}", []).extend(lines)
    if not blocks:
        raise ReportError("no primary comparison is finished, so there is no overview to draw; run `snakemake` first")
    shown = _galleries(results)
    rows = max(map(len, blocks.values()))
    heights = [0.24 * rows + 0.9, *([0.8 * _ANCHORS + 0.4] if shown else [])]
    figure = Figure(figsize=(11, sum(heights) + 0.2), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)
    for axes, (title, lines) in zip(
        parts[0, 0].subplots(1, len(blocks), squeeze=False)[0], blocks.items(), strict=True
    ):
        _forest(axes, title, lines, rows, looks, results)
    if shown:
        for axes, gallery in zip(parts[1, 0].subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
            _strip(axes, gallery)
    figure.savefig(file, format="png", metadata={"Software": None})


def _lines(table: Table, numbers: Sequence[int]) -> Iterator[_Line]:
    """The heading of each column, then its detectors."""
    for number in numbers:
        tested = [(row.label, cell.effect) for row in table.rows if (cell := row.cells[number]) and cell.effect]
        if tested:
            yield table.name(number), None
            yield from tested


def _galleries(results: Results) -> list[Gallery]:
    """GloFND's gallery of each experiment."""
    chosen: dict[str, Gallery] = {}
    for gallery in galleries(results):
        if results.method(gallery.run.experiment, gallery.run.detector) == "glofnd":
            chosen.setdefault(gallery.run.experiment, gallery)
    return list(chosen.values())


def _forest(
    axes: Axes, title: str, lines: Sequence[_Line], rows: int, looks: dict[str, Look], results: Results
) -> None:
    axes.axvline(0, color="#444444", linewidth=1)
    for y, (name, effect) in enumerate(lines):
        if effect is None:
            continue
        look = looks[name]
        if not math.isnan(effect.low):
            axes.plot([100 * effect.low, 100 * effect.high], [y, y], color=look.light, linewidth=1.8)
        seeds = [100 * value for value in effect.seeds.values()]
        axes.plot(seeds, [y + 0.32] * len(seeds), ".", color=look.light, markersize=3.5, alpha=0.75)
        axes.plot(100 * effect.difference, y, _MARKERS[look.slot], color=look.light, markersize=5.5)
    axes.set_yticks(range(len(lines)), [name for name, _ in lines], fontsize=8)
    for text, (name, effect) in zip(axes.get_yticklabels(), lines, strict=True):
        text.set_color("#16191d" if effect is None else looks[name].light)
        text.set_fontweight("bold" if effect is None else "normal")
    axes.set_ylim(rows - 0.4, -0.6)
    axes.set_xlabel(f"points over {results.reference} ({100 * results.confidence:g} % CI; dots: seeds)", fontsize=8)
    axes.set_title(title, fontsize=10, fontweight="bold")
    axes.grid(axis="x", color="#e3e3e3", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _strip(axes: Axes, gallery: Gallery) -> None:
    """The first anchors that have finds, one a line; each picture takes a unit square, with a line of text above it."""
    axes.set_title(f"Found by {gallery.run.detector} on {gallery.run.experiment}: anchor, then finds", fontsize=10)
    axes.set_axis_off()
    for line, anchor in enumerate([anchor for anchor in gallery.anchors if anchor.finds][:_ANCHORS]):
        y = line * _LINE
        _picture(axes, anchor.image, 0.0, y)
        axes.text(0.5, y - 0.06, _short(anchor.name), fontsize=7, fontweight="bold", ha="center", va="bottom")
        for place, find in enumerate(anchor.finds[:_FINDS]):
            x = 1.25 + place * 1.1
            _picture(axes, find.image, x, y)
            text, colour = (
                (f"{find.similarity:.2f}", "#222222") if find.correct else (f"wrong {find.similarity:.2f}", _WRONG)
            )
            axes.text(x + 0.5, y - 0.06, text, fontsize=7, color=colour, ha="center", va="bottom")
            if not find.correct:
                axes.plot(x + 0.97, y + 0.03, "o", color=_WRONG, markersize=8)
                axes.plot(x + 0.97, y + 0.03, "x", color="white", markersize=4, markeredgewidth=1.4)
                axes.add_patch(Rectangle((x, y), 1, 1, fill=False, edgecolor=_WRONG, linewidth=2.0, linestyle="--"))
    axes.set_xlim(-0.1, 1.25 + _FINDS * 1.1)
    axes.set_ylim(_ANCHORS * _LINE - 0.2, -0.35)
    axes.set_aspect("equal")


def _short(name: str) -> str:
    return name if len(name) <= 14 else f"{name[:13]}…"


def _picture(axes: Axes, image: NDArray[np.uint8], x: float, y: float) -> None:
    axes.imshow(image, extent=(x, x + 1, y + 1, y), interpolation="nearest", aspect="auto")
