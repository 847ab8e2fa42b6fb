"""Section "Every number": all values outside discovery with their tests."""

from __future__ import annotations

import math
from statistics import fmean, stdev

from workflow.report.names import interval, p_text, percent, points
from workflow.report.parts import Cell, Section, table
from workflow.report.read import Results, Row

__all__ = ["every_number"]


def every_number(results: Results) -> Section:
    """One searchable table."""
    headings = ["experiment", "task", "detector", "mean ± sd, %", "seeds", "difference, points", "interval over seeds"]
    headings += ["p", "Holm p", "interval over test samples", "McNemar, Holm p"]
    rows = []
    for trial in results.trials:
        tests = trial.tests()
        for task, scores in trial.scores.items():
            for label in (label for label in trial.labels if label in scores):
                values = list(scores[label].values())
                spread = f" ± {percent(stdev(values))}" if len(values) > 1 else ""
                head = [Cell(trial.experiment), Cell(task), Cell(trial.name(label))]
                mean = [Cell(percent(fmean(values)) + spread, fmean(values)), Cell(str(len(values)), len(values))]
                rows.append([*head, *mean, *_tested(tests.get((task, label), {}))])
    note = (
        "Difference, interval and p over seeds (paired t-test) ask whether other training runs would show it: the main "
        "test. Interval over test samples and McNemar's test ask whether other test samples would, for the models "
        "trained here. Holm's correction takes the primary comparisons of an experiment together."
    )
    return Section("numbers", "Every number", [note, table("Every value", headings, rows, searchable=True)])


def _tested(row: Row) -> list[Cell]:
    """The cells of one comparison; dashes where there is none."""
    keys = ("difference", "ci_low", "ci_high", "p_value", "p_holm", "sample_low", "sample_high", "p_mcnemar_holm")
    difference, low, high, p, holm, sample_low, sample_high, mcnemar = (float(row.get(key, math.nan)) for key in keys)
    cells = [Cell(points(difference), difference), Cell(interval(low, high), low), Cell(p_text(p), p)]
    cells += [Cell(p_text(holm), holm), Cell(interval(sample_low, sample_high), sample_low)]
    return [*cells, Cell(p_text(mcnemar), mcnemar)]
