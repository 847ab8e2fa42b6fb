"""How long jobs take: measured where this benchmark has finished some, else as stated in `plan:` of the config."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

from glofnd.files import making_sense, read_json

__all__ = ["Rate", "job_minutes", "throughput"]

Config = dict[str, Any]


@dataclass(frozen=True)
class Rate:
    """A number and where it comes from: `measured`, `stated` or `unknown` (then `value` is None)."""

    value: float | None
    source: str


def throughput(config: Config, experiment: str) -> Rate:
    """Samples per second of one training of an experiment: the median over the epochs of its finished runs."""
    folder = Path(config["paths"]["results"]) / "runs" / experiment
    rates: list[float] = []
    for path in sorted(folder.glob("*/*/*/history.json")):
        history = read_json(path)
        with making_sense(path):
            rates += [float(epoch["images_per_second"]) for epoch in history["epochs"]]
    if rates:
        return Rate(median(rates), "measured")
    stated = config["plan"]["images_per_second"].get(experiment)
    return Rate(stated, "unknown" if stated is None else "stated")


def job_minutes(config: Config, kind: str, experiment: str) -> Rate:
    """Minutes of one job after the training: the mean over finished ones, from what Snakemake noted of them.

    Args:
        config: resolved config.
        kind: `features` or an evaluation.
        experiment: whose runs.
    """
    folder = Path(config["paths"]["results"]) / "benchmarks" / kind / experiment
    seconds = []
    for path in sorted(folder.glob("**/*.tsv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t")
            with making_sense(path):
                seconds += [float(row["s"]) for row in rows]
    if seconds:
        return Rate(mean(seconds) / 60, "measured")
    stated = config["plan"]["minutes"].get(kind)
    return Rate(stated, "unknown" if stated is None else "stated")
