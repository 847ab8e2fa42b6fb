"""One training: what is built from a run config, one step of it, and its state in a checkpoint."""

from __future__ import annotations

import json
import math
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from glofnd import checkpoint
from glofnd.counter_random import step_seed
from glofnd.data.stream import SampleBatch, ShardStream
from glofnd.detectors import Detector, build_detector
from glofnd.encoders import Model
from glofnd.encoders.frozen import first_model
from glofnd.objectives import build_objective
from glofnd.pretraining.history import EpochRecord
from glofnd.pretraining.neighbours import neighbour_accuracy
from glofnd.pretraining.optimiser import build_optimiser, rate
from glofnd.pretraining.options import TrainingOptions
from glofnd.pretraining.processes import Processes
from glofnd.views import TwoViews

__all__ = ["Trainer", "embed_pair", "objective_from", "objective_of"]

# Memory for decoded pictures, of all processes of a node together.
_CACHE_BYTES = 2**31

# Stream of `counter_random.step_seed`.
_DROPOUT = 0xD209

# For the curve of accuracy: few enough to cost a few percent of the smallest epochs.
_KNN_PICTURES = 1000


def objective_of(config: dict[str, Any], num_samples: int, dim: int) -> Any:
    """The untrained objective of a run config, with its detector, for embeddings of width `dim`."""
    blocks = [config["detector"], config["objective"]]
    detector, objective = ({k: v for k, v in block.items() if k not in ("label", "method")} for block in blocks)
    built = build_detector(config["detector"]["method"], num_samples, dim, **detector)
    return build_objective(config["objective"]["method"], num_samples, built, **objective)


def objective_from(state: dict[str, Any], num_samples: int, dim: int) -> Any:
    """The objective of a checkpoint with its per-sample state.

    Args:
        state: what `checkpoint.read` returned.
        num_samples: size of the training set.
        dim: width of the embeddings, the model's `dim`.
    """
    objective = objective_of(checkpoint.config_of(state), num_samples, dim)
    objective.load_state_dict(state["objective"])
    return objective


def embed_pair(
    model: Model | DistributedDataParallel, views: TwoViews, batch: SampleBatch, epoch: int, precision: str
) -> tuple[Tensor, Tensor]:
    """Embeddings [B, D] of two views (unimodal), or of one view and its caption (bimodal), as training sees them.

    Raises:
        ValueError: a bimodal model on data without captions.
    """
    plain: Any = model.module if isinstance(model, DistributedDataParallel) else model
    device = plain.mean.device
    images, index = batch.images.to(device, non_blocking=True), batch.index
    second: Any
    if plain.modality == "unimodal":
        first, second = views(images, index, epoch)
    elif batch.captions is None:
        raise ValueError("bimodal pretraining needs captions, and these shards have none")
    else:
        first, second = views.one(images, index, epoch, view=0), batch.captions
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        embeddings: tuple[Tensor, Tensor] = model(first, second)
    return embeddings


class Trainer:
    """Model, objective, optimiser and position of one run, and the stream it is trained on.

    Call `load`, if there is something to go on from, then `start`, in all processes alike.

    Args:
        config: run config; its `training` has only the keys that decide the numbers.
        options: all of them.
        shards: folder with the training split's manifest.json.
        processes: those that train together.

    Attributes:
        epoch, batch: finished epochs, and finished batches of the next.
        history: one entry per finished epoch.
    """

    def __init__(self, config: dict[str, Any], options: TrainingOptions, shards: Path, processes: Processes) -> None:
        self.config, self.options, self.processes = config, options, processes
        if options.batch_size % processes.size:
            raise ValueError(
                f"training.batch_size: {options.batch_size} samples cannot be split evenly among {processes.size} "
                "processes; take a multiple"
            )
        torch.set_num_threads(options.threads)
        self.device = processes.device(options.device)
        # Shapes never change, so the fastest convolution is worth the search.
        torch.backends.cudnn.benchmark = True
        self.stream = ShardStream(
            shards,
            batch_size=options.batch_size,
            seed=config["seed"],
            workers=options.workers,
            rank=processes.rank,
            world=processes.size,
            cache_bytes=_CACHE_BYTES // processes.local_size,
            window=options.shuffle_window,
            verify=processes.local_rank == 0,
        )
        # Data without labels have no truth, so nothing is recorded that needs it.
        self.labelled = bool(self.stream.manifest.labels)
        if self.labelled and config["label"] not in self.stream.manifest.labels:
            known = ", ".join(sorted(self.stream.manifest.labels))
            raise ValueError(f"label: the shards have no field {config['label']!r}; choose from {known}")
        self.model = first_model(config).to(self.device).train()
        self.network: Any = self.model
        self.objective = objective_of(config, self.stream.indices, self.model.dim).to(self.device).train()
        self.optimiser = build_optimiser(self.model, self.objective, options)
        self.views = TwoViews(**config["views"], seed=config["seed"])
        self.epoch, self.batch, self.history = 0, 0, list[dict[str, Any]]()
        self.record = EpochRecord()

    def start(self) -> None:
        """Be ready for the first step: pictures decoded where they are kept, model and objective distributed."""
        self.stream.load()
        self.network = self.processes.synchronise(self.model)
        if self.processes.size > 1:
            self.objective.distribute(layout=self.options.state_layout)

    @property
    def step(self) -> int:
        """Finished steps."""
        return self.epoch * self.stream.batches_per_epoch + self.batch

    def train_step(self, batch: SampleBatch) -> Tensor:
        """One optimiser step; returns the loss of the whole batch, which a GPU may still be computing."""
        options, per_epoch = self.options, self.stream.batches_per_epoch
        factor = rate(self.step, options.epochs * per_epoch, round(options.warmup_epochs * per_epoch))
        for group in self.optimiser.param_groups:
            if group["scheduled"]:
                group["lr"] = options.lr * factor
        # Dropout, where a tower has it, draws from (seed, step, rank), so a resumed run draws the same.
        torch.manual_seed(step_seed(self.config["seed"], self.step, self.processes.rank, stream=_DROPOUT))
        if self.device.type == "cuda":
            batch = batch.pin_memory()
        first, second = embed_pair(self.network, self.views, batch, self.epoch, options.precision)
        # On the CPU an index is checked, without waiting for a GPU.
        index, label = batch.index, self.config["label"]
        labels = batch.labels[label].to(self.device, non_blocking=True) if self.labelled else None
        loss = self.objective(first, second, index, epoch=self.epoch, labels=labels)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.objective.after_step()
        filtering = self.epoch >= self.config["detector"].get("start_filter", math.inf)
        if filtering and labels is not None and self.batch % options.inspect_every == 0:
            parts = (first, second, index.to(self.device), labels)
            whole = [self.processes.gather(part.detach()) for part in parts]
            seen = self.objective.inspect(*whole[:3], labels=whole[3], epoch=self.epoch)
            self.record.add_inspection(seen, whole[3])
        value: Tensor = loss.detach()
        return value

    def settle(self) -> float:
        """Wait for all steps so far; returns the last one's loss.

        Raises:
            ValueError: a loss is not finite.
        """
        losses = self.record.settle()
        for step, loss in enumerate(losses, start=self.record.sums["steps"] - len(losses)):
            if not math.isfinite(loss):
                where = f"epoch {self.epoch}, step {step}"
                raise ValueError(f"{self.config['run']}: loss is {loss} at {where}; lower training.lr")
        return losses[-1] if losses else math.nan

    def close_epoch(self) -> None:
        """Enter the epoch's record into the history and go to the next; raises as `settle` does."""
        self.settle()
        started = self.epoch >= self.config["detector"].get("start_update", 0)
        thresholds = {name: self._learned(d) if started else None for name, d in self.objective.detectors.items()}
        samples = self.stream.batches_per_epoch * self.options.batch_size
        lr = self.optimiser.param_groups[0]["lr"]
        entry = self.record.close(self.epoch, lr, samples, thresholds)
        if self.processes.rank == 0 and self.labelled:
            entry["knn"] = neighbour_accuracy(self.model, self._few, self.config["label"], self.views.size)
        self.history.append(entry)
        self.epoch, self.batch, self.record = self.epoch + 1, 0, EpochRecord()

    @cached_property
    def _few(self) -> SampleBatch:
        """The pictures of the curve of accuracy, which are read once."""
        return self.stream.some(_KNN_PICTURES)

    def _learned(self, detector: Detector) -> Tensor | None:
        """The detector's thresholds, without those of samples left out of the shards, which never learn."""
        thresholds = detector.thresholds
        if thresholds is None or thresholds.ndim == 0:
            return thresholds
        return thresholds[torch.from_numpy(self.stream.manifest.index).to(thresholds.device)]

    def state(self, provenance: dict[str, Any]) -> dict[str, Any]:
        """Content of a checkpoint, the same whatever the number of processes; all of them must call it together.

        Raises:
            ValueError: a loss is not finite.
        """
        self.settle()
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
            "provenance": provenance,
        }

    def load(self, state: dict[str, Any], branching: bool) -> None:
        """Go on from the content of a checkpoint.

        Args:
            state: what `checkpoint.read` returned, made from this config and these shards.
            branching: it is a trunk, from which all is taken but the detector.

        Raises:
            ValueError: it does not fit, because another version of the code made it.
        """
        try:
            self.model.load_state_dict(state["model"])
            incompatible = self.objective.load_state_dict(state["objective"], strict=not branching)
            missing = [key for key in incompatible.missing_keys if not key.startswith("detectors.")]
            if missing or incompatible.unexpected_keys:
                raise ValueError(", ".join(missing + incompatible.unexpected_keys))
            self.optimiser.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"does not fit this version of the code ({' '.join(str(error).split())})") from error
        self.history, self.record = state["history"], EpochRecord(state.get("record"))
        self.epoch = state["epoch"]
        self.batch = state["step"] - self.epoch * self.stream.batches_per_epoch
