"""What a benchmark costs before it is started: jobs, hours, storage, memory. What is not known is `?`, never a guess.

make plan CONFIG=configs/imagenet100.yaml
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import mean, median
from typing import Any

import pandas as pd
import torch

from glofnd.data.catalogue import DATASETS
from glofnd.encoders import build_model
from glofnd.failures import report
from glofnd.files import read_json
from glofnd.pretraining.trainer import objective_of
from workflow.config import ConfigError, merged, resolve
from workflow.grid import Grid

__all__ = ["as_text", "costs", "job_counts"]

Config = dict[str, Any]

# Numbers that an optimiser keeps for each parameter.
_OPTIMISER_STATE = {"adamw": 2, "sgd": 1, "lars": 1}


def job_counts(grid: Grid) -> dict[str, int]:
    """Rule -> jobs when nothing is done yet."""
    read = grid.splits_read()
    counts = {
        "fetch": len({file for dataset, _ in read for file in grid.source(dataset)}),
        "shard": len(read),
        "check": 1,
        "trunk": len(grid.trunks),
        "pretrain": len(grid.runs),
        "evaluate": len(grid.evaluated()),
        "tables, mlflow, report": 3,
    }
    return {rule: count for rule, count in counts.items() if count}


def _measured(grid: Grid, experiment: str) -> tuple[float | None, float | None]:
    """Samples per second of one training and minutes of one run's evaluations: measured, else as the config states."""
    results, plan = Path(grid.results), grid.config["plan"]
    rates = [
        float(epoch["images_per_second"])
        for path in (results / "runs" / experiment).glob("*/*/*/history.json")
        for epoch in read_json(path)["epochs"]
    ]
    tables = (results / "benchmarks/evaluate" / experiment).glob("**/*.tsv")
    seconds = [second for path in tables for second in pd.read_csv(path, sep="\t")["s"]]
    rate = median(rates) if rates else plan["images_per_second"].get(experiment)
    return rate, mean(seconds) / 60 if seconds else plan["minutes"].get(experiment)


def _samples(config: Config, dataset: str, split: str) -> int | None:
    """Of a split: as in its shards where they are made, else as the config or the catalogue states."""
    manifest = Path(config["paths"]["shards"]) / dataset / split / "manifest.json"
    block = config["datasets"][dataset]
    if manifest.is_file():
        return int(read_json(manifest)["samples"])
    stated: int | None = block.get(f"{split}_samples") or DATASETS[block["dataset"]].samples.get(split)
    return stated


def _state_bytes(config: Config, dim: int) -> int:
    """State per sample of detector and objective of a run config, for embeddings of width `dim`."""
    # So many samples that any number of clusters is possible; nothing is allocated.
    with torch.device("meta"):
        return int(objective_of(config, 2**31, dim).bytes_per_sample)


_FORMS = {
    **dict.fromkeys(["runs", "samples", "epochs", "epochs without trunks"], ",.0f"),
    **dict.fromkeys(["training hours", "training GPU-hours", "evaluation hours"], ",.1f"),
    **dict.fromkeys(["parameters", "state per sample, B"], ",.0f"),
    **dict.fromkeys(["all checkpoints, MB", "memory of a training, MB *"], ",.3g"),
}


def costs(grid: Grid, name: str) -> dict[str, float | None]:
    """What the runs of one experiment cost, by the names of `_FORMS`; sizes are counted on the real model."""
    experiment, asked = grid.config["experiments"][name], grid.config["resources"]["pretrain"]
    runs = [run for run in grid.runs.values() if run.experiment == name]
    trunks = [trunk for trunk in grid.trunks if trunk.experiment == name]
    evaluated = [run for run in grid.all_runs if run.experiment == name and grid.evaluations(run)]
    apart = experiment["training"]["epochs"] * len(runs)
    starts = [start.epoch for start in map(grid.start_of_run, runs) if start]
    before = [start.epoch for start in map(grid.start_of_trunk, trunks) if start]
    epochs = apart - sum(starts) + sum(trunk.epoch for trunk in trunks) - sum(before)
    samples = _samples(grid.config, experiment["dataset"], experiment["split"])
    rate, minutes = _measured(grid, name)
    hours = None if rate is None or samples is None else epochs * samples / rate / 3600
    model = build_model(grid.run_config(runs[0]))
    parameters = sum(value.numel() for value in model.parameters())
    weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    optimiser = 4 * parameters * _OPTIMISER_STATE[experiment["training"]["optimizer"]]
    each = [_state_bytes(grid.run_config(run), model.dim) for run in runs]
    stems = [_state_bytes(grid.trunk_config(trunk), model.dim) for trunk in trunks]
    values = (
        *(len(runs), samples, epochs, apart),
        *(hours, hours and hours * asked["gpu"] * asked["nodes"], minutes and minutes * len(evaluated) / 60),
        *(parameters, max(each), sum(weights + optimiser + state * (samples or 0) for state in (*each, *stems)) / 1e6),
        (weights + 4 * parameters + optimiser + max(each) * (samples or 0)) / 1e6,
    )
    return dict(zip(_FORMS, values, strict=True))


def as_text(grid: Grid) -> str:
    """The plan as a page of text."""
    counts, found = job_counts(grid), {name: costs(grid, name) for name in grid.config["experiments"]}
    table = {
        name: ["?" if value is None else format(value, _FORMS[key]) for key, value in row.items()]
        for name, row in found.items()
    }
    download = sum(DATASETS[k].download for k in {grid.config["datasets"][d]["dataset"] for d, _ in grid.splits_read()})
    lines = [f"{sum(counts.values()):,} jobs: {', '.join(f'{count:,} {rule}' for rule, count in counts.items())}"]
    lines += ["", pd.DataFrame(table, index=list(_FORMS)).to_string(), ""]
    lines += ["* weights, gradients, optimiser and per-sample state; activations come on top"]
    lines += [f"Data as published: {download / 1e9:,.3g} GB."]
    if unknown := [name for name, row in found.items() if None in row.values()]:
        where = "plan.images_per_second and plan.minutes"
        lines.append(f"Times of {', '.join(unknown)} are not known yet: finish one run, or state them as {where}.")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the plan of config.yaml with the files named on the command line laid over it."""
    try:
        print(as_text(Grid(resolve(merged(*map(Path, sys.argv[1:])), files=False))), end="")
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    except Exception as error:
        raise SystemExit(report(error)) from None


if __name__ == "__main__":
    main()
