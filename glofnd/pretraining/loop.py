"""The training loop: from shards and a run config to a checkpoint, resumable at any step."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from glofnd import checkpoint
from glofnd.data.stream import ShardStream
from glofnd.detectors import build_detector
from glofnd.encoders import build_model
from glofnd.files import sha256, write_json
from glofnd.objectives import build_objective
from glofnd.pretraining.history import EpochRecord
from glofnd.pretraining.optimiser import build_optimiser, set_rate
from glofnd.pretraining.pairs import embed_pair, truth
from glofnd.progress import Progress
from glofnd.provenance import Stopwatch, config_hash, provenance
from glofnd.registry import DETECTORS, with_defaults
from glofnd.views import TwoViews

__all__ = ["objective_from", "pretrain"]

# Keys that change how fast a run is, or what it is called, but none of its numbers.
_FREE = ("run", "training.threads", "training.workers", "training.device", "training.checkpoint_seconds")


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("training.device: cuda asked for, but no GPU is visible; use cpu or auto")
    return torch.device("cuda" if name == "auto" and torch.cuda.is_available() else name.replace("auto", "cpu"))


def _build_objective(config: dict[str, Any], num_samples: int) -> Any:
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
    objective = _build_objective(checkpoint.config_of(state), num_samples)
    objective.load_state_dict(state["objective"])
    return objective


def _invalidating(stored: dict[str, Any], asked: dict[str, Any], branching: bool) -> list[str]:
    free = (*_FREE, "detector.") if branching else _FREE
    return [key for key in checkpoint.differing_keys(stored, asked) if not key.startswith(free)]


class _Run:
    """Everything a checkpoint carries, and the stream it is trained on."""

    def __init__(self, config: dict[str, Any], shards: Path) -> None:
        training = config["training"]
        torch.set_num_threads(training["threads"])
        self.config, self.training = config, training
        self.device = _device(training["device"])
        self.stream = ShardStream(
            shards, batch_size=training["batch_size"], seed=config["seed"], workers=training["workers"]
        )
        layout = torch.channels_last if training["channels_last"] else torch.contiguous_format
        self.model = build_model(config).to(self.device).to(memory_format=layout).train()
        self.objective = _build_objective(config, self.stream.samples).to(self.device).train()
        self.optimiser = build_optimiser(self.model, self.objective, training)
        self.views = TwoViews(**config["views"], seed=config["seed"])
        self.epoch, self.batch, self.history = 0, 0, list[dict[str, Any]]()
        self.record = EpochRecord()

    def state(self, watch: Stopwatch, inputs: dict[str, str]) -> dict[str, Any]:
        return {
            "format": checkpoint.FORMAT,
            "config": json.dumps(self.config),
            "epoch": self.epoch,
            "step": self.epoch * self.stream.batches_per_epoch + self.batch,
            "model": self.model.state_dict(),
            "objective": self.objective.state_dict(),
            "optimizer": self.optimiser.state_dict(),
            "history": self.history,
            "record": self.record.sums,
            "provenance": provenance(self.config, inputs, watch, str(self.device)),
        }

    def restore(self, path: Path, branching: bool, shards: str) -> None:
        state = checkpoint.read(path)
        if state["provenance"]["inputs"].get("shards") != shards:
            raise ValueError(f"{path}: trained on other shards than these; train it again")
        differing = _invalidating(checkpoint.config_of(state), self.config, branching)
        if differing:
            raise ValueError(f"{path}: made with another config; these keys differ: {', '.join(differing)}")
        self.model.load_state_dict(state["model"])
        incompatible = self.objective.load_state_dict(state["objective"], strict=not branching)
        # A branch starts with a fresh detector; everything else of the objective must be in the trunk.
        lost = [key for key in incompatible.missing_keys if not key.startswith("detectors.")]
        if lost or incompatible.unexpected_keys:
            raise ValueError(f"{path}: its objective does not fit: {lost + incompatible.unexpected_keys}")
        self.optimiser.load_state_dict(state["optimizer"])
        self.history, self.record = state["history"], EpochRecord(state.get("record"))
        self.epoch, self.batch = state["epoch"], state["step"] - state["epoch"] * self.stream.batches_per_epoch

    def thresholds(self) -> dict[str, Tensor | None]:
        started = self.epoch >= self.config["detector"].get("start_update", 0)
        return {name: d.thresholds if started else None for name, d in self.objective.detectors.items()}


def _train_step(run: _Run, batch: Any, step: int, steps: int) -> float:
    """One optimiser step; returns the loss."""
    training, epoch = run.training, run.epoch
    lr = training["lr"]
    per_epoch = run.stream.batches_per_epoch
    set_rate(run.optimiser, lr, step, steps, round(training["warmup_epochs"] * per_epoch))
    # Dropout and the like, where a tower has it, draw from (seed, step), so that a resumed run draws the same.
    torch.manual_seed(run.config["seed"] * 1_000_003 + step)
    first, second = embed_pair(run.model, run.views, batch, epoch, training["precision"])
    index = batch.index.to(run.device)
    labels = truth(batch, run.config["label"]).to(run.device)
    filtering = "start_filter" in run.config["detector"] and epoch >= run.config["detector"]["start_filter"]
    inspect = filtering and run.batch % training["inspect_every"] == 0
    loss = run.objective(first, second, index, epoch=epoch, labels=labels)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise ValueError(f"{run.config['run']}: loss is {value} at epoch {epoch}, step {run.batch}; lower training.lr")
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    run.optimiser.step()
    run.objective.after_step()
    if inspect:
        seen = run.objective.inspect(first.detach(), second.detach(), index, labels=labels, epoch=epoch)
        run.record.add_inspection(seen, labels)
    return value


def pretrain(
    config: dict[str, Any], shards: Path, out: Path, trunk: Path | None = None, until_epoch: int | None = None
) -> None:
    """Train one run and write checkpoint.pt, history.json and metrics.json into `out`.

    A rolling `resume-*.pt` in `out`, named after everything that decides the numbers, lets the same command go on where
    it was interrupted; it is removed at the end.

    Args:
        config: run config (docs/architecture.md); defaults of the detector are filled in.
        shards: folder with the training split's manifest.json.
        out: output folder.
        trunk: checkpoint to branch from; it must have been made with the same config but for the detector.
        until_epoch: stop after this many epochs, with the schedules of the whole run (this is how a trunk is made).

    Raises:
        ValueError: config, data and checkpoint do not fit each other, or the loss is not finite.
    """
    watch = Stopwatch()
    method = config["detector"]["method"]
    config = {**config, "detector": {**config["detector"], **with_defaults(DETECTORS[method], config["detector"])}}
    inputs = {"shards": sha256(shards / "manifest.json")}
    if trunk is not None:
        inputs["trunk"] = sha256(trunk)
    run = _Run(config, shards)
    last = run.training["epochs"] if until_epoch is None else until_epoch
    if not 1 <= last <= run.training["epochs"]:
        raise ValueError(f"--until-epoch: {last} is not between 1 and the run's {run.training['epochs']} epochs")
    deciding = {key: value for key, value in config.items() if key not in _FREE}
    deciding["training"] = {k: v for k, v in run.training.items() if f"training.{k}" not in _FREE}
    resume = out / f"resume-{config_hash([deciding, inputs, last])}.pt"
    if resume.is_file():
        run.restore(resume, branching=False, shards=inputs["shards"])
    elif trunk is not None:
        run.restore(trunk, branching=True, shards=inputs["shards"])
    if run.epoch > last:
        raise ValueError(f"{trunk}: already at epoch {run.epoch}, beyond epoch {last}")

    per_epoch, size = run.stream.batches_per_epoch, run.training["batch_size"]
    steps, saved = run.training["epochs"] * per_epoch, time.monotonic()
    bar = Progress((last * per_epoch - run.epoch * per_epoch - run.batch) * size, config["run"], "samples")
    while run.epoch < last:
        tick = time.monotonic()
        for batch in run.stream.epoch(run.epoch, start_batch=run.batch):
            loss = _train_step(run, batch, run.epoch * per_epoch + run.batch, steps)
            run.batch += 1
            tock = time.monotonic()
            run.record.add_step(loss, tock - tick)
            bar.advance(size, f"epoch {run.epoch + 1}/{last} loss {loss:.4f}")
            if tock - saved >= run.training["checkpoint_seconds"]:
                checkpoint.write(resume, run.state(watch, inputs))
                saved = time.monotonic()
            tick = time.monotonic()
        lr = run.optimiser.param_groups[0]["lr"]
        run.history.append(run.record.close(run.epoch, lr, per_epoch * size, run.thresholds()))
        run.epoch, run.batch, run.record = run.epoch + 1, 0, EpochRecord()
    bar.close()
    _finish(run, out, watch, inputs)
    for leftover in out.glob("resume-*.pt"):
        leftover.unlink()


def _finish(run: _Run, out: Path, watch: Stopwatch, inputs: dict[str, str]) -> None:
    state = run.state(watch, inputs)
    write_json(out / "history.json", {"epochs": run.history})
    name = {"id": run.config["run"], "experiment": run.config["experiment"], "seed": run.config["seed"]}
    labels = {"objective": run.config["objective"]["label"], "detector": run.config["detector"]["label"]}
    seconds = sum(entry["seconds"] for entry in run.history)
    write_json(
        out / "metrics.json",
        {
            "format": 1,
            "run": {**name, **labels, "kind": "method"},
            "evaluation": "pretraining",
            "protocol": "pretraining",
            "metrics": [],
            "training": {
                "epochs": run.epoch,
                "seconds": round(seconds, 3),
                "loss": run.history[-1]["loss"],
                "samples": run.stream.samples,
                "parameters": sum(p.numel() for p in run.model.parameters() if p.requires_grad),
            },
            "config": run.config,
            "provenance": state["provenance"],
        },
    )
    checkpoint.write(out / "checkpoint.pt", state)
