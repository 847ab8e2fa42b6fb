"""What a benchmark costs before it is started: jobs, hours, storage, memory. What is not known is `?`, never a guess.

make plan CONFIG=configs/imagenet100.yaml
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
from snakemake.utils import update_config

from glofnd.data.catalogue import DATASETS
from glofnd.encoders import build_model
from glofnd.failures import report
from glofnd.files import read_json
from glofnd.pretraining.trainer import objective_of
from workflow.config import ConfigError, read_config, resolve
from workflow.grid import Grid

__all__ = ["Training", "as_text", "job_counts", "trainings"]

ROOT = Path(__file__).parents[1]
Config = dict[str, Any]

# Numbers that an optimiser keeps for each parameter.
_OPTIMISER_STATE = {"adamw": 2, "sgd": 1, "lars": 1}


def job_counts(grid: Grid) -> dict[str, int]:
    """Rule -> jobs when nothing is done yet."""
    read = grid.splits_read()
    counts = {
        "fetch": len({file for dataset, _ in read for file in grid.source(dataset)}),
        "shard": len(read),
        "trunk": len(grid.trunks),
        "pretrain": len(grid.runs),
        "evaluate": len(grid.evaluated()),
        "tables": 1,
        "mlflow": 1,
        "report": 1,
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
    seconds = []
    for path in (results / "benchmarks/evaluate" / experiment).glob("**/*.tsv"):
        with path.open(encoding="utf-8", newline="") as file:
            seconds += [float(row["s"]) for row in csv.DictReader(file, delimiter="\t")]
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


@dataclass(frozen=True)
class Training:
    """What the runs of one experiment cost.

    Attributes:
        runs: trainings, without trunks.
        samples: of the training split; None where not known.
        epochs: with shared trunks; epochs_apart: without.
        hours: of all trainings one after the other; evaluation_hours: of all evaluations.
        gpus: of one training.
        parameters: trained numbers of the model.
        checkpoints: bytes of all checkpoints; memory: of weights, gradients, optimiser and per-sample state.
    """

    experiment: str
    runs: int
    samples: int | None
    epochs: int
    epochs_apart: int
    hours: float | None
    evaluation_hours: float | None
    gpus: int
    parameters: int
    state_per_sample: int
    checkpoints: int
    memory: int


def trainings(grid: Grid) -> Iterator[Training]:
    """The cost of every experiment; sizes are counted on the real models."""
    asked = grid.config["resources"]["pretrain"]
    for name, experiment in grid.config["experiments"].items():
        runs = [run for run in grid.runs.values() if run.experiment == name]
        trunks = [trunk for trunk in grid.trunks if trunk.experiment == name]
        evaluated = [run for run in grid.all_runs if run.experiment == name and grid.evaluations(run)]
        total = experiment["training"]["epochs"]
        starts = [start.epoch if start else 0 for start in map(grid.start_of_run, runs)]
        before = [start.epoch if start else 0 for start in map(grid.start_of_trunk, trunks)]
        epochs = sum(total - start for start in starts)
        epochs += sum(trunk.epoch - start for trunk, start in zip(trunks, before, strict=True))
        samples = _samples(grid.config, experiment["dataset"], experiment["split"])
        rate, minutes = _measured(grid, name)
        model = build_model(grid.run_config(runs[0]))
        parameters = sum(value.numel() for value in model.parameters())
        weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
        optimiser = 4 * parameters * _OPTIMISER_STATE[experiment["training"]["optimizer"]]
        each = [_state_bytes(grid.run_config(run), model.dim) for run in runs]
        stems = [_state_bytes(grid.trunk_config(trunk), model.dim) for trunk in trunks]
        known = samples or 0
        yield Training(
            name,
            len(runs),
            samples,
            epochs,
            total * len(runs),
            None if rate is None or samples is None else epochs * samples / rate / 3600,
            None if minutes is None else minutes * len(evaluated) / 60,
            asked["gpu"] * asked["nodes"],
            parameters,
            max(each),
            sum(weights + optimiser + state * known for state in (*each, *stems)),
            weights + 4 * parameters + optimiser + max(each) * known,
        )


def _number(value: float | None, form: str = ",.0f") -> str:
    return "?" if value is None else format(value, form)


def _size(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.3g} TB"


def as_text(grid: Grid) -> str:
    """The plan as a page of text."""
    counts, rows = job_counts(grid), list(trainings(grid))
    heads = ("experiment", "runs", "samples", "epochs", "without trunks", "hours", "GPU-hours", "evaluation hours")
    table = [heads] + [
        (
            *(row.experiment, str(row.runs), _number(row.samples), _number(row.epochs), _number(row.epochs_apart)),
            *(_number(row.hours, ",.1f"), _number(row.hours and row.hours * row.gpus, ",.1f")),
            _number(row.evaluation_hours, ",.1f"),
        )
        for row in rows
    ]
    sizes = [("", "parameters", "state/sample", "checkpoints", "memory of a training*")] + [
        (r.experiment, _number(r.parameters), f"{r.state_per_sample} B", _size(r.checkpoints), _size(r.memory))
        for r in rows
    ]
    lines = [f"{sum(counts.values()):,} jobs: {', '.join(f'{count:,} {rule}' for rule, count in counts.items())}"]
    for part in (table, sizes):
        widths = [max(map(len, column)) for column in zip(*part, strict=True)]
        lines.append("")
        lines += ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in part]
    download = sum(DATASETS[kind].download for kind in {b["dataset"] for b in _read_blocks(grid)})
    lines += ["* weights, gradients, optimiser and per-sample state; activations come on top", ""]
    lines.append(f"Data as published: {_size(download)}.")
    if unknown := [row.experiment for row in rows if row.hours is None or row.evaluation_hours is None]:
        where = "plan.images_per_second and plan.minutes"
        lines.append(f"Times of {', '.join(unknown)} are not known yet: finish one run, or state them as {where}.")
    return "\n".join(lines) + "\n"


def _read_blocks(grid: Grid) -> list[Config]:
    return [grid.config["datasets"][dataset] for dataset in dict(grid.splits_read())]


def main() -> None:
    """Print the plan of config.yaml with the files named on the command line laid over it."""
    try:
        config = read_config(ROOT / "config.yaml")
        for file in sys.argv[1:]:
            update_config(config, read_config(Path(file)))
        print(as_text(Grid(resolve(config, files=False))), end="")
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    except Exception as error:
        raise SystemExit(report(error)) from None


if __name__ == "__main__":
    main()
