"""From tidy rows to tables, and which of their columns come first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from workflow.grid import BASELINE
from workflow.report.inputs import LABELS_KEY, Results
from workflow.report.table import Cell, Column, Effect, Row, Table

__all__ = ["DISCOVERY", "discovery_parts", "headline", "main_columns", "tables"]

CHANCE = "chance"
DISCOVERY = "discovery"
NEUTRAL = ("base_rate", "dropped_share")
"""Metrics of discovery that describe, so that none is best."""


_DISCOVERED = (
    *("precision", "recall", "f1"),
    *("dropped_share", "base_rate", "threshold_error"),
    *("f1_per_anchor", "f1_per_class", "average_precision"),
)

_AT_LABELS = ("precision", "recall", "f1", "base_rate")
"""Metrics of discovery that are shown against every label field."""


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
    columns = [_column(group.iloc[0], results.labels_used) for _, group in grouped]
    position = {pair: number for number, pair in enumerate(dict.fromkeys((c.dataset, c.split) for c in columns))}
    metrics = {metric: number for number, metric in enumerate(dict.fromkeys(c.metric for c in columns))}
    columns.sort(key=lambda c: (position[c.dataset, c.split], metrics[c.metric], -c.fraction))
    detectors = results.config["experiments"][experiment]["detectors"]
    labels = [d for d in results.detectors(experiment) if d in set(trained["detector"])]
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
    out = ("upper bound", "reference") if evaluation == DISCOVERY else ("upper bound",)
    _mark_best({label: row for label, row in cells.items() if roles[label] not in out}, columns)
    rows = [Row(label, roles[label], cells[label], detectors[label].get("alpha")) for label in labels]
    baselines = values[values["objective"] == BASELINE]
    for name in baselines["detector"].unique():
        found = [_values(baselines, str(name), column) for column in columns]
        rows.append(Row(str(name), "baseline", [Cell(seeds) if seeds else None for seeds in found]))
    if evaluation != DISCOVERY and any(not math.isnan(column.chance) for column in columns):
        chance = [None if math.isnan(column.chance) else Cell({0: column.chance}) for column in columns]
        rows.append(Row(CHANCE, "baseline", chance))
    home = results.config["experiments"][experiment]["dataset"]
    return Table(experiment, objective, evaluation, protocol, columns, rows, home)


def _column(row: pd.Series, labels_used: dict[tuple[object, ...], int]) -> Column:
    return Column(
        str(row["dataset"]),
        str(row["split"]),
        str(row["metric"]),
        float(row["fraction"]),
        bool(row["higher_is_better"]),
        float(row["chance"]),
        bool(row["primary"]),
        labels_used.get(tuple(row[name] for name in LABELS_KEY)),
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


def _mark_best(cells: dict[str, list[Cell | None]], columns: Sequence[Column]) -> None:
    """Mark the best mean of each column, or all that tie for it; where all tie, none is best."""
    for number, column in enumerate(columns):
        if column.metric.endswith(NEUTRAL):
            continue
        sign = 1 if column.higher_is_better else -1
        means = {label: sign * cell.mean for label, row in cells.items() if (cell := row[number]) is not None}
        best = [label for label, mean in means.items() if mean >= max(means.values()) - 1e-9]
        for label in best if len(best) < len(means) else ():
            cell = cells[label][number]
            if cell is not None:
                cells[label][number] = replace(cell, best=True)


def main_columns(table: Table) -> tuple[list[int], list[int]]:
    """Numbers of the columns that every reader needs (the main metric of each task), and of the others."""
    numbers = range(len(table.columns))
    main = [number for number in numbers if table.columns[number].primary] or list(numbers)
    return main, [number for number in numbers if number not in main]


def discovery_parts(table: Table) -> list[tuple[str, Table]]:
    """A table of discovery in parts: each modality's anchors, the same against other labels, then more."""
    numbers = {column.metric: number for number, column in enumerate(table.columns)}
    found, shown = [], set()
    for modality, prefix in (("image", ""), ("text", "text_")):
        chosen = [numbers[prefix + name] for name in _DISCOVERED if prefix + name in numbers]
        if chosen:
            part = table.part(chosen)
            columns = [replace(column, metric=column.metric.removeprefix(prefix)) for column in part.columns]
            found.append((f"{modality} anchors", replace(part, columns=columns)))
            shown |= set(chosen)
    fields = list(dict.fromkeys(name.partition("@")[2] for name in numbers if "@" in name))
    for field in fields:
        chosen = [numbers[f"{name}@{field}"] for name in _AT_LABELS if f"{name}@{field}" in numbers]
        if chosen:
            part = table.part(chosen)
            columns = [replace(column, metric=column.metric.partition("@")[0]) for column in part.columns]
            found.append((f"image anchors, truth: same {field}", replace(part, columns=columns)))
    rest = [number for name, number in numbers.items() if number not in shown and "@" not in name]
    return [*found, ("more", table.part(rest))] if rest else found


def headline(results: Results, found: Sequence[Table]) -> Iterator[tuple[Table, list[int]]]:
    """The primary comparisons, which the config names before any number is seen.

    Yields:
        a table and the numbers of its primary columns.
    """
    for table in found:
        chosen = [number for number, column in enumerate(table.columns) if column.primary]
        if chosen and table.evaluation in results.primary:
            yield table, chosen
