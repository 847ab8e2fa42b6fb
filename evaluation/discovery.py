"""The command `discovery`: who the detector of a checkpoint takes for a false negative, against the labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.detection import AnchorCounts, exact_thresholds, per_anchor, pooled
from evaluation.gallery import write_gallery
from evaluation.observing import Observation, observe
from evaluation.results import Findings, run_identity
from evaluation.tasks import DiscoveryTask
from glofnd import checkpoint
from glofnd.data.stream import ShardStream
from glofnd.encoders import build_model
from glofnd.files import sha256
from glofnd.pretraining import objective_from
from glofnd.provenance import Stopwatch, provenance

__all__ = ["EXACT_PAIRS", "PROTOCOL", "exact_counts", "run_discovery"]

Array = NDArray[Any]

PROTOCOL = "batches-of-next-epoch"
"""Pairs are those of the batches of the epoch after the last, augmented and normalised as in training."""

EXACT_PAIRS = 3 * 10**8
"""Similarities computed for exact quantiles; beyond, only a seeded sample of anchors gets one, still against all."""

_SHARES = np.logspace(-4, -0.3, 38)


def _chance(counts: AnchorCounts, name: str) -> float | None:
    """Score of dropping the same number of pairs at random."""
    scores = pooled(counts)
    base, share = scores["base_rate"], scores["dropped_share"]
    if base is None or share is None or share.value == 0:
        return None
    return {
        "precision": base.value,
        "recall": share.value,
        "f1": 2 * base.value * share.value / (base.value + share.value),
    }.get(name.removesuffix("_per_anchor"))


def exact_counts(side: Observation, field_labels: Array, exact: Array) -> AnchorCounts:
    """Counts of the same batches if each anchor's threshold were the exact quantile `exact` [N] (NaN: left out)."""
    samples = len(exact)
    sums = np.zeros((4, samples), np.int64)
    for batch in side.batches:
        true = field_labels[batch][:, None] == field_labels[batch]
        other = ~np.eye(len(batch), dtype=bool)
        kept = np.isfinite(exact[batch])
        for anchors in side.anchors:
            for candidates in side.candidates:
                dropped = (anchors[batch] @ candidates[batch].T > exact[batch][:, None]) & other
                parts = (other, dropped, true & other, true & dropped)
                sums[:, batch] += np.stack([part.sum(axis=1) for part in parts]) * kept
    return AnchorCounts(*sums)


def _exact(side: Observation, alpha: float, seed: int) -> Array:
    """Exact quantile thresholds over the seen samples, [N]; NaN for anchors that were not sampled."""
    seen = np.flatnonzero(side.seen)
    affordable = EXACT_PAIRS // (len(side.anchors) * len(side.candidates) * len(seen))
    rows = np.arange(len(seen))
    if affordable < len(seen):
        rows = np.sort(np.random.default_rng([0xE8AC7, seed]).permutation(len(seen))[: max(affordable, 1)])
    exact = np.full(len(side.seen), np.nan)
    exact[seen[rows]] = exact_thresholds(side.anchors[:, seen], side.candidates[:, seen], rows, alpha)
    return exact


class _Reporter:
    """Adds one modality's values to the findings."""

    def __init__(self, findings: Findings, task: DiscoveryTask, modality: str) -> None:
        self.findings, self.task = findings, task
        self.prefix = "" if modality == "image" else f"{modality}_"

    def add(self, name: str, value: float | None, n: int, **details: Any) -> None:
        self.findings.add(self.task.dataset, self.task.split, f"{self.prefix}{name}", value, n, **details)

    def scores(self, counts: AnchorCounts, suffix: str, prefix: str = "", main: bool = False) -> None:
        anchors = int((counts.pairs > 0).sum())
        for name, score in pooled(counts).items():
            if prefix and name in ("base_rate", "dropped_share"):
                continue
            self.add(
                f"{prefix}{name}{suffix}",
                None if score is None else score.value,
                anchors,
                stderr=None if score is None else score.stderr,
                chance=_chance(counts, name),
                primary=main and name == "f1",
            )

    def per_anchor(self, counts: AnchorCounts, suffix: str) -> None:
        for name, (score, n) in per_anchor(counts).items():
            self.add(
                f"{name}{suffix}",
                None if score is None else score.value,
                n,
                stderr=None if score is None else score.stderr,
                chance=_chance(counts, name),
                primary=False,
            )

    def errors(self, side: Observation, exact: Array) -> None:
        """Distance of the thresholds in use from the exact quantiles."""
        error = np.abs(side.threshold - exact)
        error = error[np.isfinite(error)]
        if not len(error):
            return
        spread = float(error.std(ddof=1) / np.sqrt(len(error))) if len(error) > 1 else None
        for name, value, stderr in (
            ("threshold_error", error.mean(), spread),
            ("threshold_error_median", np.median(error), None),
            ("threshold_error_p95", np.quantile(error, 0.95), None),
        ):
            self.add(name, float(value), len(error), stderr=stderr, higher_is_better=False, primary=False)


def _report(
    findings: Findings,
    task: DiscoveryTask,
    modality: str,
    side: Observation,
    config: dict[str, Any],
    labels: dict[str, Array],
) -> None:
    report = _Reporter(findings, task, modality)
    alpha = config["detector"].get("alpha")
    exact = np.full(len(side.seen), np.nan) if alpha is None else _exact(side, alpha, config["seed"])
    if alpha is not None:
        report.errors(side, exact)
    for name, counts in side.counts.items():
        main = name == config["label"]
        suffix = "" if main else f"@{name}"
        report.scores(counts, suffix, main=main and modality == "image")
        report.per_anchor(counts, suffix)
        histogram = side.histograms[name]
        base = pooled(counts)["base_rate"]
        report.add(
            f"average_precision{suffix}",
            histogram.average_precision(),
            int(side.seen.sum()),
            chance=None if base is None else base.value,
            primary=False,
        )
        if alpha is not None:
            report.scores(exact_counts(side, labels[name], exact), suffix, prefix="exact_")
        entry = f"{task.dataset}.{task.split}.{modality}.{name}"
        findings.predictions[f"{entry}.curve"] = histogram.curve(_SHARES)
        seen = np.flatnonzero(side.seen)
        for key in ("pairs", "dropped", "true", "correct"):
            findings.predictions[f"{entry}.{key}"] = getattr(counts, key)[seen]
    place = f"{task.dataset}.{task.split}.{modality}"
    seen = np.flatnonzero(side.seen)
    findings.predictions |= {f"{place}.index": seen, f"{place}.threshold": side.threshold[seen]}
    findings.predictions[f"{place}.exact"] = exact[seen]


def run_discovery(path: Path, shards: Path, tasks: list[DiscoveryTask], out: Path, threads: int) -> Findings:
    """Write metrics.json, predictions.npz and gallery.npz (of the first task) of one checkpoint into `out`.

    Args:
        path: checkpoint.pt.
        shards: folder of all shards, `{dataset}/{split}` below it.
        tasks: the training split, usually one task.
        out: output folder.
        threads: CPU threads.

    Raises:
        ValueError: the shards are not those the checkpoint was trained on.
    """
    watch = Stopwatch()
    torch.set_num_threads(threads)
    state = checkpoint.read(path)
    config = checkpoint.config_of(state)
    findings = Findings(run_identity(config), "discovery", PROTOCOL)
    inputs = {"checkpoint": sha256(path)}
    model = build_model(config)
    model.load_state_dict(state["model"])
    model.to("cuda" if torch.cuda.is_available() else "cpu").to(memory_format=torch.channels_last)
    for position, task in enumerate(tasks):
        folder = shards / task.dataset / task.split
        stream = ShardStream(folder, batch_size=config["training"]["batch_size"], seed=config["seed"])
        manifest = stream.manifest
        inputs[f"{task.dataset}/{task.split}"] = manifest.sha256()
        if config["label"] not in manifest.labels:
            raise ValueError(f"{folder}: no label field {config['label']!r}, which the run config names as truth")
        trained_on = state["provenance"]["inputs"].get("shards")
        if trained_on not in (None, manifest.sha256()):
            raise ValueError(f"{folder}: not the shards {path} was trained on (their manifest differs); take those")
        objective = objective_from(state, stream.samples).to(model.mean.device)
        sides = observe(model, objective, stream, config, int(state["epoch"]))
        for modality, side in sides.items():
            _report(findings, task, modality, side, config, manifest.labels)
        if position == 0:
            by_label = config["detector"]["method"] == "oracle"
            write_gallery(
                out / "gallery.npz",
                sides["image"],
                manifest,
                config["label"],
                by_label,
                task.anchors,
                task.found,
                config["seed"],
            )
    findings.write(out, provenance(config, inputs, watch, str(model.mean.device)))
    return findings
