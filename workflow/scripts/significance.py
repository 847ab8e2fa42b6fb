"""Compare every detector with the baseline detector, and with each other one, paired by seed.

    python -m workflow.scripts.significance --benchmark results/benchmark.json --summary results/summary.parquet \\
        --out results/significance.csv --overall results/significance_overall.csv

One row per experiment, objective, detector, baseline and value. The main metrics of the evaluations in
`significance.primary` form families per experiment, fixed before any result is seen; `p_holm` is corrected over each
and empty elsewhere. Column `family` names them: `methods`, and `oracle` by itself, since an upper bound that reads the
labels is no competing claim. Rows whose `baseline` is another detector compare the methods with each other on the
primary metrics; they stand outside the families.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from evaluation.overall import interquartile_mean, probability_of_improvement, stratified_interval
from evaluation.significance import compare, holm, sentence
from glofnd.files import atomic_open, read_json
from workflow.scripts.aggregate import KEY

__all__ = ["comparisons", "overall"]


def comparisons(summary: pd.DataFrame, config: dict[str, Any]) -> pd.DataFrame:
    """The table of all paired comparisons.

    Args:
        summary: what `workflow.scripts.aggregate` writes.
        config: the benchmark's config, resolved.
    """
    settings, trained = config["significance"], summary[summary["kind"] == "method"]
    baseline = settings["baseline"]
    rows = []
    for key, group in trained.groupby(KEY, dropna=False, sort=False):
        by_detector = group.pivot(index="seed", columns="detector", values="value")
        head: dict[str, Any] = dict(zip(KEY, key, strict=True))
        methods = _methods(config, head["experiment"])
        head["higher_is_better"] = bool(group["higher_is_better"].iloc[0])
        head["primary"] = bool(group["primary"].iloc[0]) and head["evaluation"] in settings["primary"]
        pairs = [(str(label), baseline) for label in by_detector if label != baseline]
        if head["primary"]:
            pairs += combinations([m for m in methods if methods[m] != "oracle" and m != baseline], 2)
        for detector, other in pairs:
            if not {detector, other} <= set(by_detector):
                continue
            compared = _compared(by_detector, detector, other, settings)
            if not compared:
                continue
            kind = "oracle" if methods.get(detector) == "oracle" else "methods"
            family = kind if head["primary"] and other == baseline else None
            rows.append({**head, "detector": detector, "baseline": other, **compared, "family": family})
    table = pd.DataFrame(rows)
    return _corrected(table) if rows else table


def _methods(config: dict[str, Any], experiment: str) -> dict[str, str]:
    """Label -> method of an experiment's detectors, GloFND first."""
    detectors = config["experiments"][experiment]["detectors"]
    methods = {label: str(settings.get("method", label)) for label, settings in detectors.items()}
    return dict(sorted(methods.items(), key=lambda item: item[1] != "glofnd"))


def _compared(by_detector: pd.DataFrame, detector: str, other: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Everything said about one pair over the seeds that both have; empty if there is none."""
    pair = by_detector[[detector, other]].dropna()
    if pair.empty:
        return {}
    method, reference = pair[detector].to_numpy(), pair[other].to_numpy()
    several = len(pair) > 1
    return {
        "mean": method.mean(),
        "sd": method.std(ddof=1) if several else float("nan"),
        "baseline_mean": reference.mean(),
        "baseline_sd": reference.std(ddof=1) if several else float("nan"),
        **asdict(compare(method - reference, settings["confidence"], settings["bootstrap"])),
        "seeds": " ".join(str(seed) for seed in pair.index),
    }


def _corrected(table: pd.DataFrame) -> pd.DataFrame:
    """The table with Holm's correction over each family of an experiment."""
    table = table.assign(family_size=pd.array([pd.NA] * len(table), "Int64"), p_holm=float("nan"))
    for _, family in table.groupby(["experiment", "family"]):
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
        config = read_json(arguments.benchmark)
        settings = config["significance"]
        if settings is None:
            raise ValueError(f"{arguments.benchmark}: significance is null; give it a baseline in the config")
        summary = pd.read_parquet(arguments.summary)
        table = comparisons(summary, config)
        if table.empty:
            raise ValueError(f"{arguments.summary}: no detector stands beside the baseline {settings['baseline']!r}")
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    for path, frame in ((arguments.out, table), (arguments.overall, overall(summary, settings))):
        with atomic_open(path, "w") as handle:
            frame.to_csv(handle, index=False)
    for experiment, family in table[table["family"] == "methods"].groupby("experiment"):
        print(f"{experiment}: {sentence(int(family['n'].max()), len(family), 1 - settings['confidence'])}")


if __name__ == "__main__":
    main()
