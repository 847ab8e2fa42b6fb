"""From a resolved config to the runs of a benchmark: what each starts from, reads, is evaluated on, and where it lies.

Pure: reads no file. A path is a text relative to the working directory, as Snakemake wants it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

__all__ = ["BASELINE", "NONE", "Grid", "Run", "Trunk", "digest"]

Config = dict[str, Any]

BASELINE = "baseline"
"""Stands where a method's run has its objective."""

NONE = "none"
"""Label of the detector of trunks and rivals, which keeps every negative."""


@dataclass(frozen=True, slots=True)
class Run:
    """One cell of the grid: a trained method, or a baseline or model of the user's that trains nothing."""

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


def digest(value: object) -> str:
    """A short hash of what decides a job's result; Snakemake runs a job again where it changes."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


class Grid:
    """The runs of a resolved config (`workflow.config.resolve`)."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @property
    def results(self) -> str:
        """Folder of all results."""
        return str(self.config["paths"]["results"])

    def _cells(self, methods: Callable[[Config], Iterable[tuple[str, str]]], seeds: list[int]) -> dict[str, Run]:
        found = (
            Run(name, objective, detector, seed)
            for name, experiment in self.config["experiments"].items()
            for objective, detector in methods(experiment)
            for seed in seeds
        )
        return {run.id: run for run in found}

    @cached_property
    def runs(self) -> dict[str, Run]:
        """Every trained run by its id: each objective with each detector, and rivals with none."""
        seeds = self.config["seeds"]
        return self._cells(lambda e: [*product(e["objectives"], e["detectors"]), *product(e["rivals"], [NONE])], seeds)

    @cached_property
    def baselines(self) -> dict[str, Run]:
        """What is not trained here, by its id: baselines and the user's models; no method is compared with one.

        Of the first seed alone, for orientation; of every seed where a model has a file for each.
        """

        def cells(seeds: list[int], each: bool) -> dict[str, Run]:
            def labels(experiment: Config) -> Iterable[tuple[str, str]]:
                models = experiment["models"].items()
                chosen = [label for label, block in models if ("{seed}" in (block["weights"] or "")) == each]
                return product([BASELINE], chosen if each else [*experiment["baselines"], *chosen])

            return self._cells(labels, seeds)

        return cells(self.config["seeds"][:1], False) | cells(self.config["seeds"], True)

    def run(self, run_id: str) -> Run:
        """The run of that id; an unknown one raises `KeyError`."""
        return self.runs[run_id] if run_id in self.runs else self.baselines[run_id]

    def is_rival(self, run: Run) -> bool:
        """Whether the run's objective stands below `rivals`."""
        return run.objective in self.config["experiments"][run.experiment]["rivals"]

    @property
    def all_runs(self) -> Iterator[Run]:
        """Trained runs, then baselines."""
        yield from self.runs.values()
        yield from self.baselines.values()

    @cached_property
    def first_look(self) -> list[Run]:
        """Trained and evaluated before all others: baseline, and GloFND or the first detector, on one seed."""
        name, experiment = next(iter(self.config["experiments"].items()))
        baseline = (self.config["significance"] or {"baseline": NONE})["baseline"]
        methods = {label: block["method"] for label, block in experiment["detectors"].items()}
        others = [label for label in methods if label != baseline and methods[label] != "oracle"]
        others.sort(key=lambda label: methods[label] != "glofnd")
        if baseline not in methods or not others:
            return []
        objective, seed = next(iter(experiment["objectives"])), self.config["seeds"][0]
        return [Run(name, objective, label, seed) for label in (baseline, others[0])]

    def urgency(self, name: str) -> int:
        """What is added to the priority of a run or trunk of that id: 90 where the first look needs it."""
        return 90 * any(name in (run.id, f"{run.experiment}/{run.objective}/seed{run.seed}") for run in self.first_look)

    # Trunks

    @cached_property
    def trunk_epochs(self) -> dict[str, list[int]]:
        """Epochs at which detectors of each experiment leave the trunk, ascending. Epoch 0 needs no trunk."""
        return {
            name: sorted({epoch for block in experiment["detectors"].values() if (epoch := _first_touch(block))})
            for name, experiment in self.config["experiments"].items()
        }

    def start_of_run(self, run: Run) -> Trunk | None:
        """The trunk a run branches from: the one that ends where its detector first touches anything."""
        if self.is_rival(run):
            return None
        epochs = self.trunk_epochs[run.experiment]
        epoch = _first_touch(self.config["experiments"][run.experiment]["detectors"][run.detector])
        if epoch is None:
            epoch = epochs[-1] if epochs else 0
        return Trunk(run.experiment, run.objective, run.seed, epoch) if epoch else None

    def start_of_trunk(self, trunk: Trunk) -> Trunk | None:
        """The trunk that a longer trunk goes on from."""
        earlier = [epoch for epoch in self.trunk_epochs[trunk.experiment] if epoch < trunk.epoch]
        return Trunk(trunk.experiment, trunk.objective, trunk.seed, earlier[-1]) if earlier else None

    def trunk(self, name: str, epoch: int) -> Trunk:
        """The trunk `{experiment}/{objective}/seed{seed}` up to an epoch."""
        experiment, objective, seed = name.split("/")
        return Trunk(experiment, objective, int(seed.removeprefix("seed")), epoch)

    @cached_property
    def trunks(self) -> list[Trunk]:
        """Every trunk that a run branches from, and those these go on from."""
        found: dict[Trunk, None] = {}
        for run in self.runs.values():
            trunk = self.start_of_run(run)
            while trunk is not None and trunk not in found:
                found[trunk] = None
                trunk = self.start_of_trunk(trunk)
        return list(found)

    # Run configs

    def run_config(self, run: Run) -> Config:
        """What a run is: everything that decides its result, and how it is executed."""
        experiment = self.config["experiments"][run.experiment]
        if run.kind == "baseline":
            objective, detector = {"label": BASELINE}, {"label": run.detector}
        else:
            rival = self.is_rival(run)
            objective = {"label": run.objective, **experiment["rivals" if rival else "objectives"][run.objective]}
            detector = {"label": run.detector, **({"method": NONE} if rival else experiment["detectors"][run.detector])}
        made = self._config(run.id, run.experiment, run.seed, objective, detector)
        block = self.user_model(run)
        return made | {"model": block} if block else made

    def user_model(self, run: Run) -> Config | None:
        """What a run evaluates, where it is a model of the user's."""
        found: Config | None = None
        if run.kind == "baseline":
            found = self.config["experiments"][run.experiment]["models"].get(run.detector)
        if found and found["weights"]:
            found = found | {"weights": found["weights"].replace("{seed}", str(run.seed))}
        return found

    def trunk_config(self, trunk: Trunk) -> Config:
        """The run config of a trunk: no detector, whatever the experiment calls its runs without one."""
        block = self.config["experiments"][trunk.experiment]["objectives"][trunk.objective]
        name = f"{trunk.experiment}/{trunk.objective}/trunk/seed{trunk.seed}"
        objective, detector = {"label": trunk.objective, **block}, {"label": NONE, "method": NONE}
        return self._config(name, trunk.experiment, trunk.seed, objective, detector)

    def _config(self, run: str, name: str, seed: int, objective: Config, detector: Config) -> Config:
        experiment = self.config["experiments"][name]
        taken = ("modality", "dataset", "label", "encoder", "views", "training")
        named = {"run": run, "experiment": name, "seed": seed, "objective": objective, "detector": detector}
        start = {"init_from": experiment["init_from"]} if experiment["init_from"] else {}
        return named | {key: experiment[key] for key in taken} | start

    @staticmethod
    def deciding(config: Config) -> Config:
        """A run config without what changes none of its numbers."""
        # Here, since it comes with torch, which most readers of the grid do not need.
        from glofnd.pretraining.options import EXECUTION

        return {**config, "training": {key: v for key, v in config["training"].items() if key not in EXECUTION}}

    def processes(self) -> int:
        """Processes on each node of one training."""
        asked = self.config["resources"]["pretrain"]
        return int(asked["processes"] or max(asked["gpu"], 1))

    # Evaluations

    def evaluations(self, run: Run) -> list[str]:
        """Names of the evaluations of a run: of what reads no texts, or has no encoder, those that it can take."""
        experiment, model = self.config["experiments"][run.experiment], self.user_model(run)
        name = model and model["model"]
        textless = experiment["modality"] == "bimodal" and name and not name.startswith("open_clip/")
        if run.kind != "baseline" or not (run.detector == "raw-pixels" or textless):
            return list(experiment["evaluations"])
        from evaluation import EVALUATIONS  # here, as it imports torch, and each job of a cluster would

        return [n for n in experiment["evaluations"] if experiment["modality"] in EVALUATIONS[n].raw_pixels]

    def tasks(self, run: Run, evaluation: str) -> list[Config]:
        """The tasks of one evaluation of a run."""
        found: list[Config] = self.config["experiments"][run.experiment]["evaluations"][evaluation]
        return found

    def all_tasks(self, run: Run) -> dict[str, list[Config]]:
        """Evaluation -> tasks of a run."""
        return {name: self.tasks(run, name) for name in self.evaluations(run)}

    def splits_evaluated(self, name: str) -> list[tuple[str, str]]:
        """(data set, split) pairs that an experiment's evaluations read, each once."""
        return _splits(self.config["experiments"][name]["evaluations"].values())

    def splits_read(self) -> list[tuple[str, str]]:
        """(data set, split) pairs that anything trains or tests on, each once."""
        pairs: dict[tuple[str, str], None] = {}
        for name, experiment in self.config["experiments"].items():
            pairs |= dict.fromkeys([(experiment["dataset"], experiment["split"]), *self.splits_evaluated(name)])
        return list(pairs)

    # Files

    def source(self, dataset: str) -> list[str]:
        """What a data set is made from: nothing where it is the user's own files."""
        from glofnd.data.catalogue import DATASETS, configured

        block = self.config["datasets"][dataset]
        source = configured(DATASETS[block["dataset"]], block).source
        return [f"{self.config['paths']['raw']}/{source}/source.json"] if source else []

    def shards(self, dataset: str, split: str) -> str:
        """Folder of one split's shards."""
        return f"{self.config['paths']['shards']}/{dataset}/{split}"

    def training_shards(self, name: str) -> str:
        """Folder of the shards that a run or trunk of that id trains on."""
        experiment = self.config["experiments"][name.split("/")[0]]
        return self.shards(experiment["dataset"], experiment["split"])

    def evaluation_manifests(self, run: Run) -> list[str]:
        """Manifests of all shards that the evaluations of a run read."""
        return [f"{self.shards(*pair)}/manifest.json" for pair in _splits(self.all_tasks(run).values())]

    def own_weights(self, run: Run) -> list[str]:
        """The file that holds the weights of a user's model."""
        block = self.user_model(run)
        return [block["weights"]] if block and block["weights"] else []

    def first_weights(self, name: str) -> list[str]:
        """The file that a run or trunk of that id starts from."""
        start = self.config["experiments"][name.split("/")[0]]["init_from"]
        return [start["weights"]] if start and start["weights"] else []

    def run_folder(self, run: Run) -> str:
        """Folder of everything that belongs to a run."""
        return f"{self.results}/runs/{run.id}"

    def trunk_folder(self, trunk: Trunk) -> str:
        """Folder of a trunk's checkpoint."""
        return f"{self.results}/trunks/{trunk.id}"

    def trunk_checkpoint(self, trunk: Trunk | None) -> list[str]:
        """Checkpoint of a trunk; none where there is no trunk."""
        return [f"{self.trunk_folder(trunk)}/checkpoint.pt"] if trunk else []

    def checkpoint(self, run: Run) -> list[str]:
        """Checkpoint of a run; a baseline has none."""
        return [f"{self.run_folder(run)}/checkpoint.pt"] if run.kind == "method" else []

    def training_metrics(self) -> list[str]:
        """metrics.json of every training."""
        return [f"{self.run_folder(run)}/metrics.json" for run in self.runs.values()]

    def evaluated(self) -> list[str]:
        """evaluations.json of every run: all its evaluations are there."""
        return [f"{self.run_folder(run)}/evaluations.json" for run in self.all_runs if self.evaluations(run)]

    def evaluation_metrics(self) -> list[str]:
        """metrics.json of every evaluation of every run."""
        return [
            f"{self.run_folder(run)}/{name}/metrics.json" for run in self.all_runs for name in self.evaluations(run)
        ]


def _first_touch(detector: Config) -> int | None:
    """The first epoch in which a detector touches anything, `None` for one that never does.

    Until then every detector of one objective and seed trains identically, so they share a trunk.
    """
    starts = [detector[key] for key in ("start_update", "start_filter") if key in detector]
    return min(starts) if starts else None


def _splits(tasks: Iterable[list[Config]]) -> list[tuple[str, str]]:
    pairs = {
        (task["dataset"], task[key]): None
        for group in tasks
        for task in group
        for key in ("train", "test", "split")
        if key in task
    }
    return list(pairs)
