"""The plan of a benchmark as numbers: jobs, training, evaluation, storage. What is not known is None, never a guess."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from glofnd.data.catalogue import DATASETS
from glofnd.files import making_sense, read_json
from workflow.grid import Grid
from workflow.plan.jobs import job_counts, rule_of, splits_read, trunks
from workflow.plan.sizes import run_size
from workflow.plan.times import job_minutes, throughput

__all__ = ["estimate"]

Config = dict[str, Any]


def _split(config: Config, dataset: str, split: str) -> dict[str, Any]:
    """Samples and bytes of a split: of its shards where they are made, else as config or catalogue state."""
    path = Path(config["paths"]["shards"]) / dataset / split / "manifest.json"
    if path.is_file():
        manifest = read_json(path)
        with making_sense(path):
            size = sum(shard["bytes"] for shard in manifest["shards"])
            return {"dataset": dataset, "split": split, "samples": manifest["samples"], "bytes": size, "sharded": True}
    block = config["datasets"][dataset]
    samples = block.get(f"{split}_samples") or DATASETS[block["dataset"]].samples.get(split)
    return {"dataset": dataset, "split": split, "samples": samples, "bytes": None, "sharded": False}


def _pictures(grid: Grid, name: str, counts: dict[tuple[str, str], int | None]) -> int:
    """Pictures whose features the runs of an experiment store, as far as their number is known."""
    runs = (run for run in grid.all_runs if run.experiment == name)
    return sum(counts[pair] or 0 for run in runs for pair in grid.feature_splits(run))


def _training(grid: Grid, name: str, counts: dict[tuple[str, str], int | None]) -> dict[str, Any]:
    """Epochs and hours of an experiment's runs, with shared trunks and without; `counts` are samples by split."""
    experiment = grid.config["experiments"][name]
    training, rate = experiment["training"], throughput(grid.config, name)
    samples = counts[experiment["dataset"], experiment["split"]]
    runs = [run for run in grid.runs.values() if run.experiment == name]
    apart = training["epochs"] * len(runs)
    starts = {run.id: start.epoch if (start := grid.start_of_run(run)) else 0 for run in runs}
    shared, stems = 0, [trunk for trunk in trunks(grid) if trunk.experiment == name]
    for trunk in stems:
        earlier = grid.start_of_trunk(trunk)
        shared += trunk.epoch - (earlier.epoch if earlier else 0)
    epochs = shared + sum(training["epochs"] - start for start in starts.values())
    hours = None if rate.value is None or samples is None else epochs * samples / rate.value / 3600
    # One run per objective and detector is enough to know all sizes: seeds do not change them.
    first = grid.config["seeds"][0]
    side = experiment["views"]["size"] or grid.config["datasets"][experiment["dataset"]]["image_size"]
    sizes = [run_size(grid.run_config(run), samples or 0, side) for run in runs if run.seed == first]
    # A trunk is as large as a run without a detector, whatever its epoch.
    stem_sizes = {
        trunk.objective: run_size(grid.trunk_config(trunk), samples or 0, side)
        for trunk in {trunk.objective: trunk for trunk in stems}.values()
    }
    gpus = grid.config["resources"]["pretrain"]["gpu"] * grid.config["resources"]["pretrain"]["nodes"]
    return {
        "experiment": name,
        "runs": len(runs),
        "samples": samples,
        "epochs": epochs,
        "epochs_without_trunks": apart,
        "images_per_second": rate.value,
        "images_per_second_source": rate.source,
        "hours": hours,
        "gpus_per_run": gpus,
        "gpu_hours": None if hours is None else hours * gpus,
        "parameters": sizes[0].parameters,
        "state_bytes_per_sample": max(size.bytes_per_sample for size in sizes),
        "checkpoint_bytes": sum(size.checkpoint for size in sizes) * len(grid.config["seeds"])
        + sum(stem_sizes[trunk.objective].checkpoint for trunk in stems),
        "feature_bytes": sizes[0].feature_bytes * _pictures(grid, name, counts),
        "memory_bytes": max(size.memory for size in sizes),
    }


def _after_training(grid: Grid, name: str) -> list[dict[str, Any]]:
    """Jobs on finished runs of an experiment, by kind."""
    counts: Counter[str] = Counter()
    for run in (run for run in grid.all_runs if run.experiment == name):
        counts["features"] += bool(grid.feature_splits(run))
        counts.update(grid.evaluations(run))
    found = []
    for kind, jobs in counts.items():
        if jobs:
            rate = job_minutes(grid.config, kind, name)
            hours = None if rate.value is None else jobs * rate.value / 60
            found.append(
                {
                    "experiment": name,
                    "kind": kind,
                    "jobs": jobs,
                    "minutes": rate.value,
                    "source": rate.source,
                    "hours": hours,
                    "gpu_hours": None if hours is None else hours * grid.config["resources"][rule_of(kind)]["gpu"],
                }
            )
    return found


def estimate(config: Config) -> dict[str, Any]:
    """What a resolved config costs from an empty start.

    Returns:
        `jobs` by rule, `data` per split, `download_bytes` of all sources, `training` per experiment, `evaluation` per
        experiment and kind. Hours are of one job after the other; a job that trains on several GPUs counts once.
    """
    grid = Grid(config)
    data = [_split(config, *pair) for pair in splits_read(grid)]
    counts = {(entry["dataset"], entry["split"]): entry["samples"] for entry in data}
    experiments = config["experiments"]
    return {
        "jobs": job_counts(grid),
        "data": data,
        "download_bytes": sum(
            DATASETS[kind].download for kind in {config["datasets"][name]["dataset"] for name, _ in counts}
        ),
        "training": [_training(grid, name, counts) for name in experiments],
        "evaluation": [entry for name in experiments for entry in _after_training(grid, name)],
    }
