"""Compare every detector with the baseline detector, paired by seed.

    python -m workflow.scripts.significance --benchmark results/benchmark.json --summary results/summary.parquet \\
        --out results/significance.csv --overall results/significance_overall.csv

One row per experiment, objective, detector and value. The main metrics of the evaluations in `significance.primary`
form one family per experiment, fixed before any result is seen; `p_holm` is corrected over it and empty elsewhere.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from evaluation.significance import (
    compare,
    holm,
    interquartile_mean,
    probability_of_improvement,
    sentence,
    stratified_interval,
)
from glofnd.files import atomic_open, read_json
from workflow.scripts.aggregate import KEY

__all__ = ["comparisons", "overall"]


def comparisons(summary: pd.DataFrame, settings: dict[str, Any]) -> pd.DataFrame:
    """The table of all paired comparisons.

    Args:
        summary: what `workflow.scripts.aggregate` writes.
        settings: the config's `significance`, resolved.
    """
    baseline, trained = settings["baseline"], summary[summary["kind"] == "method"]
    rows = []
    for key, group in trained.groupby(KEY, dropna=False, sort=False):
        by_detector = group.pivot(index="seed", columns="detector", values="value")
        if baseline not in by_detector:
            continue
        for detector in (label for label in by_detector if label != baseline):
            pair = by_detector[[detector, baseline]].dropna()
            if pair.empty:
                continue
            method, reference = pair[detector].to_numpy(), pair[baseline].to_numpy()
            found = asdict(compare(method - reference, settings["confidence"], settings["bootstrap"]))
            rows.append(
                {
                    **dict(zip(KEY, key, strict=True)),
                    "detector": detector,
                    "baseline": baseline,
                    "higher_is_better": bool(group["higher_is_better"].iloc[0]),
                    "primary": bool(group["primary"].iloc[0]) and group["evaluation"].iloc[0] in settings["primary"],
                    "mean": method.mean(),
                    "sd": method.std(ddof=1) if len(method) > 1 else float("nan"),
                    "baseline_mean": reference.mean(),
                    "baseline_sd": reference.std(ddof=1) if len(method) > 1 else float("nan"),
                    **found,
                    "seeds": " ".join(str(seed) for seed in pair.index),
                }
            )
    table = pd.DataFrame(rows)
    return _corrected(table) if rows else table


def _corrected(table: pd.DataFrame) -> pd.DataFrame:
    """The table with Holm's correction over each experiment's primary comparisons."""
    table = table.assign(family_size=pd.array([pd.NA] * len(table), "Int64"), p_holm=float("nan"))
    for _, family in table[table["primary"]].groupby("experiment"):
        table.loc[family.index, "family_size"] = len(family)
        table.loc[family.index, "p_holm"] = holm(family["p_value"])
    return table


def overall(summary: pd.DataFrame, settings: dict[str, Any]) -> pd.DataFrame:
    """Each detector over all main metrics of an experiment together, with stratified bootstrap intervals.

    Args:
        summary: what `workflow.scripts.aggregate` writes.
        settings: the config's `significance`, resolved.
    """
    chosen = (summary["kind"] == "method") & summary["primary"] & summary["evaluation"].isin(settings["primary"])
    interval = {"confidence": settings["confidence"], "resamples": min(settings["bootstrap"], 2000)}
    rows = []
    for (experiment, objective), group in summary[chosen].groupby(["experiment", "objective"], sort=False):
        scores = {
            detector: runs.pivot(index="seed", columns=KEY[2:], values="value").dropna().to_numpy()
            for detector, runs in group.groupby("detector", sort=False)
        }
        reference = scores.get(settings["baseline"])
        if reference is None or not reference.size:
            continue
        for detector, values in scores.items():
            if values.shape[1] != reference.shape[1] or not len(values):
                continue
            low, high = stratified_interval(interquartile_mean, values, **interval)
            least, most = stratified_interval(probability_of_improvement, values, reference, **interval)
            rows.append(
                {
                    "experiment": experiment,
                    "objective": objective,
                    "detector": detector,
                    "seeds": values.shape[0],
                    "tasks": values.shape[1],
                    "interquartile_mean": interquartile_mean(values),
                    "interquartile_mean_low": low,
                    "interquartile_mean_high": high,
                    "probability_of_improvement": probability_of_improvement(values, reference),
                    "probability_of_improvement_low": least,
                    "probability_of_improvement_high": most,
                }
            )
    return pd.DataFrame(rows)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m workflow.scripts.significance", description=__doc__)
    parser.add_argument("--benchmark", required=True, type=Path, help="benchmark.json")
    parser.add_argument("--summary", required=True, type=Path, help="summary.parquet")
    parser.add_argument("--out", required=True, type=Path, help="significance.csv")
    parser.add_argument("--overall", required=True, type=Path, help="table over all main metrics together")
    arguments = parser.parse_args()
    try:
        settings = read_json(arguments.benchmark)["significance"]
        if settings is None:
            raise ValueError(f"{arguments.benchmark}: significance is null; give it a baseline in the config")
        summary = pd.read_parquet(arguments.summary)
        table = comparisons(summary, settings)
        if table.empty:
            raise ValueError(f"{arguments.summary}: no detector stands beside the baseline {settings['baseline']!r}")
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    for path, frame in ((arguments.out, table), (arguments.overall, overall(summary, settings))):
        with atomic_open(path, "w") as handle:
            frame.to_csv(handle, index=False)
    for experiment, family in table[table["primary"]].groupby("experiment"):
        print(f"{experiment}: {sentence(int(family['n'].max()), len(family), 1 - settings['confidence'])}")


if __name__ == "__main__":
    main()
