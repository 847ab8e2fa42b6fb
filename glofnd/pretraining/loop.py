"""The training loop: from shards and a run config to a checkpoint, resumable at any step."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from glofnd import checkpoint
from glofnd.files import sha256, write_json
from glofnd.pretraining.preemption import Preempted, Preemption
from glofnd.pretraining.run import Run, invalidating
from glofnd.pretraining.team import Team
from glofnd.progress import Progress
from glofnd.provenance import Stopwatch, config_hash
from glofnd.registry import DETECTORS, EXECUTION, TRAINING, with_defaults

__all__ = ["pretrain"]

# What a rank may wish after a step; the largest wish is done.
_GO_ON, _SAVE, _STOP = range(3)


def pretrain(
    config: dict[str, Any],
    shards: Path,
    out: Path,
    trunk: Path | None = None,
    until_epoch: int | None = None,
    team: Team | None = None,
) -> None:
    """Train one run and write checkpoint.pt, history.json and metrics.json into `out`.

    A rolling `resume-*.pt` in `out`, named after everything that decides the numbers, lets the same command go on where
    it was interrupted, with as many processes as then take part; it is removed at the end. It is written every
    `checkpoint_seconds`, after whichever step, and when a signal asks for it (`glofnd.pretraining.preemption`). A
    damaged one is not used, and that is said.

    Args:
        config: run config (docs/architecture.md); defaults of the detector and of `EXECUTION` are filled in.
        shards: folder with the training split's manifest.json.
        out: output folder.
        trunk: checkpoint to branch from; it must have been made with the same config but for the detector.
        until_epoch: stop after this many epochs, with the schedules of the whole run (this is how a trunk is made).
        team: the processes that train the run together, each of which calls this; None for this one alone.

    Raises:
        ValueError: config, data and checkpoint do not fit each other, or the loss is not finite.
        Preempted: a signal asked to stop, and the rolling checkpoint is written.
    """
    watch, team = Stopwatch(), team or Team()
    config, execution = _split(config)
    inputs = {"shards": sha256(shards / "manifest.json")}
    if trunk is not None:
        inputs["trunk"] = sha256(trunk)
    run = Run(config, execution, shards, team)
    last = run.training["epochs"] if until_epoch is None else until_epoch
    if not 1 <= last <= run.training["epochs"]:
        raise ValueError(f"--until-epoch: {last} is not between 1 and the run's {run.training['epochs']} epochs")
    resume = out / f"resume-{config_hash([_deciding(config), inputs, last])}.pt"
    if (state := _rolling(resume, team)) is not None:
        run.restore(resume, state, branching=False, shards=inputs["shards"])
    else:
        if team.first:
            _announce_refused(out, config, resume)
        if trunk is not None:
            run.restore(trunk, checkpoint.read(trunk), branching=True, shards=inputs["shards"])
    if run.epoch > last:
        raise ValueError(f"{trunk}: already at epoch {run.epoch}, beyond epoch {last}")
    run.start()
    with Preemption(follow_parent=team.size > 1) as preemption:
        _train(run, last, resume, watch, inputs, preemption)
        _finish(run, out, watch, inputs)


def _split(config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What decides the numbers, with the detector's defaults, and what does not."""
    method, training = config["detector"]["method"], config["training"]
    execution = {key: training.get(key, TRAINING[key]["default"]) for key in EXECUTION}
    deciding = {
        **config,
        "training": {key: value for key, value in training.items() if key not in EXECUTION},
        "detector": {**config["detector"], **with_defaults(DETECTORS[method], config["detector"])},
    }
    return deciding, execution


def _deciding(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != "run"}


def _rolling(path: Path, team: Team) -> dict[str, Any] | None:
    """The rolling checkpoint of this very run; None, on all ranks alike, where there is none that can be read."""
    if path.is_dir():
        raise ValueError(f"{path}: is a folder, where the rolling checkpoint is to be written; remove it")
    # The others come from checking the shards, and one process sees a file on a shared disk before another does.
    team.meet()
    if not team.agree(int(path.is_file())):
        return None
    try:
        state = checkpoint.read(path)
    except checkpoint.CheckpointError:
        state = None
    team.meet()
    return None if team.agree(int(state is None)) else state


def _announce_refused(out: Path, config: dict[str, Any], own: Path) -> None:
    """Say why a rolling checkpoint that lies here is not gone on from; `own` is that of this very run."""
    for path in sorted(out.glob("resume-*.pt")):
        if path.is_dir():
            continue
        try:
            differing = invalidating(checkpoint.config_of(checkpoint.read(path)), config)
        except checkpoint.CheckpointError as error:
            why = error.reason
        else:
            other = "another rank cannot read it" if path == own else "it has other shards or another trunk"
            why = f"these keys differ: {differing}" if differing else other
        print(f"{path.name} is not used: {why}; training starts anew", file=sys.stderr)


def _train(run: Run, last: int, resume: Path, watch: Stopwatch, inputs: dict[str, str], preemption: Preemption) -> None:
    per_epoch, size = run.stream.batches_per_epoch, run.training["batch_size"]
    saved = time.monotonic()
    bar = Progress((last * per_epoch - run.step) * size, run.config["run"], "samples") if run.team.first else None
    while run.epoch < last:
        tick = time.monotonic()
        for batch in run.stream.epoch(run.epoch, start_batch=run.batch):
            loss = run.train_step(batch)
            run.batch += 1
            tock = time.monotonic()
            run.record.add_step(loss, tock - tick)
            due = tock - saved >= run.execution["checkpoint_seconds"]
            wish = run.team.agree(_STOP if preemption.requested else _SAVE if due else _GO_ON)
            if wish != _GO_ON:
                run.save(resume, watch, inputs)
                saved = time.monotonic()
            if wish == _STOP:
                raise Preempted(f"stopped on request after step {run.step}; the same command goes on from {resume}")
            if bar is not None:
                bar.advance(size, f"epoch {run.epoch + 1}/{last} loss {loss:.4f}")
            tick = time.monotonic()
        run.close_epoch()
    if bar is not None:
        bar.close()


def _finish(run: Run, out: Path, watch: Stopwatch, inputs: dict[str, str]) -> None:
    state = run.state(watch, inputs)
    if run.team.first:
        write_json(out / "history.json", {"epochs": run.history})
        write_json(out / "metrics.json", _metrics(run, state["provenance"]))
        checkpoint.write(out / "checkpoint.pt", state)
        # A process killed while it wrote has left a temporary file.
        for leftover in (*out.glob("resume-*.pt"), *out.glob(".*.part")):
            if not leftover.is_dir():
                leftover.unlink()
    run.team.meet()


def _metrics(run: Run, provenance: dict[str, Any]) -> dict[str, Any]:
    name = {"id": run.config["run"], "experiment": run.config["experiment"], "seed": run.config["seed"]}
    labels = {"objective": run.config["objective"]["label"], "detector": run.config["detector"]["label"]}
    return {
        "format": 1,
        "run": {**name, **labels, "kind": "method"},
        "evaluation": "pretraining",
        "protocol": "pretraining",
        "metrics": [],
        "training": {
            "epochs": run.epoch,
            "seconds": round(sum(entry["seconds"] for entry in run.history), 3),
            "loss": run.history[-1]["loss"],
            "samples": run.stream.samples,
            "skipped": len(run.stream.manifest.skipped),
            "parameters": sum(p.numel() for p in run.model.parameters() if p.requires_grad),
            "processes": run.team.size,
        },
        "config": run.config,
        "provenance": provenance,
    }
