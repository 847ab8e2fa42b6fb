"""How a detector looks: one colour, one marker and one dash pattern, the same in every picture and table.

Colours are darker (light theme) and lighter (dark theme) relatives of Okabe and Ito's palette (2008), which stays
distinguishable under the common colour vision deficiencies; text in them has a contrast of at least 4.5:1. No picture
relies on colour alone: every mark also differs in shape and carries a label.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle

__all__ = ["LOOKS", "Look", "assign_looks"]


@dataclass(frozen=True)
class Look:
    """Slot number (CSS class `d<slot>`), colours as hex, marker as an SVG path in a box of ±5, dash pattern."""

    slot: int
    light: str
    dark: str
    marker: str
    dash: str


_CIRCLE = "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0Z"
_DIAMOND = "M0,-5.2L5.2,0L0,5.2L-5.2,0Z"
_SQUARE = "M-3.8,-3.8H3.8V3.8H-3.8Z"
_TRIANGLE = "M0,-4.8L4.8,3.8H-4.8Z"
_DOWN = "M0,4.8L4.8,-3.8H-4.8Z"
_BAR = "M-2,-5H2V5H-2Z"
_STAR = "M0,-5.4L1.6,-1.6L5.4,0L1.6,1.6L0,5.4L-1.6,1.6L-5.4,0L-1.6,-1.6Z"
_HEXAGON = "M-5,0L-2.5,-4.3H2.5L5,0L2.5,4.3H-2.5Z"

LOOKS = (
    Look(0, "#59636f", "#aab4c0", _CIRCLE, "1.5 3"),
    Look(1, "#0062ad", "#62b6ff", _DIAMOND, ""),
    Look(2, "#b34a00", "#ff9d52", _SQUARE, "7 3"),
    Look(3, "#00735a", "#3ccba0", _TRIANGLE, "9 3 2 3"),
    Look(4, "#9c3d83", "#eb97d0", _DOWN, "4 2"),
    Look(5, "#0b7285", "#66d9e8", _BAR, "12 3"),
    Look(6, "#7a5c00", "#e6c84f", _STAR, "3 2 8 2"),
    Look(7, "#5b3fb5", "#b7a3ff", _HEXAGON, "2 2"),
)

_SLOT_OF_METHOD = {"none": 0, "glofnd": 1, "batch-quantile": 2, "oracle": 3, "global-threshold": 4}


def assign_looks(methods: Iterable[tuple[str, str]]) -> dict[str, Look]:
    """One look per detector label.

    Args:
        methods: (label, method) of every detector in the whole benchmark, in the config's order; labels may repeat.

    Returns:
        label -> look. The first label of a method has the method's own look, later ones and unknown methods take the
        free ones in order, from the start again when all are taken.
    """
    labels: dict[str, str] = {}
    for label, method in methods:
        labels.setdefault(label, method)
    looks: dict[str, Look] = {}
    for label, method in labels.items():
        slot = _SLOT_OF_METHOD.get(method)
        if slot is not None and LOOKS[slot] not in looks.values():
            looks[label] = LOOKS[slot]
    unused = [look for look in LOOKS if look not in looks.values()] or list(LOOKS)
    free = cycle(sorted(unused, key=lambda look: look.slot in _SLOT_OF_METHOD.values()))
    return {label: looks.get(label) or next(free) for label in labels}
