"""The command `discovery`: who a detector takes for a false negative, against the labels.

A baseline has no detector: what it finds is what exact quantiles of its similarities find, so that a detector is held
against what raw pixels or an untrained encoder give away for nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from evaluation.discovery_report import Watched, report_side
from evaluation.gallery import write_gallery
from evaluation.observing import observe
from evaluation.old_results import Findings, run_identity
from evaluation.old_tasks import DiscoveryTask
from evaluation.untrained import untrained
from glofnd import checkpoint
from glofnd.data.stream import ShardStream
from glofnd.encoders import build_model
from glofnd.files import sha256
from glofnd.pretraining import objective_from
from glofnd.provenance import Stopwatch, provenance

__all__ = ["PROTOCOL", "discover", "discover_untrained"]

PROTOCOL = "batches-of-next-epoch"
"""Pairs are those of the batches of the epoch after the last, augmented and normalised as in training."""


def _stream(config: dict[str, Any], shards: Path, task: DiscoveryTask) -> ShardStream:
    folder = shards / task.dataset / task.split
    stream = ShardStream(folder, batch_size=config["training"]["batch_size"], seed=config["seed"])
    if config["label"] not in stream.manifest.labels:
        raise ValueError(f"{folder}: no label field {config['label']!r}, which the run config names as truth")
    return stream


def discover(path: Path, shards: Path, task: DiscoveryTask, out: Path, threads: int) -> Findings:
    """Write metrics.json, predictions.npz and gallery.npz of one checkpoint into `out`.

    Args:
        path: checkpoint.pt.
        shards: folder of all shards, `{dataset}/{split}` below it.
        task: the training split.
        out: output folder.
        threads: CPU threads.

    Raises:
        ValueError: the shards are not those the checkpoint was trained on.
    """
    watch = Stopwatch()
    torch.set_num_threads(threads)
    state = checkpoint.read(path)
    config = checkpoint.config_of(state)
    stream = _stream(config, shards, task)
    trained_on = state["provenance"]["inputs"].get("shards")
    if trained_on not in (None, stream.manifest.sha256()):
        folder = shards / task.dataset / task.split
        raise ValueError(f"{folder}: not the shards {path} was trained on (their manifest differs); take those")
    model = build_model(config)
    model.load_state_dict(state["model"])
    model.to(memory_format=torch.channels_last)
    objective = objective_from(state, stream.indices)
    inputs = {"checkpoint": sha256(path)}
    return _discover(config, model, objective, stream, int(state["epoch"]), task, out, inputs, watch)


def discover_untrained(
    name: str,
    config: dict[str, Any],
    source: dict[str, str],
    shards: Path,
    task: DiscoveryTask,
    out: Path,
    threads: int,
) -> Findings:
    """The same of a baseline, in the batches that its experiment's runs are observed in.

    Args:
        name: `raw-pixels` or `random-init`.
        config: run config of the baseline.
        source: its identity.
        shards, task, out, threads: as in `discover`.
    """
    watch = Stopwatch()
    torch.set_num_threads(threads)
    stream = _stream(config, shards, task)
    model, objective = untrained(config, name, stream.indices)
    return _discover(config, model, objective, stream, config["training"]["epochs"], task, out, source, watch)


def _discover(
    config: dict[str, Any],
    model: Any,
    objective: Any,
    stream: ShardStream,
    epoch: int,
    task: DiscoveryTask,
    out: Path,
    inputs: dict[str, str],
    watch: Stopwatch,
) -> Findings:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    manifest, method = stream.manifest, config["detector"].get("method")
    findings = Findings(run_identity(config), "discovery", PROTOCOL)
    watched = Watched(config["label"], config["detector"].get("alpha", task.alpha), method is not None, config["seed"])
    sides = observe(model.to(device), objective.to(device), stream, config, epoch)
    sides = {name: report_side(findings, task, name, side, watched, manifest) for name, side in sides.items()}
    write_gallery(
        out / "gallery.npz",
        sides["image"],
        manifest,
        config["label"],
        method == "oracle",
        task.anchors,
        task.found,
        config["seed"],
    )
    inputs = {**inputs, f"{task.dataset}/{task.split}": manifest.sha256()}
    findings.write(out, provenance(config, inputs, watch, str(model.mean.device)))
    return findings
