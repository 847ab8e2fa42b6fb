"""Small SVG charts without a plotting library: they follow the page's colour scheme and are the same bytes every time.

A chart is an element tree, so everything that comes from data is escaped by the XML writer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from workflow.report.appearance import Look

__all__ = [
    "Point",
    "Reference",
    "Series",
    "element",
    "line_chart",
    "marker_icon",
    "markup",
    "tick_digits",
    "tick_values",
]

Point = tuple[float, float]
Band = Sequence[tuple[float, float, float]]

WIDTH, HEIGHT = 440.0, 250.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 138.0, 12.0, 40.0
_LABEL_GAP = 15.0
_CHARACTER = 7.4


@dataclass(frozen=True)
class Series:
    """One detector's curve.

    Attributes:
        label: name written at the end of the curve.
        look: colour, marker and dashes.
        mean: (x, y) of the thick line.
        single: one list of (x, y) per thin line (a seed each).
        bands: (x, low, high) areas, widest first.
        marks: single points, drawn with the look's marker.
    """

    label: str
    look: Look
    mean: Sequence[Point]
    single: Sequence[Sequence[Point]] = ()
    bands: Sequence[Band] = ()
    marks: Sequence[Point] = ()


@dataclass(frozen=True)
class Reference:
    """A horizontal line with a label, such as a base rate."""

    label: str
    value: float


@dataclass(frozen=True)
class _Frame:
    """Scales from data to the drawing, and the ticks of both axes."""

    x_range: tuple[float, float]
    x_ticks: list[float]
    y_ticks: list[float]

    @property
    def y_range(self) -> tuple[float, float]:
        return self.y_ticks[0], self.y_ticks[-1]

    def x(self, value: float) -> float:
        low, high = self.x_range
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def tick_values(low: float, high: float, count: int = 5, integer: bool = False) -> list[float]:
    """At least two round tick positions that enclose [low, high]."""
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    ticks = MaxNLocator(nbins=count, steps=[1, 2, 2.5, 5, 10], integer=integer, min_n_ticks=2).tick_values(low, high)
    return [float(tick) for tick in ticks]


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _path(points: Sequence[Point], frame: _Frame) -> str:
    return "M" + "L".join(f"{_number(frame.x(x))},{_number(frame.y(y))}" for x, y in points)


def element(parent: ElementTree.Element, tag: str, text: str = "", **attributes: str | float) -> ElementTree.Element:
    """Append an SVG element; `class_` is written `class`, other underscores become hyphens."""
    named = {
        key.rstrip("_").replace("_", "-"): value if isinstance(value, str) else _number(value)
        for key, value in attributes.items()
    }
    child = ElementTree.SubElement(parent, tag, named)
    child.text = text or None
    return child


def markup(root: ElementTree.Element) -> Markup:
    """The tree as HTML-ready text; the XML writer has escaped what came from data."""
    return Markup(ElementTree.tostring(root, encoding="unicode", short_empty_elements=False))


def tick_digits(ticks: Sequence[float]) -> int:
    """Decimals that write all ticks exactly."""
    return next((d for d in range(6) if all(abs(round(tick, d) - tick) < 1e-9 for tick in ticks)), 6)


def _tick_text(value: float, ticks: Sequence[float]) -> str:
    return f"{value:.{tick_digits(ticks)}f}".replace("-", "\N{MINUS SIGN}")


def _axes(root: ElementTree.Element, frame: _Frame, x_label: str, y_label: str) -> None:
    group = element(root, "g", class_="axes")
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    for tick in frame.y_ticks:
        y = frame.y(tick)
        element(group, "line", class_="grid", x1=LEFT, x2=right, y1=y, y2=y)
        element(group, "text", _tick_text(tick, frame.y_ticks), x=LEFT - 6, y=y + 4, text_anchor="end")
    for tick in frame.x_ticks:
        element(group, "text", _tick_text(tick, frame.x_ticks), x=frame.x(tick), y=bottom + 16, text_anchor="middle")
    element(group, "line", class_="axis", x1=LEFT, x2=right, y1=bottom, y2=bottom)
    element(group, "text", x_label, class_="name", x=(LEFT + right) / 2, y=HEIGHT - 4, text_anchor="middle")
    middle = (TOP + bottom) / 2
    turn = f"rotate(-90 12 {_number(middle)})"
    element(group, "text", y_label, class_="name", x=12.0, y=middle, text_anchor="middle", transform=turn)


def _spread(wanted: Sequence[float]) -> list[float]:
    """Heights of the end labels: in the order of the wanted ones, at least `_LABEL_GAP` apart, inside the frame."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    heights = list(wanted)
    floor = TOP + 4
    for i in order:
        heights[i] = floor = max(wanted[i], floor)
        floor += _LABEL_GAP
    ceiling = HEIGHT - BOTTOM + 4
    for i in reversed(order):
        heights[i] = ceiling = min(heights[i], ceiling)
        ceiling -= _LABEL_GAP
    return heights


def _shorten(text: str) -> str:
    room = int((RIGHT - 22) / _CHARACTER)
    return text if len(text) <= room else text[: room - 1] + "…"


def _end_labels(
    root: ElementTree.Element, frame: _Frame, series: Sequence[Series], references: Sequence[Reference]
) -> None:
    """Names at the right end of the curves, with marker and leader, pushed apart where they would overlap."""
    ends = [frame.y(one.mean[-1][1]) + 4 for one in series] + [frame.y(line.value) + 4 for line in references]
    heights = _spread(ends)
    right = WIDTH - RIGHT
    for one, wanted, height in zip(series, ends, heights, strict=False):
        group = element(root, "g", class_=f"d{one.look.slot}")
        start = _number(frame.x(one.mean[-1][0]) + 2)
        leader = f"M{start},{_number(wanted - 4)}L{right + 6:g},{_number(height - 4)}"
        element(group, "path", class_="leader", d=leader)
        place = f"translate({right + 12:g} {_number(height - 4)})"
        element(group, "path", class_="dot", d=one.look.marker, transform=place)
        element(group, "text", _shorten(one.label), class_="end", x=right + 20, y=height)
    for line, height in zip(references, heights[len(series) :], strict=True):
        element(root, "text", _shorten(line.label), class_="end", x=right + 6, y=height)


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    description: str,
    x_label: str,
    y_label: str,
    references: Sequence[Reference] = (),
    y_range: tuple[float, float] | None = None,
) -> Markup:
    """Curves over epochs with direct labels.

    Args:
        series: at least one curve with at least one point.
        title: accessible name of the picture.
        description: what there is to see, in words with numbers; read by screen readers in place of the picture.
        x_label: name of the horizontal axis (integers).
        y_label: name of the vertical axis.
        references: labelled horizontal lines.
        y_range: limits that must be inside the vertical axis; of the data alone if `None`.
    """
    points = [p for one in series for line in (one.mean, *one.single, one.marks) for p in line]
    points += [(x, y) for one in series for band in one.bands for x, *pair in band for y in pair]
    xs = [x for x, _ in points]
    ys = [y for _, y in points] + [line.value for line in references] + list(y_range or ())
    first, last = (min(xs), max(xs)) if max(xs) > min(xs) else (min(xs) - 0.5, max(xs) + 0.5)
    x_ticks = [
        tick for tick in tick_values(first, last, 6, integer=True) if first <= tick <= last and tick.is_integer()
    ]
    frame = _Frame((first, last), x_ticks, tick_values(min(ys), max(ys)))
    root = ElementTree.Element(
        "svg", {"class": "chart", "viewBox": f"0 0 {WIDTH:g} {HEIGHT:g}", "role": "img", "aria-label": title}
    )
    element(root, "title", title)
    element(root, "desc", description)
    _axes(root, frame, x_label, y_label)
    for line in references:
        y = frame.y(line.value)
        element(root, "line", class_="reference", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y)
    for one in series:
        group = element(root, "g", class_=f"d{one.look.slot}")
        for band in one.bands:
            outline = [(x, low) for x, low, _ in band] + [(x, high) for x, _, high in reversed(band)]
            element(group, "path", class_="band", d=_path(outline, frame) + "Z")
        for line_points in one.single:
            element(group, "path", class_="single", d=_path(line_points, frame))
        for x, y in [*one.marks, *(one.mean if len(one.mean) == 1 else ())]:
            place = f"translate({_number(frame.x(x))} {_number(frame.y(y))})"
            element(group, "path", class_="dot", d=one.look.marker, transform=place)
        dash = {"stroke_dasharray": one.look.dash} if one.look.dash else {}
        element(group, "path", class_="mean", d=_path(one.mean, frame), **dash)
    _end_labels(root, frame, series, references)
    return markup(root)


def marker_icon(look: Look) -> Markup:
    """The detector's marker alone, decorative: it always stands beside the name."""
    root = ElementTree.Element("svg", {"class": f"icon d{look.slot}", "viewBox": "-7 -7 14 14", "aria-hidden": "true"})
    element(root, "path", class_="dot", d=look.marker)
    return markup(root)
