"""What each difference rests on: would another training run show it, would another test set, would both."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from workflow.report.comparisons import headline
from workflow.report.inputs import OVERALL, Results
from workflow.report.table import Effect, Table

__all__ = ["Evidence", "Line", "Overall", "evidence", "overall"]


@dataclass(frozen=True)
class Line:
    """One primary comparison.

    Attributes:
        name: its column.
        effect: the difference over seeds: the main test.
        samples: number of test samples.
        low, high: interval over test samples, for these trained models.
        p_holm: McNemar's test of these models, corrected over the same family; NaN where it is not defined.
        differs: whether these models differ on other test samples too: by that test, or by the interval where there is
            none.
        both_low, both_high: interval over seeds and test samples both.
    """

    name: str
    effect: Effect
    samples: int
    low: float
    high: float
    p_holm: float
    differs: bool
    both_low: float
    both_high: float


@dataclass(frozen=True)
class Evidence:
    """All primary comparisons of one detector with the reference that have tests over samples."""

    experiment: str
    objective: str
    detector: str
    lines: list[Line]

    @property
    def only_these_models(self) -> int:
        """Comparisons in which these models differ, and the seeds do not show that others would."""
        return sum(line.differs and line.effect.verdict == "open" for line in self.lines)


def evidence(results: Results, found: Sequence[Table]) -> list[Evidence]:
    """For each experiment, objective and detector, in the order of the report's tables."""
    chosen = list(headline(results, found))
    made = []
    for experiment, objective in dict.fromkeys((table.experiment, table.objective) for table, _ in chosen):
        here = [(t, numbers) for t, numbers in chosen if (t.experiment, t.objective) == (experiment, objective)]
        judged = results.judged(experiment)
        for detector in [*judged, *(d for d in results.detectors(experiment) if d not in (*judged, results.reference))]:
            lines = [line for table, numbers in here for line in _lines(results, table, numbers, detector)]
            if lines:
                made.append(Evidence(experiment, objective, detector, lines))
    return made


def _lines(results: Results, table: Table, numbers: list[int], detector: str) -> Iterator[Line]:
    tests, row = results.significance, table.row(detector)
    if row is None:
        return
    key = (table.experiment, table.objective, table.evaluation, table.protocol, detector)
    names = ["experiment", "objective", "evaluation", "protocol", "detector"]
    tests = tests[(tests[names] == list(key)).all(axis=1) & tests["samples"].notna()]
    for number in numbers:
        column, cell = table.columns[number], row.cells[number]
        same = (tests["dataset"] == column.dataset) & (tests["split"] == column.split)
        same &= tests["metric"] == column.metric
        same &= tests["fraction"].eq(column.fraction) | (tests["fraction"].isna() & math.isnan(column.fraction))
        if cell is not None and cell.effect is not None:
            for _, test in tests[same].iterrows():
                yield _line(table.name(number), cell.effect, test, 1 - results.confidence)


def _line(name: str, effect: Effect, test: pd.Series, level: float) -> Line:
    low, high, p_holm = (float(test[key]) for key in ("sample_low", "sample_high", "p_mcnemar_holm"))
    differs = p_holm < level if not math.isnan(p_holm) else not low <= 0 <= high
    both = (float(test["both_low"]), float(test["both_high"]))
    return Line(name, effect, int(test["samples"]), low, high, p_holm, differs, *both)


@dataclass(frozen=True)
class Overall:
    """One detector over all primary metrics of an experiment and objective together; intervals over whole runs."""

    detector: str
    tasks: int
    mean: float
    mean_low: float
    mean_high: float
    improvement: float
    improvement_low: float
    improvement_high: float


def overall(results: Results) -> dict[tuple[str, str], list[Overall]]:
    """(experiment, objective), in the order of the config -> its detectors, the reference first, the oracle last."""
    frame, made = results.overall, {}
    for experiment, settings in results.config["experiments"].items():
        for objective in settings["objectives"]:
            here = frame[(frame["experiment"] == experiment) & (frame["objective"] == objective)]
            rows = {str(row["detector"]): row for _, row in here.iterrows()}
            lines = [_overall(rows[label]) for label in results.detectors(experiment) if label in rows]
            if lines:
                made[experiment, objective] = lines
    return made


def _overall(row: pd.Series) -> Overall:
    return Overall(str(row["detector"]), int(row["tasks"]), *(float(row[name]) for name in OVERALL[4:]))
