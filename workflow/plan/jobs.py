"""How many jobs of each rule a benchmark has when nothing is done yet."""

from __future__ import annotations

from collections import Counter
from typing import Any

from evaluation.registry import READS_SHARDS
from glofnd.data.catalogue import DATASETS, configured
from workflow.grid import Grid, Trunk

__all__ = ["job_counts", "rule_of", "splits_read", "trunks"]

Config = dict[str, Any]


def trunks(grid: Grid) -> list[Trunk]:
    """Every trunk that a run branches from, and those these go on from."""
    found: dict[str, Trunk] = {}
    for run in grid.runs.values():
        trunk = grid.start_of_run(run)
        while trunk is not None and trunk.id not in found:
            found[trunk.id] = trunk
            trunk = grid.start_of_trunk(trunk)
    return list(found.values())


def splits_read(grid: Grid) -> list[tuple[str, str]]:
    """(data set, split) pairs that anything trains or tests on."""
    pairs: dict[tuple[str, str], None] = {}
    for experiment in grid.config["experiments"].values():
        pairs[experiment["dataset"], experiment["split"]] = None
        for tasks in experiment["evaluations"].values():
            for task in tasks:
                pairs |= {(task["dataset"], task[key]): None for key in ("train", "test", "split") if key in task}
    return list(pairs)


def rule_of(kind: str) -> str:
    """Rule that does `features` or an evaluation."""
    if kind in ("features", "discovery"):
        return kind
    return "tune" if kind in READS_SHARDS else "evaluate"


def job_counts(grid: Grid) -> dict[str, int]:
    """Rule -> jobs; evaluations on stored features are jobs of the rule `evaluate`."""
    config, read = grid.config, splits_read(grid)
    counts: Counter[str] = Counter(
        resolve=1, aggregate=1, mlflow=1, report=1, significance=int(bool(config["significance"]))
    )
    blocks = [config["datasets"][dataset] for dataset, _ in read]
    counts["fetch"] = len({configured(DATASETS[block["dataset"]], block).source for block in blocks} - {None})
    counts["shard"] = len(read)
    counts["trunk"] = len(trunks(grid))
    counts["pretrain"] = len(grid.runs)
    for run in grid.all_runs:
        counts["features"] += bool(grid.feature_splits(run))
        for evaluation in grid.evaluations(run):
            counts[rule_of(evaluation)] += 1
    order = ("fetch", "shard", "trunk", "pretrain", "features", "evaluate", "tune", "discovery")
    return {rule: counts[rule] for rule in (*order, *sorted(counts.keys() - set(order))) if counts[rule]}
