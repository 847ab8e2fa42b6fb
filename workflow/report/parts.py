"""What a section of the report is made of: paragraphs, sortable tables and Plotly figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup
from plotly.graph_objects import Figure

__all__ = ["Beside", "Cell", "Fold", "Part", "Plot", "Section", "Table"]


@dataclass(frozen=True)
class Cell:
    """One cell of a table: its text (HTML only as `Markup`), what it sorts by, whether it is the best of its kind."""

    text: str | Markup
    sort: float | str = ""
    best: bool = False

    @property
    def key(self) -> float | str:
        """Sorted by; cells without a number come last."""
        return "" if isinstance(self.sort, float) and math.isnan(self.sort) else self.sort


@dataclass(frozen=True)
class Table:
    """A table with one heading per column; the first column names the row. `searchable` adds a search box and pages."""

    title: str
    columns: Sequence[str | Markup]
    rows: Sequence[Sequence[Cell]]
    note: str | Markup = ""
    searchable: bool = False


@dataclass(frozen=True)
class Plot:
    """A Plotly figure with its heading."""

    title: str
    figure: Figure
    note: str = ""


@dataclass(frozen=True)
class Beside:
    """Parts side by side where the page is wide enough; `narrow`: as many as fit, each at least 320 px wide."""

    parts: Sequence[Part]
    narrow: bool = False


@dataclass(frozen=True)
class Fold:
    """Parts behind a heading that opens them."""

    title: str | Markup
    parts: Sequence[Part]
    open: bool = False


Part = str | Markup | Table | Plot | Beside | Fold
"""A `str` is a paragraph, escaped; `Markup` stands as it is."""


@dataclass(frozen=True)
class Section:
    """One section; `name` is its anchor in the page."""

    name: str
    title: str
    parts: Sequence[Part] = field(default_factory=list)
