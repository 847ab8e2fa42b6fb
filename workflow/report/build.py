"""Puts the parts together: results in, one HTML page out, the same bytes for the same results."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from workflow.report.agreement import agreements
from workflow.report.answers import answers
from workflow.report.appearance import LOOKS, Look, assign_looks
from workflow.report.comparisons import DISCOVERY, discovery_parts, main_columns, tables
from workflow.report.curves import training_curves
from workflow.report.discovered import discovered
from workflow.report.evidence import evidence, overall
from workflow.report.forest import forest
from workflow.report.formats import FORMATS, interval
from workflow.report.gallery import galleries, picture_uri
from workflow.report.inputs import Results
from workflow.report.making import making
from workflow.report.rivals import rivalries
from workflow.report.svg import marker_icon
from workflow.report.table import Table

__all__ = ["looks_of", "render"]

HERE = Path(__file__).parent


def looks_of(results: Results) -> dict[str, Look]:
    """The look of every detector in the benchmark."""
    return assign_looks(
        (label, results.method(name, label))
        for name in results.config["experiments"]
        for label in results.detectors(name)
    )


def _by_experiment(found: Sequence[Table]) -> list[list[Table]]:
    """Neighbouring tables of one experiment and objective together."""
    return [list(group) for _, group in groupby(found, key=lambda table: (table.experiment, table.objective))]


def render(results: Results) -> str:
    """The report as one HTML document that refers to nothing outside itself."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    looks = looks_of(results)
    found = tables(results)
    proofs = evidence(results, found)
    environment.filters |= {
        **FORMATS,
        "picture": picture_uri,
        "groupby_neighbours": _by_experiment,
        "interval": lambda ends: interval(*ends),
        "interval_of": lambda effect: interval(effect.low, effect.high),
    }

    def icon(label: str) -> Markup:
        return marker_icon(looks[label]) if label in looks else Markup("")

    def slot(label: str) -> str:
        return f"d{looks[label].slot}" if label in looks else ""

    environment.globals.update(icon=icon, slot=slot, columns_of=main_columns, discovery_parts=discovery_parts)
    return environment.get_template("report.html.j2").render(
        results=results,
        style=Markup((HERE / "style.css").read_text(encoding="utf-8")),
        all_looks=LOOKS,
        looks=looks,
        confidence=f"{100 * results.confidence:g} %",
        answers=answers(results, found, looks, proofs),
        tables=[table for table in found if table.evaluation != DISCOVERY],
        discovery=[table for table in found if table.evaluation == DISCOVERY],
        discovered=discovered(results, looks),
        forests=[
            plot
            for table in found
            if table.evaluation != DISCOVERY and (plot := forest(table, looks, main_columns(table)[0]))
        ],
        rivalries=rivalries(results, found),
        evidence=proofs,
        overall=overall(results),
        curves=training_curves(results, looks),
        agreements={(one.experiment, one.objective): one for one in agreements(results)},
        galleries=galleries(results),
        making=making(results),
    )
