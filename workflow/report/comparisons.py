"""From tidy rows to tables: detectors against columns, each cell with its seeds and its difference to the reference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import pandas as pd

from workflow.grid import BASELINE
from workflow.report.inputs import Results

__all__ = ["DISCOVERY", "Cell", "Column", "Effect", "Row", "Table", "headline", "tables"]

CHANCE = "chance"
DISCOVERY = "discovery"


@dataclass(frozen=True)
class Column:
    """What is measured: one data set, split, metric and share of labels (NaN: no such thing)."""

    dataset: str
    split: str
    metric: str
    fraction: float
    higher_is_better: bool = True
    chance: float = math.nan


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
        return float(pd.Series(list(self.values.values()), dtype=float).std())


@dataclass(frozen=True)
class Row:
    """A detector or a trivial baseline; `role` is `reference`, `detector`, `upper bound` or `baseline`."""

    label: str
    role: str
    cells: list[Cell | None]
    alpha: float | None = None


@dataclass(frozen=True)
class Table:
    """All results of one evaluation of one experiment and objective under one protocol."""

    experiment: str
    objective: str
    evaluation: str
    protocol: str
    columns: list[Column]
    rows: list[Row]

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


def tables(results: Results) -> list[Table]:
    """Every table, in the order of the config, then of the evaluations in the file."""
    found = []
    for experiment, settings in results.config["experiments"].items():
        for objective in settings["objectives"]:
            here = results.summary[
                (results.summary["experiment"] == experiment)
                & (results.summary["objective"].isin([objective, BASELINE]))
            ]
            trained = here[here["objective"] == objective]
            order = [*settings.get("evaluations", {}), *trained["evaluation"].unique()]
            for evaluation in dict.fromkeys(order):
                chosen = here[here["evaluation"] == evaluation]
                for protocol in trained[trained["evaluation"] == evaluation]["protocol"].unique():
                    rows = chosen[chosen["protocol"] == protocol]
                    found.append(_table(results, experiment, objective, evaluation, str(protocol), rows))
    return found


def _table(
    results: Results, experiment: str, objective: str, evaluation: str, protocol: str, values: pd.DataFrame
) -> Table:
    trained = values[values["objective"] == objective]
    grouped = trained.groupby(["dataset", "split", "metric", "fraction"], sort=False, dropna=False)
    columns = [_column(group.iloc[0]) for _, group in grouped]
    position = {pair: number for number, pair in enumerate(dict.fromkeys((c.dataset, c.split) for c in columns))}
    metrics = {metric: number for number, metric in enumerate(dict.fromkeys(c.metric for c in columns))}
    columns.sort(key=lambda c: (position[c.dataset, c.split], metrics[c.metric], -c.fraction))
    detectors = results.config["experiments"][experiment]["detectors"]
    labels = [d for d in detectors if d in set(trained["detector"])]
    key = {"experiment": experiment, "objective": objective, "evaluation": evaluation, "protocol": protocol}
    tested = results.significance[(results.significance[list(key)] == pd.Series(key)).all(axis=1)]
    if evaluation == DISCOVERY:  # a difference to a detector that drops nothing says nothing
        tested = tested.iloc[:0]
    level = 1 - results.confidence
    cells = {
        label: [_cell(trained, tested, label, results.reference, column, level) for column in columns]
        for label in labels
    }
    roles = {label: _role(results, experiment, label) for label in labels}
    _mark_best(cells, roles, columns)
    rows = [Row(label, roles[label], cells[label], detectors[label].get("alpha")) for label in labels]
    baselines = values[values["objective"] == BASELINE]
    for name in baselines["detector"].unique():
        found = [_values(baselines, str(name), column) for column in columns]
        rows.append(Row(str(name), "baseline", [Cell(seeds) if seeds else None for seeds in found]))
    if any(not math.isnan(column.chance) for column in columns):
        chance = [None if math.isnan(column.chance) else Cell({0: column.chance}) for column in columns]
        rows.append(Row(CHANCE, "baseline", chance))
    return Table(experiment, objective, evaluation, protocol, columns, rows)


def _column(row: pd.Series) -> Column:
    return Column(
        str(row["dataset"]),
        str(row["split"]),
        str(row["metric"]),
        float(row["fraction"]),
        bool(row["higher_is_better"]),
        float(row["chance"]),
    )


def _role(results: Results, experiment: str, label: str) -> str:
    if label == results.reference:
        return "reference"
    return "upper bound" if results.method(experiment, label) == "oracle" else "detector"


def _at(frame: pd.DataFrame, detector: str, column: Column) -> pd.DataFrame:
    same = (
        (frame["detector"] == detector)
        & (frame["dataset"] == column.dataset)
        & (frame["split"] == column.split)
        & (frame["metric"] == column.metric)
        & (frame["fraction"].isna() if math.isnan(column.fraction) else frame["fraction"] == column.fraction)
    )
    return frame[same]


def _values(frame: pd.DataFrame, detector: str, column: Column) -> dict[int, float]:
    rows = _at(frame, detector, column).dropna(subset=["value"])
    return dict(zip(rows["seed"].astype(int), rows["value"].astype(float), strict=True))


def _cell(
    trained: pd.DataFrame, tested: pd.DataFrame, label: str, reference: str, column: Column, level: float
) -> Cell | None:
    seeds = _values(trained, label, column)
    if not seeds:
        return None
    found = _at(tested, label, column)
    if found.empty or label == reference:
        return Cell(seeds)
    row = found.iloc[0]
    base = _values(trained, reference, column)
    return Cell(
        seeds,
        effect=Effect(
            n=int(row["n"]),
            difference=float(row["difference"]),
            low=float(row["ci_low"]),
            high=float(row["ci_high"]),
            p=float(row["p_value"]),
            p_holm=float(row["p_holm"]),
            verdict=_verdict(float(row["difference"]), float(row["p_holm"]), column.higher_is_better, level),
            seeds={seed: value - base[seed] for seed, value in seeds.items() if seed in base},
        ),
    )


def _verdict(difference: float, p_holm: float, higher_is_better: bool, level: float) -> str:
    if not p_holm < level:
        return "open"
    return "better" if (difference > 0) == higher_is_better else "worse"


def _mark_best(cells: dict[str, list[Cell | None]], roles: dict[str, str], columns: Sequence[Column]) -> None:
    """Mark the best mean of each column among what uses no labels: the oracle is a bound, not a competitor."""
    for number, column in enumerate(columns):
        rivals = {
            label: cell
            for label, row in cells.items()
            if roles[label] != "upper bound" and (cell := row[number]) is not None
        }
        if len(rivals) < 2:
            continue
        means = {label: cell.mean if column.higher_is_better else -cell.mean for label, cell in rivals.items()}
        top = max(means, key=lambda label: means[label])
        cells[top][number] = Cell(rivals[top].values, True, rivals[top].effect)


def headline(results: Results, found: Sequence[Table]) -> Iterator[tuple[Table, list[int]]]:
    """The primary comparisons, which the config names before any number is seen.

    Yields:
        a table and the numbers of its primary columns.
    """
    for table in found:
        wanted = results.primary.get(table.evaluation, [])
        chosen = [number for number, column in enumerate(table.columns) if column.metric in wanted]
        if chosen:
            yield table, chosen
