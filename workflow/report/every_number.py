"""Section "Every number": all values outside discovery with their tests."""

from __future__ import annotations

import math
from statistics import fmean, stdev
from typing import Any

from workflow.report.names import interval, p_text, percent, points
from workflow.report.parts import Cell, Section, table
from workflow.report.read import Results

__all__ = ["every_number"]


def every_number(results: Results) -> Section:
    """One searchable table."""
    headings = ["experiment", "task", "detector", "mean ± sd, %", "seeds", "difference, points", "interval over seeds"]
    headings += ["p", "Holm p", "interval over test samples", "McNemar, Holm p"]
    shown: list[tuple[Any, list[str]]] = [
        (points, ["difference"]),
        (interval, ["ci_low", "ci_high"]),
        (p_text, ["p_value"]),
        (p_text, ["p_holm"]),
    ]
    shown += [(interval, ["sample_low", "sample_high"]), (p_text, ["p_mcnemar_holm"])]
    rows = []
    for trial in results.trials:
        tests = trial.tests()
        for task, scores in trial.scores.items():
            for label in (label for label in trial.labels if label in scores):
                values, test = list(scores[label].values()), tests.get((task, label), {})
                spread = f" ± {percent(stdev(values))}" if len(values) > 1 else ""
                row = [Cell(trial.experiment), Cell(task), Cell(trial.bold(label), trial.name(label))]
                row += [Cell(percent(fmean(values)) + spread, fmean(values)), Cell(str(len(values)), len(values))]
                for show, keys in shown:
                    found = [float(test.get(key, math.nan)) for key in keys]
                    row.append(Cell(show(*found), found[0]))
                rows.append(row)
    note = (
        "Difference, interval and p over seeds (paired t-test) ask whether other training runs would show it: the main "
        "test. Interval over test samples and McNemar's test ask whether other test samples would, for the models "
        "trained here. Holm's correction takes the primary comparisons of an experiment together."
    )
    return Section("numbers", "Every number", [note, table("Every value", headings, rows, searchable=True)])
