"""Parts of the report alone: numbers as text, looks, curves."""

from __future__ import annotations

import math
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from workflow.report.appearance import LOOKS, assign_looks
from workflow.report.formats import duration, fraction_name, interval, metric_name, p_text, percent, points, value_text
from workflow.report.svg import Reference, Series, line_chart, tick_values


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (percent(0.6532), "65.3"),
        (percent(0.0), "0.0"),
        (percent(-0.0001), "0.0"),
        (points(-0.004), "\N{MINUS SIGN}0.4"),
        (points(0.0321), "+3.2"),
        (points(math.nan), "\N{EN DASH}"),
        (interval(-0.012, 0.02), "[\N{MINUS SIGN}1.2, +2.0]"),
        (interval(-0.0058, -0.0002), "[\N{MINUS SIGN}0.58, \N{MINUS SIGN}0.02]"),
        (interval(0.00003, 0.012), "[+0.003, +1.200]"),
        (interval(-0.01, 0.0), "[\N{MINUS SIGN}1.0, 0.0]"),
        (interval(0.0, 0.0), "no spread"),
        (interval(0.02, 0.02), "no spread"),
        (interval(math.nan, math.nan), "[\N{EN DASH}]"),
        (p_text(0.0312), "= .031"),
        (p_text(0.25), "= .25"),
        (p_text(1.0), "= 1.00"),
        (p_text(0.0004), "< .001"),
        (p_text(math.nan), "not defined"),
        (duration(75), "1 min 15 s"),
        (duration(3725), "1 h 02 min"),
        (fraction_name(0.002), "0.2 % of labels"),
        (fraction_name(0.001, 10), "0.1 % of labels (10)"),
        (fraction_name(math.nan), ""),
        (metric_name("an_unknown_metric"), "an unknown metric"),
        (value_text(0.0341, "threshold_error"), "0.034"),
        (value_text(0.0341, "top1"), "3.4"),
    ],
)
def test_text(text: str, wanted: str) -> None:
    assert text == wanted


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("look", LOOKS)
def test_colours_are_readable_as_text_on_both_themes(look: object) -> None:
    for colour, paper in ((look.light, "#fbfbf9"), (look.dark, "#181c22")):  # type: ignore[attr-defined]
        low, high = sorted((luminance(colour), luminance(paper)))
        assert (high + 0.05) / (low + 0.05) >= 4.5


def test_looks_are_distinct_in_colour_shape_and_dash() -> None:
    for attribute in ("light", "dark", "marker", "dash"):
        assert len({getattr(look, attribute) for look in LOOKS}) == len(LOOKS)


def test_a_method_keeps_its_look_whatever_else_is_there() -> None:
    alone = assign_looks([("glofnd", "glofnd")])
    many = assign_looks([("mine", "my-detector"), ("glofnd-adam", "glofnd"), ("none", "none"), ("glofnd", "glofnd")])
    assert alone["glofnd"].slot == many["glofnd-adam"].slot == 1
    assert len({look.slot for look in many.values()}) == 4
    crowd = assign_looks([(f"d{k}", f"m{k}") for k in range(20)])
    assert len(crowd) == 20


def test_chart_spreads_labels_and_escapes_them() -> None:
    lines = [Series(f"<d{k}>", LOOKS[k], [(0.0, 1.0), (5.0, 1.0 + k / 1000)]) for k in range(5)]
    chart = line_chart(
        lines, title='a "title"', description="d", x_label="epoch", y_label="loss", references=[Reference("base", 1.0)]
    )
    root = ElementTree.fromstring(chart)
    heights = sorted(float(t.get("y", "nan")) for t in root.iter("text") if t.get("class") == "end")
    assert len(heights) == 6
    assert min(b - a for a, b in pairwise(heights)) >= 14.9
    assert "<d0>" not in chart


def test_chart_of_a_single_point() -> None:
    chart = line_chart(
        [Series("a", LOOKS[0], [(3.0, 2.0)])], title="t", description="d", x_label="epoch", y_label="loss"
    )
    assert "nan" not in chart


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.3, 12.4), (5.0, 5.0), (1e-7, 2e-7)])
def test_ticks_enclose_the_data(low: float, high: float) -> None:
    ticks = tick_values(low, high)
    assert len(ticks) >= 2 and ticks == sorted(ticks)
    assert ticks[0] <= low and ticks[-1] >= high
