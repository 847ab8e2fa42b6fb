"""What each rule reads and is given: the rules' input and parameter functions, by the wildcards of a job.

A path is a text relative to the working directory, a parameter is ready for a command line. Parameters hold exactly
what decides a job's result, because Snakemake reruns a job when they change.
"""

from __future__ import annotations

import json
import shlex
from pathlib import PurePosixPath
from typing import Any

from glofnd.data.catalogue import DATASETS, configured
from glofnd.registry import EXECUTION
from workflow.grid import Grid, Trunk

__all__ = ["Jobs"]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


class Jobs:
    """Inputs and parameters of every job of a resolved config."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.grid = Grid(config)
        self.raw, self.shards = config["paths"]["raw"], config["paths"]["shards"]

    @staticmethod
    def folder(path: str) -> str:
        """The folder a file is in."""
        return str(PurePosixPath(path).parent)

    @staticmethod
    def option(name: str, value: str | list[str]) -> str:
        """A quoted command-line option, or nothing where its value is empty."""
        return f"{name} {shlex.quote(str(value))}" if value else ""

    def as_json(self) -> str:
        """The whole resolved config."""
        return _json(self.config)

    # Data

    def source(self, dataset: str) -> list[str]:
        """What a data set is made from: nothing where it is the user's own files."""
        block = self.config["datasets"][dataset]
        source = configured(DATASETS[block["dataset"]], block).source
        return [f"{self.raw}/{source}/source.json"] if source else []

    def dataset_config(self, dataset: str) -> str:
        """The data set's block of the config."""
        return _json(self.config["datasets"][dataset])

    def manifest(self, dataset: str, split: str) -> str:
        """Manifest of one split's shards."""
        return f"{self.shards}/{dataset}/{split}/manifest.json"

    # Pretraining

    def training_manifest(self, name: str) -> str:
        """Manifest of the shards that a run or trunk of that id trains on."""
        experiment = self.config["experiments"][name.split("/")[0]]
        return self.manifest(experiment["dataset"], experiment["split"])

    def training_threads(self, name: str) -> int:
        """CPU threads of a run or trunk of that id, of all its processes on one node."""
        return self.processes * int(self.config["experiments"][name.split("/")[0]]["training"]["threads"])

    @property
    def processes(self) -> int:
        """Processes on each node of one training."""
        asked = self.config["resources"]["pretrain"]
        return int(asked["processes"] or max(asked["gpu"], 1))

    def trainer(self, name: str) -> str:
        """The command that trains a run or trunk of that id, up to its options."""
        nodes = self.config["resources"]["pretrain"]["nodes"]
        if nodes * self.processes == 1:
            return "python -m glofnd.pretraining"
        launch = f"torchrun --nproc-per-node {self.processes} --shutdown-timeout 100"
        launch += " --signals-to-handle SIGTERM,SIGINT,SIGUSR1"
        if nodes == 1:
            return f"{launch} --standalone -m glofnd.pretraining"
        # One agent on each node; they meet on the first.
        cpus = self.processes * int(self.config["experiments"][name.split("/")[0]]["training"]["threads"])
        step = f"srun --nodes {nodes} --ntasks {nodes} --ntasks-per-node 1 --cpus-per-task {cpus} --kill-on-bad-exit=1"
        place = '"$(hostname):$((20000 + SLURM_JOB_ID % 20000))"'
        return f"{step} {launch} --nnodes {nodes} --rdzv-backend c10d --rdzv-endpoint {place} -m glofnd.pretraining"

    def execution(self, name: str) -> str:
        """How a run or trunk of that id is executed, as options; changes none of its numbers."""
        training = self.config["experiments"][name.split("/")[0]]["training"]
        return " ".join(self.option(f"--{key.replace('_', '-')}", str(training[key])) for key in EXECUTION)

    def _trunk(self, trunk: str, epoch: int) -> Trunk:
        experiment, objective, seed = trunk.split("/")
        return Trunk(experiment, objective, int(seed.removeprefix("seed")), epoch)

    def _checkpoint_of(self, trunk: Trunk | None) -> list[str]:
        return [f"{self.grid.trunk_folder(trunk)}/checkpoint.pt"] if trunk else []

    def start_of_trunk(self, trunk: str, epoch: str) -> list[str]:
        """Checkpoint that a trunk goes on from, if any."""
        return self._checkpoint_of(self.grid.start_of_trunk(self._trunk(trunk, int(epoch))))

    def start_of_run(self, run: str) -> list[str]:
        """Checkpoint that a run branches from, if any."""
        return self._checkpoint_of(self.grid.start_of_run(self.grid.run(run)))

    def trunk_config(self, trunk: str) -> str:
        """Run config of a trunk."""
        return _json(self.grid.trunk_config(self._trunk(trunk, 0)))

    def run_config(self, run: str) -> str:
        """Run config of a run."""
        return _json(self.grid.run_config(self.grid.run(run)))

    # Evaluation

    def checkpoint(self, run: str) -> list[str]:
        """Checkpoint of a run; a baseline has none."""
        found = self.grid.run(run)
        return [f"{self.grid.run_folder(found)}/checkpoint.pt"] if found.kind == "method" else []

    def feature_source(self, run: str) -> str:
        """What is evaluated, as options: a checkpoint, or a baseline with the config that shapes it."""
        found = self.grid.run(run)
        if found.kind == "method":
            return self.option("--checkpoint", f"{self.grid.run_folder(found)}/checkpoint.pt")
        config = self.option("--run-config", _json(self.grid.run_config(found)))
        return f"{self.option('--baseline', found.detector)} {config}"

    def feature_splits(self, run: str) -> str:
        """Every data set and split whose features are asked for, as options."""
        pairs = self.grid.feature_splits(self.grid.run(run))
        return " ".join(self.option("--split", f"{dataset}/{split}") for dataset, split in pairs)

    def prompts(self, run: str) -> str:
        """The zero-shot tasks of a run as options: their prompts are embedded together with the features."""
        found = self.grid.run(run)
        tasks = self.grid.tasks(found, "zero-shot") if "zero-shot" in self.grid.evaluations(found) else []
        return " ".join(self.option("--zero-shot", _json(task)) for task in tasks)

    def feature_manifests(self, run: str) -> list[str]:
        """Manifests of all shards whose features a run's evaluations read."""
        return [self.manifest(*pair) for pair in self.grid.feature_splits(self.grid.run(run))]

    def task_manifests(self, run: str, evaluation: str) -> list[str]:
        """Manifests of the shards that an evaluation reads itself."""
        tasks = self.grid.tasks(self.grid.run(run), evaluation)
        splits = [(task["dataset"], task[key]) for task in tasks for key in ("train", "test", "split") if key in task]
        return list(dict.fromkeys(self.manifest(*split) for split in splits))

    def task_options(self, run: str, evaluation: str) -> str:
        """Every task of an evaluation as an option."""
        tasks = self.grid.tasks(self.grid.run(run), evaluation)
        return " ".join(self.option("--task", _json(task)) for task in tasks)

    # Results

    def all_metrics(self) -> list[str]:
        """Every metrics.json of the benchmark."""
        return [*self.grid.training_metrics(), *self.grid.evaluation_metrics()]
