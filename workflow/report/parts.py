"""What a section of the report is made of, as HTML: sortable tables, Plotly figures, folds.

All of it is `Markup`, made by `Markup.format`, which escapes every name and text that is not itself `Markup`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup, escape
from plotly.graph_objects import Figure

__all__ = ["Cell", "Section", "beside", "bullets", "fold", "plot", "table"]


class Section(NamedTuple):
    """One section; `name` is its anchor in the page. A part that is a `str` is a paragraph, escaped."""

    name: str
    title: str
    parts: Sequence[str | Markup]


class Cell(NamedTuple):
    """One cell of a table: its text, what it sorts by (the text, unless given), whether it is the best of its kind."""

    text: str
    sort: float | str | None = None
    best: bool = False


def table(
    title: str, headings: Sequence[str], rows: Iterable[Sequence[Cell | str]], note: str = "", searchable: bool = False
) -> Markup:
    """A table whose columns sort by a click; the first names the row. `searchable` adds a search box and pages."""
    form = Markup(
        '<figure class="table"><figcaption>{0}</figcaption><div class="scroll" tabindex="0" role="region" '
        'aria-label="{0}"><table class="sortable{1}"><thead><tr>{2}</tr></thead><tbody>{3}</tbody></table></div>{4}'
        "</figure>"
    )
    head = _join(Markup('<th scope="col">{}</th>').format(heading) for heading in headings)
    body = _join(
        Markup("<tr>{}</tr>").format(_join(_cell(cell, "td" if place else "th") for place, cell in enumerate(row)))
        for row in rows
    )
    about = Markup('<p class="note">{}</p>').format(note) if note else ""
    return form.format(title, " searchable" if searchable else "", head, body, about)


def _cell(cell: Cell | str, tag: str) -> Markup:
    text, sort, best = Cell(cell) if isinstance(cell, str) else cell
    # What has no number comes last.
    key = escape(text).striptags() if sort is None else "" if isinstance(sort, float) and math.isnan(sort) else sort
    form = Markup('<{0}{1} data-order="{2}">{3}</{0}>')
    return form.format(tag, Markup(' class="best"') if best else "", key, text)


def plot(title: str, figure: Figure) -> Markup:
    """A Plotly figure, drawn by the page's own script."""
    form = Markup('<figure class="plot"><figcaption>{}</figcaption><div class="chart" data-figure="{}"></div></figure>')
    return form.format(title, figure.to_json())


def beside(*parts: Markup, narrow: bool = False) -> Markup:
    """Parts side by side where the page is wide enough; `narrow`: as many as fit."""
    return Markup('<div class="beside{}">{}</div>').format(" narrow" if narrow else "", _join(parts))


def fold(title: str, *parts: Markup, opened: bool = False) -> Markup:
    """Parts behind a heading that opens them."""
    form = Markup("<details{}><summary>{}</summary>{}</details>")
    return form.format(Markup(" open") if opened else "", title, _join(parts))


def bullets(lines: Iterable[str]) -> Markup:
    """A list with a bullet before each line."""
    return Markup("<ul>{}</ul>").format(_join(Markup("<li>{}</li>").format(line) for line in lines))


def _join(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)
