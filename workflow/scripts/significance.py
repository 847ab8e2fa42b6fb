"""Compare every detector with the baseline detector, and with each other one, paired by seed and by test sample.

    python -m workflow.scripts.significance --benchmark results/benchmark.json --summary results/summary.parquet \\
        --out results/significance.csv --overall results/significance_overall.csv

One row per experiment, objective, detector, baseline and value. The main metrics of the evaluations in
`significance.primary` form families per experiment, fixed before any result is seen; `p_holm` is corrected over each
and empty elsewhere. Column `family` names them: `methods`, and `oracle` by itself, since an upper bound that reads the
labels is no competing claim. Rows whose `baseline` is another detector compare the methods with each other on the
primary metrics; they stand outside the families.

The main p-value is that over seeds (`p_value`, `p_holm`). Those over test samples (`p_mcnemar`, corrected over the same
families in `p_mcnemar_holm`) come from the runs' predictions.npz and speak of the trained models alone.
"""

from __future__ import annotations

from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from evaluation.overall import interquartile_mean, probability_of_improvement, run_interval, stratified_interval
from evaluation.significance import compare, holm, sentence
from glofnd.command_line import Parser
from glofnd.failures import report
from glofnd.files import atomic_open, none_from_the_future
from glofnd.lifetime import end_with_caller
from glofnd.progress import progress
from workflow.benchmark_file import read_benchmark
from workflow.paired_samples import COLUMNS, PairedSamples
from workflow.scripts.aggregate import KEY, read_summary

__all__ = ["comparisons", "overall"]


_OVERALL = [
    *("experiment", "objective", "detector", "seeds", "tasks"),
    *(
        f"{name}{end}"
        for name in ("interquartile_mean", "probability_of_improvement")
        for end in ("", "_low", "_high", "_stratified_low", "_stratified_high")
    ),
]
"""Columns of significance_overall.csv."""


def comparisons(summary: pd.DataFrame, config: dict[str, Any], results: Path) -> pd.DataFrame:
    """The table of all paired comparisons.

    Args:
        summary: what `workflow.scripts.aggregate` writes.
        config: the benchmark's config, resolved.
        results: its results folder, with the runs' predictions.
    """
    settings, trained = config["significance"], summary[summary["kind"] == "method"]
    baseline, samples = settings["baseline"], PairedSamples(config, results)
    rows = []
    groups = trained.groupby(KEY, dropna=False, sort=False)
    for key, group in progress(groups, len(groups), "significance", "metrics"):
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
            pair = by_detector[[detector, other]].dropna()
            if pair.empty:
                continue
            compared = _compared(pair, detector, other, settings)
            compared |= samples.compare(head, detector, other, tuple(pair.index))
            kind = "oracle" if methods.get(detector) == "oracle" else "methods"
            family = kind if head["primary"] and other == baseline else None
            rows.append({**head, "detector": detector, "baseline": other, **compared, "family": family})
    return _corrected(pd.DataFrame(rows)) if rows else pd.DataFrame()


def _methods(config: dict[str, Any], experiment: str) -> dict[str, str]:
    """Label -> method of an experiment's detectors, GloFND first."""
    detectors = config["experiments"][experiment]["detectors"]
    methods = {label: str(settings.get("method", label)) for label, settings in detectors.items()}
    return dict(sorted(methods.items(), key=lambda item: item[1] != "glofnd"))


def _compared(pair: pd.DataFrame, detector: str, other: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Everything said about one pair of columns over seeds."""
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
    """The table with Holm's correction over each family of an experiment: over seeds, and over samples."""
    table = table.reindex(columns=[*table, *(name for name in COLUMNS if name not in table)])
    unknown = pd.array([pd.NA] * len(table), "Int64")
    table = table.assign(family_size=unknown, p_holm=float("nan"), p_mcnemar_holm=float("nan"))
    for _, family in table.groupby(["experiment", "family"]):
        table.loc[family.index, "family_size"] = len(family)
        for p, corrected in (("p_value", "p_holm"), ("p_mcnemar", "p_mcnemar_holm")):
            table.loc[family.index, corrected] = holm(family[p])
    return table


def overall(summary: pd.DataFrame, settings: dict[str, Any]) -> pd.DataFrame:
    """Each detector over all main metrics of an experiment together, with bootstrap intervals of runs.

    Args:
        summary: what `workflow.scripts.aggregate` writes.
        settings: the config's `significance`, resolved.
    """
    chosen = (summary["kind"] == "method") & summary["primary"] & summary["evaluation"].isin(settings["primary"])
    interval = {"confidence": settings["confidence"], "resamples": min(settings["bootstrap"], 2000)}
    rows: list[dict[str, Any]] = []
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
            row = {
                "experiment": experiment,
                "objective": objective,
                "detector": detector,
                "seeds": values.shape[0],
                "tasks": values.shape[1],
            }
            for name, statistic, tables in (
                ("interquartile_mean", interquartile_mean, [values]),
                ("probability_of_improvement", probability_of_improvement, [values, reference]),
            ):
                row[name] = statistic(*tables)
                row[f"{name}_low"], row[f"{name}_high"] = run_interval(statistic, *tables, **interval)
                stratified = stratified_interval(statistic, *tables, **interval)
                row[f"{name}_stratified_low"], row[f"{name}_stratified_high"] = stratified
            rows.append(row)
    # Without any main metric the table has no rows, but still its columns.
    return pd.DataFrame(rows, columns=_OVERALL)


def main() -> None:
    """Run the command line."""
    parser = Parser(prog="python -m workflow.scripts.significance", description=__doc__)
    parser.add_argument("--benchmark", required=True, type=Path, help="benchmark.json")
    parser.add_argument("--summary", required=True, type=Path, help="summary.parquet")
    parser.add_argument("--out", required=True, type=Path, help="significance.csv")
    parser.add_argument("--overall", required=True, type=Path, help="table over all main metrics together")
    arguments = parser.parse_args()
    end_with_caller()
    try:
        config = read_benchmark(arguments.benchmark)
        settings = config["significance"]
        if settings is None:
            raise ValueError(f"{arguments.benchmark}: significance is null; give it a baseline in the config")
        summary = read_summary(arguments.summary)
        table = comparisons(summary, config, arguments.benchmark.parent)
        if table.empty:
            raise ValueError(f"{arguments.summary}: no detector stands beside the baseline {settings['baseline']!r}")
        for path, frame in ((arguments.out, table), (arguments.overall, overall(summary, settings))):
            with atomic_open(path, "w") as handle:
                frame.to_csv(handle, index=False)
        none_from_the_future([arguments.benchmark, arguments.summary])
    except Exception as error:
        raise SystemExit(report(error, "raise resources.collect.mem_mb")) from None
    for experiment, family in table[table["family"] == "methods"].groupby("experiment"):
        print(f"{experiment}: {sentence(int(family['n'].max()), len(family), 1 - settings['confidence'])}")


if __name__ == "__main__":
    main()
