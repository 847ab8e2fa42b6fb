"""Forest plots of the paired differences: one line of a table per detector.

Text stays text (readable on a phone, selectable, read aloud); only marks are drawn, at percentages of the width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from markupsafe import Markup

from workflow.report.appearance import Look
from workflow.report.formats import points
from workflow.report.svg import element, markup, tick_digits, tick_values
from workflow.report.table import Effect, Table

__all__ = ["Forest", "ForestGroup", "ForestLine", "forest"]

_EDGE = 4.0
"""Percent of the width left free at both ends, for marks and tick labels."""


@dataclass(frozen=True)
class ForestLine:
    """One detector."""

    label: str
    effect: Effect
    picture: Markup


@dataclass(frozen=True)
class ForestGroup:
    """The detectors of one column."""

    name: str
    lines: list[ForestLine]


@dataclass(frozen=True)
class Forest:
    """All comparisons of one table on one scale; `axis` is drawn once below them."""

    table: Table
    groups: list[ForestGroup]
    axis: Markup


def forest(table: Table, looks: dict[str, Look], numbers: Sequence[int] | None = None) -> Forest | None:
    """The forest plot of a table's columns (all, or those of the given numbers); `None` if nothing was tested."""
    wanted = range(len(table.columns)) if numbers is None else numbers
    effects = [
        (number, row.label, cell.effect)
        for number in wanted
        for row in table.rows
        if (cell := row.cells[number]) is not None and cell.effect is not None
    ]
    if not effects:
        return None
    shown = [
        100 * v for _, _, e in effects for v in (e.difference, e.low, e.high, *e.seeds.values()) if not math.isnan(v)
    ]
    scale = Scale.around([*shown, 0.0])
    groups = []
    for number in dict.fromkeys(number for number, _, _ in effects):
        lines = [ForestLine(label, e, _row(e, looks[label], scale)) for n, label, e in effects if n == number]
        groups.append(ForestGroup(table.title(number), lines))
    return Forest(table, groups, _axis(scale))


@dataclass(frozen=True)
class Scale:
    """A horizontal axis: its ends and the round numbers between them, in percentage points."""

    low: float
    high: float
    ticks: list[float]

    @classmethod
    def around(cls, values: Sequence[float]) -> Scale:
        """The scale that just holds all values."""
        low, high = min(values), max(values)
        if high - low < 1e-9:
            low, high = low - 0.5, high + 0.5
        return cls(low, high, [tick for tick in tick_values(low, high, 4) if low - 1e-9 <= tick <= high + 1e-9])

    def place(self, value: float) -> str:
        """A value as a percentage of the picture's width."""
        return f"{_EDGE + (100 - 2 * _EDGE) * (value - self.low) / (self.high - self.low):.2f}%"


def _canvas(height: int, css: str) -> ElementTree.Element:
    return ElementTree.Element("svg", {"class": css, "width": "100%", "height": str(height), "aria-hidden": "true"})


def _row(effect: Effect, look: Look, scale: Scale) -> Markup:
    root = _canvas(26, f"forest d{look.slot}")
    for tick in scale.ticks:
        x = scale.place(tick)
        element(root, "line", class_="zero" if abs(tick) < 1e-9 else "grid", x1=x, x2=x, y1="0", y2="100%")
    if not math.isnan(effect.low):
        ends = [scale.place(100 * value) for value in (effect.low, effect.high)]
        element(root, "line", class_="ci", x1=ends[0], x2=ends[1], y1="13", y2="13")
        for x in ends:
            element(root, "line", class_="ci", x1=x, x2=x, y1="9", y2="17")
    for seed, value in sorted(effect.seeds.items()):
        dot = element(root, "circle", class_="seed", cx=scale.place(100 * value), cy="21", r="2.4")
        element(dot, "title", f"seed {seed}: {points(value)} points")
    nest = element(root, "svg", x=scale.place(100 * effect.difference), y="13", overflow="visible")
    element(nest, "path", class_="dot", d=look.marker)
    return markup(root)


def _axis(scale: Scale) -> Markup:
    root = _canvas(20, "forest axis")
    for tick in scale.ticks:
        x = scale.place(tick)
        element(root, "line", class_="zero" if abs(tick) < 1e-9 else "grid", x1=x, x2=x, y1="0", y2="4")
        element(root, "text", points(tick / 100, tick_digits(scale.ticks)), x=x, y="17", text_anchor="middle")
    return markup(root)
