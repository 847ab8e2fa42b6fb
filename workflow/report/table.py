"""A table of results: detectors against columns, each cell with its seeds and its difference to the reference."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from workflow.report.formats import evaluation_name, fraction_name, metric_name

__all__ = ["Cell", "Column", "ColumnGroup", "Effect", "Row", "Table"]


@dataclass(frozen=True)
class Column:
    """What is measured: one data set, split, metric and share of labels (NaN: no such thing).

    `primary`: whether the metric is the main one of its task. `chance`: value of guessing at random, NaN if unknown.
    `labels`: number of labels that the share really gives, `None` if not recorded.
    """

    dataset: str
    split: str
    metric: str
    fraction: float
    higher_is_better: bool = True
    chance: float = math.nan
    primary: bool = False
    labels: int | None = None


@dataclass(frozen=True)
class ColumnGroup:
    """Columns under one heading."""

    dataset: str
    split: str
    columns: list[Column]


@dataclass(frozen=True)
class Effect:
    """Paired difference of a detector to the reference, as shares.

    Attributes:
        n: number of pairs.
        difference: mean over seeds.
        low: lower end of the confidence interval.
        high: upper end.
        p: p-value of this comparison alone.
        p_holm: corrected over the family of primary comparisons; NaN outside it.
        verdict: `better`, `worse` or `open` (not significant after correction, or not in the family).
        seeds: seed -> its own difference.
    """

    n: int
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    verdict: str
    seeds: dict[int, float]


@dataclass(frozen=True)
class Cell:
    """Values of one detector in one column."""

    values: dict[int, float]
    best: bool = False
    effect: Effect | None = None

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return sum(self.values.values()) / len(self.values)

    @property
    def sd(self) -> float:
        """Standard deviation over seeds (n - 1), NaN for a single one."""
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else math.nan


@dataclass(frozen=True)
class Row:
    """A detector or a trivial baseline; `role` is `reference`, `detector`, `upper bound` or `baseline`."""

    label: str
    role: str
    cells: list[Cell | None]
    alpha: float | None = None


@dataclass(frozen=True)
class Table:
    """All results of one evaluation of one experiment and objective under one protocol.

    `home` is the data set the experiment trains on.
    """

    experiment: str
    objective: str
    evaluation: str
    protocol: str
    columns: list[Column]
    rows: list[Row]
    home: str = ""

    def title(self, number: int) -> str:
        """What distinguishes a column; its own data set, the split `test` and top-1 go without saying."""
        column = self.columns[number]
        place = [column.dataset] if column.dataset != self.home else []
        place += [column.split] if column.split != "test" else []
        parts = [" ".join(place), "" if column.metric == "top1" else metric_name(column.metric)]
        parts.append(fraction_name(column.fraction, column.labels))
        return ", ".join(part for part in parts if part) or metric_name(column.metric)

    def name(self, number: int) -> str:
        """A column with its evaluation, for a sentence."""
        return f"{evaluation_name(self.evaluation).lower()}, {self.title(number)}"

    def part(self, numbers: Sequence[int]) -> Table:
        """The table with some of its columns."""
        rows = [replace(row, cells=[row.cells[n] for n in numbers]) for row in self.rows]
        return replace(self, columns=[self.columns[n] for n in numbers], rows=rows)

    def row(self, label: str) -> Row | None:
        """The row of that label."""
        return next((row for row in self.rows if row.label == label), None)

    @property
    def groups(self) -> list[ColumnGroup]:
        """Neighbouring columns of one data set and split."""
        pairs = groupby(self.columns, key=lambda column: (column.dataset, column.split))
        return [ColumnGroup(dataset, split, list(columns)) for (dataset, split), columns in pairs]

    @property
    def seeds(self) -> int:
        """Number of seeds of the fullest cell."""
        return max(len(cell.values) for row in self._trained for cell in row.cells if cell)

    @property
    def uneven(self) -> list[str]:
        """Rows that have cells with fewer seeds than the fullest, with that number."""
        fewest = {row.label: min((len(cell.values) for cell in row.cells if cell), default=0) for row in self._trained}
        return [f"{label} ({count})" for label, count in fewest.items() if count < self.seeds]

    @property
    def _trained(self) -> list[Row]:
        return [row for row in self.rows if row.role != "baseline"]
