"""From a resolved config to the runs of a benchmark, what each starts from and what it is evaluated on.

Pure: reads no file and imports nothing heavy, so that a grid of ten thousand runs is laid out in a moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from evaluation.registry import READS_SHARDS
from glofnd.registry import EXECUTION, first_touch

__all__ = ["BASELINE", "Grid", "Run", "Trunk"]

Config = dict[str, Any]

BASELINE = "baseline"
"""Stands where a method's run has its objective."""


@dataclass(frozen=True, slots=True)
class Run:
    """One cell of the grid: a trained method, or a baseline that trains nothing."""

    experiment: str
    objective: str
    detector: str
    seed: int

    @property
    def kind(self) -> str:
        """`method` or `baseline`."""
        return "baseline" if self.objective == BASELINE else "method"

    @property
    def id(self) -> str:
        """The run's name in paths, tables and MLflow."""
        return f"{self.experiment}/{self.objective}/{self.detector}/seed{self.seed}"


@dataclass(frozen=True, slots=True)
class Trunk:
    """Training shared by all detectors of one objective and seed, up to `epoch`."""

    experiment: str
    objective: str
    seed: int
    epoch: int

    @property
    def id(self) -> str:
        """The trunk's name in paths."""
        return f"{self.experiment}/{self.objective}/seed{self.seed}/epoch{self.epoch}"


class Grid:
    """The runs of a resolved config (`workflow.configuration.resolve`)."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.results: str = config["paths"]["results"]

    @cached_property
    def runs(self) -> dict[str, Run]:
        """Every trained run by its id."""
        found = (
            Run(name, objective, detector, seed)
            for name, experiment in self.config["experiments"].items()
            for objective in experiment["objectives"]
            for detector in experiment["detectors"]
            for seed in self.config["seeds"]
        )
        return {run.id: run for run in found}

    @cached_property
    def baselines(self) -> dict[str, Run]:
        """Every baseline run by its id."""
        found = (
            Run(name, BASELINE, baseline, seed)
            for name, experiment in self.config["experiments"].items()
            for baseline in experiment["baselines"]
            for seed in self.config["seeds"]
        )
        return {run.id: run for run in found}

    def run(self, run_id: str) -> Run:
        """The run of that id; an unknown one raises `KeyError`."""
        return self.runs[run_id] if run_id in self.runs else self.baselines[run_id]

    @property
    def all_runs(self) -> Iterator[Run]:
        """Trained runs, then baselines."""
        yield from self.runs.values()
        yield from self.baselines.values()

    # Trunks

    @cached_property
    def trunk_epochs(self) -> dict[str, list[int]]:
        """Epochs at which detectors of each experiment leave the trunk, ascending. Epoch 0 needs no trunk."""
        return {
            name: sorted({epoch for d in experiment["detectors"].values() if (epoch := first_touch(d["method"], d))})
            for name, experiment in self.config["experiments"].items()
        }

    def start_of_run(self, run: Run) -> Trunk | None:
        """The trunk a run branches from: the one that ends where its detector first touches anything."""
        detector = self.config["experiments"][run.experiment]["detectors"][run.detector]
        epochs = self.trunk_epochs[run.experiment]
        epoch = first_touch(detector["method"], detector)
        if epoch is None:
            epoch = epochs[-1] if epochs else 0
        return Trunk(run.experiment, run.objective, run.seed, epoch) if epoch else None

    def start_of_trunk(self, trunk: Trunk) -> Trunk | None:
        """The trunk that a longer trunk goes on from."""
        earlier = [epoch for epoch in self.trunk_epochs[trunk.experiment] if epoch < trunk.epoch]
        return Trunk(trunk.experiment, trunk.objective, trunk.seed, earlier[-1]) if earlier else None

    # Run configs

    def run_config(self, run: Run) -> Config:
        """Everything that decides a run's result and nothing else, so that Snakemake reruns exactly what changed."""
        experiment = self.config["experiments"][run.experiment]
        if run.kind == "baseline":
            objective, detector = {"label": BASELINE}, {"label": run.detector}
        else:
            objective = {"label": run.objective, **experiment["objectives"][run.objective]}
            detector = {"label": run.detector, **experiment["detectors"][run.detector]}
        return self._config(run.id, run.experiment, run.seed, objective, detector)

    def trunk_config(self, trunk: Trunk) -> Config:
        """The run config of a trunk: no detector, whatever the experiment calls its runs without one."""
        objective = {
            "label": trunk.objective,
            **self.config["experiments"][trunk.experiment]["objectives"][trunk.objective],
        }
        name = f"{trunk.experiment}/{trunk.objective}/trunk/seed{trunk.seed}"
        return self._config(name, trunk.experiment, trunk.seed, objective, {"label": "none", "method": "none"})

    def _config(self, run: str, name: str, seed: int, objective: Config, detector: Config) -> Config:
        experiment = self.config["experiments"][name]
        return {
            "run": run,
            "experiment": name,
            "modality": experiment["modality"],
            "seed": seed,
            "dataset": experiment["dataset"],
            "label": experiment["label"],
            "encoder": experiment["encoder"],
            "views": experiment["views"],
            "training": {key: value for key, value in experiment["training"].items() if key not in EXECUTION},
            "objective": objective,
            "detector": detector,
        }

    # Evaluations

    def evaluations(self, run: Run) -> list[str]:
        """Names of the evaluations of a run: of a baseline those its untrained towers can take."""
        experiment = self.config["experiments"][run.experiment]
        asked = list(experiment["evaluations"])
        if run.kind == "method":
            return asked
        texts = experiment["modality"] == "bimodal" and run.detector == "random-init"
        possible = ["linear", "transfer", "transfer-paper"]
        if run.detector == "random-init" or experiment["modality"] == "unimodal":
            possible.append("discovery")
        if run.detector == "random-init":
            possible += ["linear-paper", "fine-tuning", *(("zero-shot", "retrieval") if texts else ())]
        return [name for name in asked if name in possible]

    def tasks(self, run: Run, evaluation: str) -> list[Config]:
        """The tasks of one evaluation of a run."""
        found: list[Config] = self.config["experiments"][run.experiment]["evaluations"][evaluation]
        return found

    def feature_splits(self, run: Run) -> list[tuple[str, str]]:
        """(data set, split) pairs whose features the evaluations of a run read, each once, in a stable order."""
        pairs = {
            (task["dataset"], task[key]): None
            for evaluation in self.evaluations(run)
            if evaluation not in READS_SHARDS
            for task in self.tasks(run, evaluation)
            for key in ("train", "test", "split")
            if key in task
        }
        return list(pairs)

    # Files

    def run_folder(self, run: Run) -> str:
        """Folder of everything that belongs to a run."""
        return f"{self.results}/runs/{run.id}"

    def trunk_folder(self, trunk: Trunk) -> str:
        """Folder of a trunk's checkpoint."""
        return f"{self.results}/trunks/{trunk.id}"

    def training_metrics(self) -> list[str]:
        """metrics.json of every training."""
        return [f"{self.run_folder(run)}/metrics.json" for run in self.runs.values()]

    def evaluation_metrics(self) -> list[str]:
        """metrics.json of every evaluation of every run."""
        return [
            f"{self.run_folder(run)}/{name}/metrics.json" for run in self.all_runs for name in self.evaluations(run)
        ]
