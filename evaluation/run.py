"""All evaluations of one run in one process: checkpoint and data are read once, each result is written as it comes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from evaluation.features import Features, features_of
from evaluation.results import is_whole
from evaluation.split_pictures import Pictures
from evaluation.task import Task
from glofnd import checkpoint
from glofnd.encoders import build_model
from glofnd.encoders.frozen import digest_of, frozen
from glofnd.files import sha256
from glofnd.provenance import Stopwatch, config_hash, provenance

__all__ = ["BASELINES", "Subject", "evaluate"]

BASELINES = ("raw-pixels", "random-init")
"""Encoders that are not trained: the labels of the detector in their run configs."""


@dataclass
class Subject:
    """What is evaluated: an encoder with its data; everything is read on first use.

    Attributes:
        config: run config.
        checkpoint: of a trained run, `None` for a baseline or a model that `config["model"]` describes.
        shards: folder of all shards, `{dataset}/{split}` below it.
        out: folder of the run; an evaluation writes below `out / its name`.
    """

    config: dict[str, Any]
    checkpoint: Path | None
    shards: Path
    out: Path
    _pictures: dict[tuple[str, str], Pictures] = field(default_factory=dict)
    _features: dict[tuple[str, str], Features] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        """Of the run."""
        return int(self.config["seed"])

    @property
    def label(self) -> str:
        """Label of the run's detector, or of the baseline."""
        return str(self.config["detector"]["label"])

    @cached_property
    def source(self) -> dict[str, str]:
        """What identifies the encoder in the provenance of results."""
        if self.checkpoint is not None:
            return {"checkpoint": sha256(self.checkpoint)}
        if "model" in self.config:
            return {"model": f"{config_hash(self.config['model'])}/{digest_of(self.encoder())}"}
        if self.label not in BASELINES:
            raise ValueError(f"{self.config['run']}: has no checkpoint and is none of {', '.join(BASELINES)}")
        return {"baseline": f"{self.label}/{config_hash(self.config)}"}

    def inputs(self, tasks: Sequence[Task]) -> dict[str, str]:
        """Checksums of everything that the results of these tasks depend on: encoder, shards and files of the tasks."""
        splits = dict.fromkeys(split for task in tasks for split in task.splits())
        shards = {"/".join(split): self.pictures(*split).sha256 for split in splits}
        return self.source | shards | {name: digest for task in tasks for name, digest in task.files().items()}

    @cached_property
    def state(self) -> dict[str, Any]:
        """The checkpoint."""
        if self.checkpoint is None:
            raise ValueError(f"{self.config['run']}: a baseline has no checkpoint")
        return checkpoint.read(self.checkpoint)

    @cached_property
    def model(self) -> Any | None:
        """The encoder in evaluation mode on its device; `None` for raw pixels. Nobody may change it."""
        if "model" in self.config:
            model = frozen(**self.config["model"])
            if self.config["modality"] == "unimodal":
                model.modality = "unimodal"
        elif self.checkpoint is None and self.source and self.label == "raw-pixels":
            return None
        else:
            model = build_model(checkpoint.config_of(self.state) if self.checkpoint is not None else self.config)
            if self.checkpoint is not None:
                model.load_state_dict(self.state["model"])
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return model.to(device).to(memory_format=torch.channels_last).eval()

    def encoder(self) -> Any:
        """`model`; raises `ValueError` for raw pixels."""
        if self.model is None:
            raise ValueError(f"{self.config['run']}: {self.label} has no encoder")
        return self.model

    def pictures(self, dataset: str, split: str) -> Pictures:
        """A split's pictures."""
        key = dataset, split
        if key not in self._pictures:
            self._pictures[key] = Pictures(self.shards, dataset, split)
        return self._pictures[key]

    def features(self, dataset: str, split: str) -> Features:
        """A split's features."""
        key = dataset, split
        if key not in self._features:
            folder = self.out / "features"
            self._features[key] = features_of(self.model, self.pictures(*key), self.source, folder)
        return self._features[key]


def evaluate(
    config: dict[str, Any], tasks: dict[str, list[dict[str, Any]]], checkpoint: Path | None, shards: Path, out: Path
) -> None:
    """Do every evaluation of a run that is not done, and write `out/<evaluation>/metrics.json` after each.

    A result is left as it is if it is whole and was made of the same config, tasks, checkpoint and shards. Features are
    kept in `out/features`. An evaluation that fails leaves the others; the first error is raised in the end.

    Args:
        config: run config, all defaults filled in.
        tasks: evaluation -> its tasks, parameters of `EVALUATIONS[evaluation].task`.
        checkpoint: checkpoint.pt of the run; `None` for a baseline, which `config["detector"]["label"]` names, and for
            an encoder from elsewhere, which `config["model"]` describes (`glofnd.encoders.frozen`).
        shards: folder of all shards, `{dataset}/{split}` below it.
        out: folder of the run.

    Raises:
        ValueError: an unknown evaluation, a task that is not valid, data that do not fit it.
    """
    from evaluation import EVALUATIONS

    if unknown := tasks.keys() - EVALUATIONS.keys():
        raise ValueError(f"unknown evaluations {', '.join(sorted(unknown))}; choose from {', '.join(EVALUATIONS)}")
    asked = {name: [entry.task(**task) for task in tasks[name]] for name, entry in EVALUATIONS.items() if name in tasks}
    subject = Subject(config, checkpoint, Path(shards), Path(out))
    failures: dict[str, Exception] = {}
    for name, wanted in asked.items():
        try:
            _evaluate(subject, name, wanted)
        except Exception as error:
            failures[name] = error
            print(f"{config['run']}: {name} failed: {error}", file=sys.stderr)
    if failures:
        raise next(iter(failures.values()))


def _evaluate(subject: Subject, name: str, tasks: list[Task]) -> None:
    from evaluation import EVALUATIONS

    watch = Stopwatch()
    inputs = subject.inputs(tasks)
    settings = {"run": subject.config, "tasks": [vars(task) for task in tasks]}
    folder = subject.out / name
    if is_whole(folder, config_hash(settings), inputs):
        return
    findings = EVALUATIONS[name].run(subject, tasks)
    device = "cpu" if subject.model is None else str(subject.model.mean.device)
    findings.write(folder, provenance(settings, inputs, watch, device))
    (folder / "resume.npz").unlink(missing_ok=True)
