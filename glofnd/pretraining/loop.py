"""`pretrain`: from shards and a run config to a checkpoint, resumable at any step.

While it trains, a rolling `resume-*.pt` lies beside its results. The name is a hash of everything that decides the
numbers (config, shards, trunk, last epoch), so another run's is never taken, and the number of processes may change. It
is written every `checkpoint_seconds` and when a signal asks to stop, and removed at the end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from glofnd import checkpoint
from glofnd.files import sha256, write_json
from glofnd.pretraining.options import EXECUTION, TrainingOptions
from glofnd.pretraining.processes import Processes, processes_of
from glofnd.pretraining.signals import Preempted, StopSignals
from glofnd.pretraining.trainer import Trainer
from glofnd.progress import progress
from glofnd.provenance import Stopwatch, config_hash, provenance

__all__ = ["pretrain"]

# Keys of a config that change none of the run's numbers.
_FREE = ("run", *(f"training.{key}" for key in EXECUTION))

# What a process asks for after a step; the largest wish of all is done.
_GO_ON, _SAVE, _STOP = range(3)

# Seconds between two looks at the loss, for each of which the host waits for a GPU.
_LOOK = 0.5

_logger = logging.getLogger(__name__)


def pretrain(
    config: dict[str, Any], shards: Path, out: Path, trunk: Path | None = None, until_epoch: int | None = None
) -> None:
    """Train one run and write checkpoint.pt, history.json and metrics.json into `out`.

    Called in every process that torchrun has started, each of them trains on its part of every batch.

    Args:
        config: run config (docs/architecture.md), every default filled in.
        shards: folder with the training split's manifest.json.
        out: output folder.
        trunk: checkpoint to branch from; it must have been made with the same config but for the detector.
        until_epoch: stop after this many epochs, with the schedules of the whole run (this is how a trunk is made).

    Raises:
        ValueError: config, data and checkpoint do not fit each other, or the loss is not finite.
        Preempted: a signal asked to stop, and the rolling checkpoint is written.
    """
    watch, options = Stopwatch(), TrainingOptions(**config["training"])
    # What decides the numbers, and stands in the checkpoint.
    config = {**config, "training": {k: v for k, v in config["training"].items() if k not in EXECUTION}}
    last = options.epochs if until_epoch is None else until_epoch
    if not 1 <= last <= options.epochs:
        raise ValueError(f"until_epoch: {last} is not between 1 and the run's {options.epochs} epochs")
    inputs = {"shards": sha256(shards / "manifest.json")}
    if trunk is not None:
        inputs["trunk"] = sha256(trunk)
    if start := config.get("init_from", {}).get("weights"):
        inputs["init_from"] = sha256(start)
    resume = out / f"resume-{config_hash([{**config, 'run': None}, inputs, last])}.pt"
    with processes_of(options.device) as processes:
        trainer = Trainer(config, options, shards, processes)
        if (state := _rolling(resume, processes)) is not None:
            _load(trainer, resume, state, inputs["shards"], branching=False)
        else:
            if processes.rank == 0:
                _explain_unused(out, config)
            if trunk is not None:
                _load(trainer, trunk, checkpoint.read(trunk), inputs["shards"], branching=True)
        if trainer.epoch > last:
            raise ValueError(f"{trunk}: already at epoch {trainer.epoch}, beyond epoch {last}")
        trainer.start()

        def state_now() -> dict[str, Any]:
            return trainer.state(provenance(config, inputs, watch, str(trainer.device)))

        with StopSignals() as stop:
            _train(trainer, last, out, resume, state_now, stop)
            _finish(trainer, out, state_now())


def _train(
    trainer: Trainer, last: int, out: Path, resume: Path, state_now: Callable[[], dict[str, Any]], stop: StopSignals
) -> None:
    """Train up to epoch `last`, with checkpoints."""
    processes, options, per_epoch = trainer.processes, trainer.options, trainer.stream.batches_per_epoch
    size, name = options.batch_size, trainer.config["run"]
    done = {"initial": trainer.step * size, "disable": processes.rank > 0}
    _keep_history(trainer, out)
    saved = began = looked = time.monotonic()
    with progress(None, last * per_epoch * size, name, "samples", **done) as bar:
        while trainer.epoch < last:
            for batch in trainer.stream.epoch(trainer.epoch, start_batch=trainer.batch):
                loss = trainer.train_step(batch)
                trainer.batch += 1
                now = time.monotonic()
                trainer.record.add_step(loss, now - began)
                if now - looked >= _LOOK:
                    said = f"epoch {trainer.epoch + 1}/{last} loss {trainer.settle():.4f}"
                    bar.set_postfix_str(said, refresh=False)
                    looked = now
                due = now - saved >= options.checkpoint_seconds
                wish = processes.largest(_STOP if stop.received else _SAVE if due else _GO_ON)
                if wish != _GO_ON:
                    state = state_now()
                    if processes.rank == 0:
                        checkpoint.write(resume, state)
                    # None goes on, or ends, before it is whole.
                    processes.barrier()
                    saved = time.monotonic()
                if wish == _STOP:
                    raise Preempted(
                        f"stopped on request after step {trainer.step}; the same call goes on from {resume}"
                    )
                bar.update(size)
                began = time.monotonic()
            trainer.close_epoch()
            _keep_history(trainer, out)


def _keep_history(trainer: Trainer, out: Path) -> None:
    """Write history.json, which who watches a training reads after each epoch."""
    if trainer.processes.rank == 0:
        write_json(out / "history.json", {"epochs": trainer.history})


def _rolling(path: Path, processes: Processes) -> dict[str, Any] | None:
    """The rolling checkpoint of this very run; None, in all processes alike, where one of them cannot read it."""
    try:
        state = checkpoint.read(path)
    except (FileNotFoundError, checkpoint.CheckpointError):
        state = None
    return None if processes.largest(int(state is None)) else state


def _explain_unused(out: Path, config: dict[str, Any]) -> None:
    """Say why a rolling checkpoint that lies here is not gone on from."""
    for path in sorted(out.glob("resume-*.pt")):
        try:
            differing = _differing(checkpoint.config_of(checkpoint.read(path)), config)
        except checkpoint.CheckpointError as error:
            why = error.reason
        else:
            why = f"these keys differ: {differing}" if differing else "it has other shards, trunk or last epoch"
        _logger.warning("%s is not used: %s; training starts anew", path.name, why)


def _load(trainer: Trainer, path: Path, state: dict[str, Any], shards: str, branching: bool) -> None:
    """Go on from a checkpoint, after a check that it was made from the same shards and config."""
    if state["provenance"]["inputs"].get("shards") != shards:
        raise ValueError(f"{path}: trained on other shards than these; train it again")
    stored = checkpoint.config_of(state)
    if differing := _differing(stored, trainer.config, branching):
        raise ValueError(f"{path}: made with another config; these keys differ: {differing}")
    if branching:
        done = state["step"] / trainer.stream.batches_per_epoch
        for owner, detector in (("its own", stored["detector"]), ("this run's", trainer.config["detector"])):
            first = min((detector[key] for key in ("start_update", "start_filter") if key in detector), default=done)
            if first < done:
                raise ValueError(
                    f"{path}: {owner} detector {detector['label']!r} is at work from epoch {first} on, and this trunk "
                    f"has {done:g} epochs behind it; branch from an earlier one"
                )
    try:
        trainer.load(state, branching)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; delete it and run again") from error


def _differing(stored: dict[str, Any], asked: dict[str, Any], branching: bool = False) -> str:
    """The keys that decide the numbers and differ, with both values; with `branching` detectors may differ."""
    found = checkpoint.differing_keys(stored, asked)
    counting = (key for key in found if key not in _FREE and not (branching and key.startswith("detector.")))
    return ", ".join(f"{key} ({found[key]})" for key in counting)


def _finish(trainer: Trainer, out: Path, state: dict[str, Any]) -> None:
    """Write the other results and remove rolling checkpoints."""
    if trainer.processes.rank == 0:
        config, history = trainer.config, trainer.history
        run = {
            "id": config["run"],
            "experiment": config["experiment"],
            "seed": config["seed"],
            "objective": config["objective"]["label"],
            "detector": config["detector"]["label"],
            "kind": "method",
        }
        training = {
            "epochs": trainer.epoch,
            "seconds": round(sum(entry["seconds"] for entry in history), 3),
            "loss": history[-1]["loss"],
            "samples": trainer.stream.samples,
            "skipped": len(trainer.stream.manifest.skipped),
            "parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
            "processes": trainer.processes.size,
            "state_bytes_per_sample": trainer.objective.bytes_per_sample,
        }
        metrics = {
            "format": 1,
            "run": run,
            "evaluation": "pretraining",
            "protocol": "pretraining",
            "metrics": [],
            "training": training,
            "config": config,
            "provenance": state["provenance"],
        }
        write_json(out / "metrics.json", metrics)
        checkpoint.write(out / "checkpoint.pt", state)
        # A process killed while it wrote has left a temporary file.
        for leftover in (*out.glob("resume-*.pt"), *out.glob(".*.part")):
            leftover.unlink()
    trainer.processes.barrier()
