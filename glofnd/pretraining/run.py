"""Everything that a run carries from step to step, what of it a checkpoint holds, and how it comes back."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from glofnd import checkpoint
from glofnd.counter_random import step_seed
from glofnd.data.stream import Batch, ShardStream
from glofnd.detectors import Detector, build_detector
from glofnd.encoders import build_model
from glofnd.encoders.batch_norm import synchronise
from glofnd.objectives import build_objective
from glofnd.pretraining.history import EpochRecord
from glofnd.pretraining.optimiser import build_optimiser, set_rate
from glofnd.pretraining.pairs import embed_pair, truth
from glofnd.pretraining.team import Team
from glofnd.provenance import Stopwatch, provenance
from glofnd.registry import EXECUTION, first_touch
from glofnd.views import TwoViews

__all__ = ["Run", "invalidating", "objective_from", "objective_of"]

# Memory for decoded pictures, of all processes of a node together.
_CACHE_BYTES = 2**31

# Keys that change how fast a run is, or what it is called, but none of its numbers.
_FREE = {"run", *(f"training.{key}" for key in EXECUTION)}

# Stream of `counter_random.step_seed`.
_DROPOUT = 0xD209


def objective_of(config: dict[str, Any], num_samples: int) -> Any:
    """The untrained objective of a run config, with its detector."""

    def parameters(block: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in block.items() if key not in ("label", "method")}

    detector = build_detector(config["detector"]["method"], num_samples, **parameters(config["detector"]))
    return build_objective(config["objective"]["method"], num_samples, detector, **parameters(config["objective"]))


def objective_from(state: dict[str, Any], num_samples: int) -> Any:
    """The objective of a checkpoint with its per-sample state.

    Args:
        state: what `checkpoint.read` returned.
        num_samples: size of the training set.
    """
    objective = objective_of(checkpoint.config_of(state), num_samples)
    objective.load_state_dict(state["objective"])
    return objective


def invalidating(stored: dict[str, Any], asked: dict[str, Any], branching: bool = False) -> str:
    """The keys, with both values, in which two configs differ such that neither can go on from the other's checkpoint.

    Empty if there are none. With `branching` the detectors may be different ones.
    """
    found = checkpoint.differing_keys(stored, asked)
    counting = (key for key in found if key not in _FREE and not (branching and key.startswith("detector.")))
    return ", ".join(f"{key} ({found[key]})" for key in counting)


def _check_branch(path: Path, trunk: dict[str, Any], branch: dict[str, Any], done: int, per_epoch: int) -> None:
    """Refuse a trunk that an unbranched run of `branch` would not have gone through, given the steps it has done."""
    for owner, detector in (("its own", trunk), ("this run's", branch)):
        first = first_touch(detector["method"], detector)
        if first is not None and first * per_epoch < done:
            epochs = f"{done / per_epoch:g} epochs"
            raise ValueError(
                f"{path}: {owner} detector {detector['label']!r} is at work from epoch {first} on, and this trunk has "
                f"{epochs} behind it; branch from an earlier one"
            )


class Run:
    """Model, objective, optimiser and position of one run, and the stream it is trained on.

    Args:
        config: run config without the keys of `EXECUTION`: what decides the numbers, and stands in the checkpoint.
        execution: those keys.
        shards: folder with the training split's manifest.json.
        team: the processes that train it together.

    Call `restore`, if there is something to go on from, then `start`, on all processes alike.
    """

    def __init__(self, config: dict[str, Any], execution: dict[str, Any], shards: Path, team: Team) -> None:
        self.config, self.training, self.execution, self.team = config, config["training"], execution, team
        if self.training["batch_size"] % team.size:
            raise ValueError(
                f"training.batch_size: {self.training['batch_size']} pictures cannot be split evenly among {team.size} "
                "processes; take a multiple"
            )
        torch.set_num_threads(execution["threads"])
        self.device = team.device(execution["device"])
        if self.device.type == "cuda":
            # Shapes never change, so the fastest convolution is worth the search.
            torch.backends.cudnn.benchmark = True
        self.stream = ShardStream(
            shards,
            batch_size=self.training["batch_size"],
            seed=config["seed"],
            workers=execution["workers"],
            rank=team.rank,
            world=team.size,
            cache_bytes=_CACHE_BYTES // team.local_size,
            verify=team.local_rank == 0,
        )
        self.model = build_model(config).to(self.device).train()
        if team.ranks is not None:
            synchronise(self.model, team.ranks)
        self.objective = objective_of(config, self.stream.indices).to(self.device).train()
        self.optimiser = build_optimiser(self.model, self.objective, self.training)
        self.views = TwoViews(**config["views"], seed=config["seed"])
        self.epoch, self.batch, self.history = 0, 0, list[dict[str, Any]]()
        self.record = EpochRecord()

    @property
    def step(self) -> int:
        """Steps done."""
        return self.epoch * self.stream.batches_per_epoch + self.batch

    @property
    def filtering(self) -> bool:
        """Whether false negatives are dropped in this epoch."""
        return bool(self.epoch >= self.config["detector"].get("start_filter", math.inf))

    def state(self, watch: Stopwatch, inputs: dict[str, str]) -> dict[str, Any]:
        """What a checkpoint holds, the same whatever the number of processes; all of them must ask together."""
        return {
            "format": checkpoint.FORMAT,
            "config": json.dumps(self.config),
            "epoch": self.epoch,
            "step": self.step,
            "model": self.model.state_dict(),
            "objective": self.objective.full_state_dict(),
            "optimizer": self.optimiser.state_dict(),
            "history": self.history,
            "record": self.record.sums,
            "provenance": provenance(self.config, inputs, watch, str(self.device)),
        }

    def save(self, path: Path, watch: Stopwatch, inputs: dict[str, str]) -> None:
        """Write a checkpoint, once for all processes; none goes on before it is whole."""
        state = self.state(watch, inputs)
        if self.team.first:
            checkpoint.write(path, state)
        self.team.meet()

    def restore(self, path: Path, state: dict[str, Any], branching: bool, shards: str) -> None:
        """Go on from a checkpoint.

        Args:
            path: of the checkpoint, for messages.
            state: what `checkpoint.read` found in it.
            branching: it is a trunk, made without a detector.
            shards: SHA-256 of the manifest of these shards.

        Raises:
            ValueError: it was made from other shards or with another config, or does not fit this version of the code.
        """
        if state["provenance"]["inputs"].get("shards") != shards:
            raise ValueError(f"{path}: trained on other shards than these; train it again")
        stored, per_epoch = checkpoint.config_of(state), self.stream.batches_per_epoch
        if differing := invalidating(stored, self.config, branching):
            raise ValueError(f"{path}: made with another config; these keys differ: {differing}")
        if branching:
            _check_branch(path, stored["detector"], self.config["detector"], state["step"], per_epoch)
        try:
            self.model.load_state_dict(state["model"])
            incompatible = self.objective.load_state_dict(state["objective"], strict=not branching)
            # A branch starts with a fresh detector; everything else of the objective must be in the trunk.
            lost = [key for key in incompatible.missing_keys if not key.startswith("detectors.")]
            if lost or incompatible.unexpected_keys:
                raise ValueError(", ".join(lost + incompatible.unexpected_keys))
            self.optimiser.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"{path}: does not fit this version ({reason}); delete it and run again") from error
        self.history, self.record = state["history"], EpochRecord(state.get("record"))
        self.epoch, self.batch = state["epoch"], state["step"] - state["epoch"] * per_epoch

    def start(self) -> None:
        """Be ready for the first step: pictures decoded where they are kept, state shared, everybody here."""
        self.stream.load()
        self.team.meet()
        if self.team.ranks is not None:
            self.objective.distribute(layout=self.execution["state_layout"])

    def train_step(self, batch: Batch) -> float:
        """One optimiser step; returns the loss of the whole batch."""
        training = self.training
        per_epoch = self.stream.batches_per_epoch
        warmup = round(training["warmup_epochs"] * per_epoch)
        set_rate(self.optimiser, training["lr"], self.step, training["epochs"] * per_epoch, warmup)
        # Dropout and the like, where a tower has it, draw from (seed, step, rank), so a resumed run draws the same.
        torch.manual_seed(step_seed(self.config["seed"], self.step, self.team.rank, stream=_DROPOUT))
        if self.device.type == "cuda":
            batch = batch.pin_memory()
        first, second = embed_pair(self.model, self.views, batch, self.epoch, training["precision"])
        index = batch.index.to(self.device, non_blocking=True)
        labels = truth(batch, self.config["label"]).to(self.device, non_blocking=True)
        loss = self.objective(first, second, index, epoch=self.epoch, labels=labels)
        value = float(loss.detach())
        if not math.isfinite(value):
            where = f"epoch {self.epoch}, step {self.batch}"
            raise ValueError(f"{self.config['run']}: loss is {value} at {where}; lower training.lr")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.team.average_gradients(self.model)
        self.optimiser.step()
        self.objective.after_step()
        if self.filtering and self.batch % training["inspect_every"] == 0:
            self._inspect(first.detach(), second.detach(), index, labels)
        return value

    def _inspect(self, first: Tensor, second: Tensor, index: Tensor, labels: Tensor) -> None:
        """Count what is dropped from the whole batch."""
        first, second, index, labels = (self.team.gather(part) for part in (first, second, index, labels))
        seen = self.objective.inspect(first, second, index, labels=labels, epoch=self.epoch)
        self.record.add_inspection(seen, labels)

    def _learned(self, detector: Detector) -> Tensor | None:
        """The detector's thresholds, without those of samples left out of the shards, which never learn."""
        thresholds = detector.thresholds
        if thresholds is None or thresholds.ndim == 0:
            return thresholds
        return thresholds[torch.from_numpy(self.stream.manifest.index).to(thresholds.device)]

    def close_epoch(self) -> None:
        """Enter the epoch's record into the history and go to the next."""
        started = self.epoch >= self.config["detector"].get("start_update", 0)
        thresholds = {name: self._learned(d) if started else None for name, d in self.objective.detectors.items()}
        samples = self.stream.batches_per_epoch * self.training["batch_size"]
        lr = self.optimiser.param_groups[0]["lr"]
        self.history.append(self.record.close(self.epoch, lr, samples, thresholds))
        self.epoch, self.batch, self.record = self.epoch + 1, 0, EpochRecord()
