"""Puts the sections together: results in, one HTML page out, the same bytes for the same results.

A new section is one file with a function from `Results` to `Section`, and one line in `SECTIONS`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from glofnd.files import atomic_open
from workflow.report.answer import answer
from workflow.report.dropped import discovery, found
from workflow.report.every_number import every_number
from workflow.report.parts import Section
from workflow.report.read import Results, read_results
from workflow.report.reproducibility import limits, made
from workflow.report.training import costs, training

__all__ = ["SECTIONS", "render", "write_report"]

SECTIONS: list[Callable[[Results], Section]]
SECTIONS = [answer, found, discovery, training, costs, every_number, limits, made]
"""In the order of the page."""

HERE = Path(__file__).parent
TABLES = ("summary.csv", "summary_mean.csv", "significance.csv", "significance_overall.csv")


def render(results: Results) -> str:
    """The page; it refers to nothing outside itself but the tables beside it."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    bundle = files("itables") / "html"
    return environment.get_template("report.html.j2").render(
        results=results,
        sections=[section(results) for section in SECTIONS],
        tables=[name for name in TABLES if (results.folder / name).is_file()],
        style=Markup((HERE / "style.css").read_text(encoding="utf-8")),
        tables_style=Markup((bundle / "dt_bundle.css").read_text(encoding="utf-8")),
        tables_script=base64.b64encode((bundle / "dt_bundle.js").read_bytes()).decode("ascii"),
        plotly_script=Markup(get_plotlyjs()),
    )


def write_report(benchmark: dict[str, Any], out: Path) -> None:
    """Write the report of a resolved config's results folder to `out` (HTML), atomically.

    Raises:
        ValueError, OSError: there is nothing to report, or a file that is there cannot be read; names it.
    """
    page = render(read_results(benchmark))
    with atomic_open(out, "w") as file:
        file.write(page)
