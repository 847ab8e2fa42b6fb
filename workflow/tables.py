"""From every evaluation's metrics.json to the benchmark's tables (docs/significance.md).

summary.parquet, summary.csv      one row per value of one run
summary_mean.csv                  one row per method and value, over seeds
significance.csv                  every detector against the baseline, seed by seed
significance_overall.csv          every detector over all main metrics of an experiment together
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evaluation.statistics.samples import Hits, compare_samples, read_hits
from evaluation.statistics.seeds import compare, holm, what_seeds_can_show
from evaluation.statistics.tasks_together import interquartile_mean, probability_of_improvement, run_interval
from glofnd.files import atomic_open, making_sense, read_json
from workflow.grid import NONE, Grid, Run

__all__ = ["KEY", "comparisons", "mean_table", "overall", "read_summary", "summary", "write_tables"]

KEY = ["experiment", "objective", "evaluation", "protocol", "dataset", "split", "metric", "fraction"]
"""What two values must share to be averaged or compared."""

COLUMNS = [*KEY, "detector", "kind", "seed", "value", "stderr", "n", "chance", "higher_is_better", "primary"]

_TYPES: dict[str, Any] = {
    **dict.fromkeys(("fraction", "value", "stderr", "chance"), "float64"),
    **{"n": "Int64", "seed": "int64", "primary": "bool"},
}

_COMPARED = [
    *(*KEY, "higher_is_better", "primary", "detector", "baseline"),
    *("value", "sd", "baseline_value", "baseline_sd", "seeds", "n", "difference", "ci_low", "ci_high"),
    *("p_value", "family", "family_size", "p_holm", "p_sign_flip", "effect_size"),
    *("samples", "sample_low", "sample_high", "p_mcnemar", "p_mcnemar_holm"),
]
"""Columns of significance.csv."""

_OVERALL = [
    *("experiment", "objective", "detector", "seeds", "tasks"),
    *("interquartile_mean", "interquartile_mean_low", "interquartile_mean_high"),
    *("probability_of_improvement", "probability_of_improvement_low", "probability_of_improvement_high"),
]
"""Columns of significance_overall.csv."""

_AGAIN = "delete it and run `snakemake` again"


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of one metrics.json; a file of another form raises `ValueError` with its name."""
    found = read_json(path)
    with making_sense(path):
        if found["format"] != 1:
            raise ValueError(f"{path}: format {found['format']}, this program reads 1; {_AGAIN}")
        head = {key: found["run"][key] for key in ("experiment", "objective", "detector", "kind", "seed")}
        head |= {"evaluation": found["evaluation"], "protocol": found["protocol"]}
        rows = []
        for metric in found["metrics"]:
            row = {name: metric.get(name) for name in COLUMNS} | {"primary": bool(metric.get("primary")), **head}
            if not isinstance(metric["value"], int | float | None):
                raise TypeError(f"value is {metric['value']!r}")
            rows.append(row)
        return rows


def summary(config: dict[str, Any], results: Path, allow_missing: bool = False) -> pd.DataFrame:
    """All values of all runs, typed and in a stable order.

    Args:
        config: resolved config of the benchmark.
        results: its results folder.
        allow_missing: take what is there.

    Raises:
        ValueError: a result is missing (unless allowed), broken, stands there twice or was made by another protocol.
    """
    paths = [Path(path) for path in _grid(config, results).evaluation_metrics()]
    missing = [path for path in paths if not path.is_file()]
    if missing and not allow_missing:
        raise ValueError(f"{missing[0]}: no such result ({len(missing)} of {len(paths)} are missing); run snakemake")
    rows = [row for path in paths if path not in set(missing) for row in _rows(path)]
    table = pd.DataFrame(rows, columns=COLUMNS).astype(_TYPES)
    same = [*KEY, "detector", "seed"]
    for _, row in table[table.duplicated(same)].iterrows():
        raise ValueError(
            f"{row['experiment']}/{row['objective']}/{row['detector']}/seed{row['seed']}: two values of "
            f"{row['metric']} for {row['evaluation']} on {row['dataset']}/{row['split']}"
        )
    # Probe recipes move scores by points, so results of two protocols must never meet in one average or comparison.
    for (experiment, evaluation), group in table.groupby(["experiment", "evaluation"]):
        if group["protocol"].nunique() > 1:
            each = [part.iloc[0] for _, part in group.groupby("protocol")]
            runs = "; ".join(f"{r['protocol']}: {r['objective']}/{r['detector']}/seed{r['seed']}" for r in each)
            raise ValueError(f"{experiment}/{evaluation}: results of different protocols cannot be averaged ({runs})")
    return table.sort_values(same, kind="stable", ignore_index=True)


def read_summary(path: Path) -> pd.DataFrame:
    """The table of all values from summary.parquet; another file raises `ValueError` with its name."""
    try:
        table = pd.read_parquet(path)
    except ValueError as error:
        raise ValueError(f"{path}: not a readable parquet file ({error}); {_AGAIN}") from error
    if absent := [name for name in COLUMNS if name not in table.columns]:
        raise ValueError(f"{path}: no column {', '.join(absent)}; {_AGAIN}")
    return table


def mean_table(table: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard deviation (n - 1) and number of seeds per method and value."""
    groups = table.groupby([*KEY, "detector", "kind"], dropna=False, sort=False)["value"]
    return groups.agg(mean="mean", sd="std", seeds="count").reset_index()


def comparisons(table: pd.DataFrame, config: dict[str, Any], results: Path) -> pd.DataFrame:
    """All paired comparisons: detectors against the baseline, on main metrics against each other, and rivals against
    the first objective, all without a detector.

    The `baseline` of a rival is `objective/detector`.

    Args:
        table: what `summary` gives.
        config: resolved config of the benchmark.
        results: its results folder, with the runs' predictions.
    """
    settings, grid = config["significance"], _grid(config, results)
    baseline, confidence = settings["baseline"], settings["confidence"]

    # The baseline's hits are compared with those of every detector.
    @lru_cache(maxsize=64)
    def hits(run: Run, evaluation: str, *value: Any) -> Hits | None:
        return read_hits(Path(grid.run_folder(run)) / evaluation, *value)

    rows: list[dict[str, Any]] = []
    trained = table[(table["kind"] == "method") & table["value"].notna()]
    question = [name for name in KEY if name != "objective"]
    for key, group in trained.groupby(question, dropna=False, sort=False):
        head: dict[str, Any] = dict(zip(question, key, strict=True))
        experiment = config["experiments"][head["experiment"]]
        methods = _methods(experiment)
        runs = group.pivot(index="seed", columns=["objective", "detector"], values="value")
        first = group.iloc[0]
        primary = bool(first["primary"]) and head["evaluation"] in settings["primary"]
        head |= {"higher_is_better": bool(first["higher_is_better"]), "primary": primary}
        detectors = [(label, baseline) for label in methods if label != baseline]
        if primary:
            detectors += combinations([m for m in methods if methods[m] != "oracle" and m != baseline], 2)
        pairs = [((o, one), (o, other)) for o in experiment["objectives"] for one, other in detectors]
        reference = (next(iter(experiment["objectives"])), baseline)
        pairs += [((rival, NONE), reference) for rival in experiment["rivals"]]
        for method, other in pairs:
            if not {method, other} <= set(runs):
                continue
            pair = runs[[method, other]].dropna()
            if pair.empty:
                continue
            family = "oracle" if methods.get(method[1]) == "oracle" else "methods"
            deviations = pair.std(ddof=1)
            compared = {
                **asdict(compare((pair[method] - pair[other]).to_numpy(), confidence)),
                **{"objective": method[0], "detector": method[1], "seeds": " ".join(map(str, pair.index))},
                **{"baseline": other[1] if other[0] == method[0] else "/".join(other)},
                **{"value": pair[method].mean(), "sd": deviations[method]},
                **{"baseline_value": pair[other].mean(), "baseline_sd": deviations[other]},
                "family": family if primary and other[1] == baseline else None,
            }
            cells = [
                [Run(head["experiment"], objective, detector, int(seed)) for seed in pair.index]
                for objective, detector in (method, other)
            ]
            fraction = None if np.isnan(head["fraction"]) else head["fraction"]
            value = (head["evaluation"], head["dataset"], head["split"], head["metric"], fraction)
            found = [[hits(run, *value) for run in runs] for runs in cells]
            rows.append(head | compared | _over_samples(found, cells, confidence))
    return _corrected(pd.DataFrame(rows, columns=_COMPARED))


def _over_samples(found: list[list[Hits | None]], cells: list[list[Run]], confidence: float) -> dict[str, Any]:
    """The comparison over test samples; empty where the metric has no stored hits."""
    flat = [hits for side in found for hits in side]
    known = [hits for hits in flat if hits is not None]
    if len(known) < len(flat):
        return {}
    first = known[0]
    for run, hits in zip((run for runs in cells for run in runs), known, strict=True):
        if hits.draws != first.draws or not np.array_equal(hits.index, first.index):
            raise ValueError(f"{run.id}: tested on other samples or draws than {cells[0][0].id}; {_AGAIN}")
    sides = np.stack([hits.count for hits in known]).reshape(2, -1, len(first.index))
    return asdict(compare_samples(sides[0], sides[1], first.draws, first.classes, confidence))


def _methods(experiment: dict[str, Any]) -> dict[str, str]:
    """Label -> method of an experiment's detectors, GloFND first."""
    methods = {label: str(settings.get("method", label)) for label, settings in experiment["detectors"].items()}
    return dict(sorted(methods.items(), key=lambda item: item[1] != "glofnd"))


def _corrected(table: pd.DataFrame) -> pd.DataFrame:
    """The table with Holm's correction over each family of an experiment: over seeds, and over samples."""
    table = table.astype({"family_size": "Int64", "samples": "Int64", "p_holm": float, "p_mcnemar_holm": float})
    for _, family in table.groupby(["experiment", "family"]):
        table.loc[family.index, "family_size"] = len(family)
        for p, corrected in (("p_value", "p_holm"), ("p_mcnemar", "p_mcnemar_holm")):
            table.loc[family.index, corrected] = holm(family[p].astype(float))
    return table


def overall(table: pd.DataFrame, settings: dict[str, Any]) -> pd.DataFrame:
    """Each detector over all main metrics of an experiment together, with bootstrap intervals of runs.

    Args:
        table: what `summary` gives.
        settings: the config's `significance`, resolved.
    """
    chosen = (table["kind"] == "method") & table["primary"] & table["evaluation"].isin(settings["primary"])
    rows: list[dict[str, Any]] = []
    for (experiment, objective), group in table[chosen].groupby(["experiment", "objective"], sort=False):
        scores = {
            detector: runs.pivot(index="seed", columns=KEY[2:], values="value").dropna().to_numpy()
            for detector, runs in group.groupby("detector", sort=False)
        }
        reference = scores.get(settings["baseline"], np.empty((0, 0)))
        for detector, values in scores.items():
            if values.shape[1] != reference.shape[1] or not len(values) or not len(reference):
                continue
            row = dict(zip(_OVERALL, (experiment, objective, detector, *values.shape), strict=False))
            for statistic, tables in (
                (interquartile_mean, [values]),
                (probability_of_improvement, [values, reference]),
            ):
                name = statistic.__name__
                row[name] = statistic(*tables)
                row[f"{name}_low"], row[f"{name}_high"] = run_interval(
                    statistic, *tables, confidence=settings["confidence"]
                )
            rows.append(row)
    return pd.DataFrame(rows, columns=_OVERALL)


def _grid(config: dict[str, Any], results: Path) -> Grid:
    return Grid({**config, "paths": {**config["paths"], "results": str(results)}})


def _write(frame: pd.DataFrame, path: Path) -> None:
    with atomic_open(path, "wb" if path.suffix == ".parquet" else "w") as handle:
        frame.to_parquet(handle, index=False) if path.suffix == ".parquet" else frame.to_csv(handle, index=False)


def write_tables(config: dict[str, Any], results: Path, allow_missing: bool = False) -> Sequence[str]:
    """Write all tables; returns what the seeds of each experiment can show, a sentence each.

    Args:
        config: resolved config of the benchmark; without `significance` there are no comparisons.
        results: its results folder.
        allow_missing: take what is there.

    Raises:
        ValueError: a result is missing (unless allowed), broken, double or of another protocol; predictions are missing
            or of other samples; no detector stands beside the baseline.
    """
    table, settings = summary(config, results, allow_missing), config["significance"]
    _write(table, results / "summary.parquet")
    _write(table, results / "summary.csv")
    _write(mean_table(table), results / "summary_mean.csv")
    if settings is None:
        return []
    compared = comparisons(table, config, results)
    if compared.empty:
        raise ValueError(f"{results}: no detector stands beside the baseline {settings['baseline']!r}")
    _write(compared, results / "significance.csv")
    _write(overall(table, settings), results / "significance_overall.csv")
    level = 1 - settings["confidence"]
    families = compared[compared["family"] == "methods"].groupby("experiment")
    return [f"{name}: {what_seeds_can_show(int(f['n'].max()), len(f), level)}" for name, f in families]
