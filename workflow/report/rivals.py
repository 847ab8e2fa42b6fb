"""The methods against each other: the same comparisons, paired by seed, without correction."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from workflow.report.comparisons import headline
from workflow.report.inputs import Results
from workflow.report.table import Effect, Table

__all__ = ["Rivalry", "rivalries"]


@dataclass(frozen=True)
class Rivalry:
    """Two detectors of one experiment and objective; `compared` is (column, first minus second), all uncorrected."""

    experiment: str
    objective: str
    first: str
    second: str
    compared: list[tuple[str, Effect]]


def rivalries(results: Results, found: Sequence[Table]) -> list[Rivalry]:
    """Every pair of detectors that are neither reference nor oracle and have been compared, GloFND first."""
    chosen = list(headline(results, found))
    pairs = []
    for experiment, objective in dict.fromkeys((table.experiment, table.objective) for table, _ in chosen):
        here = [(t, numbers) for t, numbers in chosen if (t.experiment, t.objective) == (experiment, objective)]
        for first, second in combinations(results.judged(experiment), 2):
            compared = [pair for table, numbers in here for pair in _compared(results, table, numbers, first, second)]
            if compared:
                pairs.append(Rivalry(experiment, objective, first, second, compared))
    return pairs


def _compared(
    results: Results, table: Table, numbers: list[int], first: str, second: str
) -> Iterator[tuple[str, Effect]]:
    frame = results.between
    key = {"experiment": table.experiment, "objective": table.objective, "evaluation": table.evaluation}
    key |= {"protocol": table.protocol, "detector": first, "baseline": second}
    rows = frame[(frame[list(key)] == list(key.values())).all(axis=1)]
    for number in numbers:
        column = table.columns[number]
        same = (rows["dataset"] == column.dataset) & (rows["split"] == column.split) & (rows["metric"] == column.metric)
        same &= rows["fraction"].eq(column.fraction) | (rows["fraction"].isna() & math.isnan(column.fraction))
        for _, row in rows[same].iterrows():
            effect = Effect(
                n=int(row["n"]),
                difference=float(row["difference"]),
                low=float(row["ci_low"]),
                high=float(row["ci_high"]),
                p=float(row["p_value"]),
                p_holm=float("nan"),
                verdict="open",
                seeds={},
            )
            yield table.name(number), effect
