"""What trainings and evaluations would refuse of the data once these are there: found before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache, partial
from pathlib import Path
from typing import Any

from evaluation import EVALUATIONS
from evaluation.leakage import align
from evaluation.split_pictures import Pictures
from evaluation.task import SplitTask
from glofnd.data.manifest import verify_shards
from workflow.config_checks import contradictions
from workflow.grid import Grid

__all__ = ["refusals"]


def refusals(grid: Grid) -> list[str]:
    """One line for each problem: of the shards, of splits with each other, of the config with their sizes."""
    opened = cache(partial(Pictures, Path(grid.config["paths"]["shards"]), cache_bytes=0))
    found: dict[str, None] = {}
    for check in _checks(grid, opened):
        try:
            check()
        except ValueError as error:
            found[str(error)] = None
    config = deepcopy(grid.config)
    for dataset, split in grid.splits_read():
        config["datasets"][dataset][f"{split}_samples"] = len(opened(dataset, split))
    return [*found, *contradictions(config, set(), files=False)]


def _no_oracle(name: str) -> None:
    raise ValueError(f"{name}: an oracle needs labels, and these pictures have none; switch it off (`oracle: false`)")


def _checks(grid: Grid, opened: Callable[[str, str], Pictures]) -> Iterator[Callable[[], Any]]:
    """What jobs do before their work, as functions that raise `ValueError`."""
    for pair in grid.splits_read():
        yield partial(verify_shards, opened(*pair).manifest)
    aligned = cache(align)
    for experiment in grid.config["experiments"].values():
        trained = opened(experiment["dataset"], experiment["split"])
        if trained.manifest.labels:
            yield partial(trained.label, experiment["label"])
        elif any(block["method"] == "oracle" for block in experiment["detectors"].values()):
            yield partial(_no_oracle, trained.name)
        for name, tasks in experiment["evaluations"].items():
            for task in (EVALUATIONS[name].task(**given) for given in tasks):
                sides = [opened(*split) for split in task.splits()]
                if isinstance(task, SplitTask):
                    yield partial(aligned, *sides, task.label)
                for field in (getattr(task, key, None) for key in ("label", "together")):
                    if field is not None:
                        yield partial(sides[0].label, field)
