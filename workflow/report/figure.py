"""The overview as one picture for a README or a slide: headline differences above, a strip of the gallery below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import IO

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from workflow.report.appearance import Look
from workflow.report.build import looks_of
from workflow.report.comparisons import Table, headline, tables
from workflow.report.formats import column_name
from workflow.report.gallery import Anchor, Gallery, galleries
from workflow.report.inputs import ReportError, Results

__all__ = ["overview"]

_MARKERS = ("o", "D", "s", "^", "v", "|", "*", "h")
"""matplotlib's names of the shapes in `appearance.LOOKS`, by slot."""

_WRONG = "#c1121f"
_ANCHORS, _FINDS = 3, 6


def overview(results: Results, file: IO[bytes]) -> None:
    """Write the overview as PNG.

    Raises:
        ReportError: if no headline comparison has been tested yet.
    """
    looks = looks_of(results)
    blocks = [
        (table, numbers)
        for table, numbers in headline(results, tables(results))
        if any(cell and cell.effect for row in table.rows for cell in row.cells)
    ]
    if not blocks:
        raise ReportError("no headline comparison is finished, so there is no overview to draw; run `snakemake` first")
    shown = _galleries(results)
    rows = max(_count(table, numbers) for table, numbers in blocks)
    heights = [0.34 * rows + 1.0, *([0.95 * _ANCHORS + 0.5] if shown else [])]
    figure = Figure(figsize=(11, sum(heights) + 0.3), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)
    for axes, (table, numbers) in zip(parts[0, 0].subplots(1, len(blocks), squeeze=False)[0], blocks, strict=True):
        _forest(axes, table, numbers, looks)
    if shown:
        for part, gallery in zip(parts[1, 0].subfigures(1, len(shown), squeeze=False)[0], shown, strict=True):
            grid = part.subplots(_ANCHORS, _FINDS + 1, squeeze=False)
            part.suptitle(
                f"Found by {gallery.run.detector} on {gallery.run.experiment}: anchor, then finds", fontsize=10
            )
            for line, axes_row in enumerate(grid):
                _strip(axes_row, gallery.anchors[line] if line < len(gallery.anchors) else None)
    figure.savefig(file, format="png", metadata={"Software": None})


def _count(table: Table, numbers: Sequence[int]) -> int:
    return sum(1 + sum(1 for row in table.rows if (cell := row.cells[n]) and cell.effect) for n in numbers)


def _galleries(results: Results) -> list[Gallery]:
    """GloFND's gallery of each experiment."""
    chosen: dict[str, Gallery] = {}
    for gallery in galleries(results):
        if results.method(gallery.run.experiment, gallery.run.detector) == "glofnd":
            chosen.setdefault(gallery.run.experiment, gallery)
    return list(chosen.values())


def _forest(axes: Axes, table: Table, numbers: Sequence[int], looks: dict[str, Look]) -> None:
    y, ticks, names = 0.0, [], []
    for number in numbers:
        column = table.columns[number]
        name = column_name(table.evaluation, column.dataset, column.split, column.metric, column.fraction)
        axes.text(0.0, y, name, transform=axes.get_yaxis_transform(), fontsize=9, fontweight="bold", va="center")
        y += 1
        for row in table.rows:
            cell = row.cells[number]
            if cell is None or cell.effect is None:
                continue
            effect, look = cell.effect, looks[row.label]
            if not math.isnan(effect.low):
                axes.plot([100 * effect.low, 100 * effect.high], [y, y], color=look.light, linewidth=1.8)
            seeds = [100 * value for value in effect.seeds.values()]
            axes.plot(seeds, [y + 0.28] * len(seeds), ".", color=look.light, markersize=4, alpha=0.7)
            axes.plot(100 * effect.difference, y, _MARKERS[look.slot], color=look.light, markersize=6)
            ticks.append(y)
            names.append(row.label)
            y += 1
    axes.axvline(0, color="#444444", linewidth=1)
    axes.set_yticks(ticks, names, fontsize=9)
    axes.set_ylim(y - 0.4, -0.7)
    axes.set_xlabel("difference to none, percentage points", fontsize=9)
    axes.set_title(f"{table.experiment}: {table.evaluation}", fontsize=10, loc="left")
    axes.tick_params(axis="x", labelsize=9)
    axes.grid(axis="x", color="#e3e3e3", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _strip(axes_row: Sequence[Axes], anchor: Anchor | None) -> None:
    for axes in axes_row:
        axes.set_axis_off()
    if anchor is None:
        return
    axes_row[0].imshow(anchor.image, interpolation="nearest")
    axes_row[0].set_title(anchor.name, fontsize=7, fontweight="bold", pad=3)
    for axes, find in zip(axes_row[1:], anchor.finds, strict=False):
        axes.imshow(find.image, interpolation="nearest")
        mark = "" if find.correct else "wrong, "
        axes.set_title(f"{mark}{find.similarity:.2f}", fontsize=7, pad=3, color="#222222" if find.correct else _WRONG)
        if not find.correct:
            axes.plot([0.02, 0.98], [0.02, 0.98], color=_WRONG, linewidth=1.6, transform=axes.transAxes)
            axes.plot([0.02, 0.98], [0.98, 0.02], color=_WRONG, linewidth=1.6, transform=axes.transAxes)
            axes.add_patch(
                Rectangle(
                    (0, 0), 1, 1, fill=False, edgecolor=_WRONG, linewidth=2.2, linestyle="--", transform=axes.transAxes
                )
            )
