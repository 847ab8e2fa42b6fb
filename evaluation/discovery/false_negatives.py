"""`discovery`: precision and recall of what a detector drops, its thresholds beside the exact ones, and a gallery.

Pairs are those of the batches of the epoch after the last. A baseline has no detector: what it finds is what exact
quantiles of its similarities find, so that a detector is held against what raw pixels or an untrained encoder give away
for nothing. Where the data have no labels there is no truth: the result says `unlabelled` and has thresholds, shares
and the gallery alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from evaluation.discovery.agreement import AnchorCounts, exact_thresholds, means, pooled, rank_curves
from evaluation.discovery.observation import Observation, PixelModel, observe
from evaluation.results import Findings, run_identity
from evaluation.run import Subject
from evaluation.task import Task
from glofnd.data.manifest import Manifest
from glofnd.data.pictures import PictureReader
from glofnd.data.stream import ShardStream
from glofnd.objectives import build_objective
from glofnd.parameters import Range
from glofnd.pretraining import objective_from

__all__ = ["PROTOCOL", "DiscoveryTask", "discovery", "finds_of", "gallery", "spread_over_classes"]

Array = NDArray[Any]

PROTOCOL = "batches-of-next-epoch"
"""Pairs are those of the batches of the epoch after the last, augmented and normalised as in training."""

EXACT_PAIRS = 10**8
"""Similarities computed for exact quantiles; beyond, only a seeded sample of anchors gets one, still against all."""

RANKED = 512
"""Anchors whose ranking of the whole data set makes the curves, and among which the gallery's are chosen."""

SHARES = np.logspace(-4, -0.3, 38)
SHIFTS = np.linspace(-0.3, 0.3, 31)


@dataclass(frozen=True)
class DiscoveryTask(Task):
    """False negatives found in the training split."""

    dataset: Annotated[str, "data set"]
    split: Annotated[str, "split that is trained on"] = "train"
    alpha: Annotated[
        float | None, Range(gt=0, lt=1), "share dropped by exact quantiles where a run has no alpha; null: base rate"
    ] = None
    anchors: Annotated[int, Range(ge=1), "anchors in the gallery"] = 12
    found: Annotated[int, Range(ge=1), "finds shown for each anchor"] = 8


def discovery(subject: Subject, tasks: list[DiscoveryTask]) -> Findings:
    """Everything that is measured of what a run's detector drops.

    Raises:
        ValueError: more than one task, the shards are not those of the training, or lack the label field that the run
            names as truth.
    """
    if len(tasks) > 1:
        raise ValueError(f"discovery looks at the one split that was trained on, here are {len(tasks)} tasks")
    task, config = tasks[0], subject.config
    folder = subject.shards / task.dataset / task.split
    stream = ShardStream(folder, batch_size=config["training"]["batch_size"], seed=config["seed"])
    manifest, label = stream.manifest, config["label"]
    if manifest.labels and label not in manifest.labels:
        raise ValueError(f"{folder}: no label field {label!r}, which the run config names as truth")
    model, objective, epoch = _subject(subject, stream)
    sides = observe(model, objective.to(model.mean.device), stream, config, epoch)
    findings = Findings(run_identity(config), "discovery", PROTOCOL)
    if not manifest.labels:
        findings.notes["unlabelled"] = True
    sides = {name: _report(findings, task, name, side, config, manifest) for name, side in sides.items()}
    by_label = config["detector"].get("method") == "oracle"
    findings.files["gallery.npz"] = gallery(sides["image"], manifest, label, by_label, task, subject.seed)
    return findings


def _subject(subject: Subject, stream: ShardStream) -> tuple[Any, Any, int]:
    """Model, objective and epoch to observe; a baseline's objective drops nothing."""
    config = subject.config
    if subject.checkpoint is not None:
        trained_on = subject.state["provenance"]["inputs"].get("shards")
        if trained_on not in (None, stream.manifest.sha256()):
            raise ValueError(
                f"{stream.manifest.path}: not the shards {subject.checkpoint} was trained on (their manifest differs); "
                "take those"
            )
        model: Any = subject.model
        return model, objective_from(subject.state, stream.indices, model.dim), int(subject.state["epoch"])
    if subject.model is None and config["modality"] != "unimodal":
        raise ValueError("raw-pixels: a text has no pixels to compare a picture's with; discovery takes random-init")
    model = PixelModel() if subject.model is None else subject.model
    name = "simclr" if model.modality == "unimodal" else "clip"
    return model, build_objective(name, stream.indices, None, temperature=0.1), int(config["training"]["epochs"])


def _exact(side: Observation, alpha: float, seed: int) -> Array:
    """Exact quantile thresholds over the seen samples, [N]; NaN for anchors that were not sampled."""
    seen, exact = np.flatnonzero(side.seen), np.full(len(side.seen), np.nan)
    if not 0 < alpha < 1:
        return exact
    affordable = max(1, EXACT_PAIRS // (len(side.anchors) * len(side.candidates) * len(seen)))
    rows = np.sort(np.random.default_rng([0xE8AC7, seed]).permutation(len(seen))[:affordable])
    exact[seen[rows]] = exact_thresholds(side.anchors[:, seen], side.candidates[:, seen], rows, alpha)
    return exact


def _chance(counts: AnchorCounts) -> dict[str, float | None]:
    """Precision, recall and F1 of dropping the same number of pairs at random."""
    scores = pooled(counts)
    base, share = scores["base_rate"], scores["dropped_share"]
    if base is None or share is None or share.value == 0:
        return {}
    f1 = 2 * base.value * share.value / (base.value + share.value)
    return {"precision": base.value, "recall": share.value, "f1": f1}


def _report(
    findings: Findings,
    task: DiscoveryTask,
    modality: str,
    side: Observation,
    config: dict[str, Any],
    manifest: Manifest,
) -> Observation:
    """Add everything that is measured of one modality's anchors.

    Returns:
        The observation; where there is no detector, with the exact thresholds, and their counts, that stand for it.
    """
    has_detector = config["detector"].get("method") is not None
    main, seed = config["label"] if manifest.labels else "unlabelled", config["seed"]
    prefix = "" if modality == "image" else f"{modality}_"

    def add(name: str, value: float | None, n: int, **details: Any) -> None:
        findings.add(task.dataset, task.split, f"{prefix}{name}", value, n, **{"primary": False, **details})

    base = pooled(side.counts[main])["base_rate"]
    alpha = config["detector"].get("alpha", task.alpha)
    exact = _exact(side, alpha if alpha is not None else base.value if base is not None else 0.0, seed)
    labels = manifest.labels or {main: np.arange(len(side.seen))}
    if not has_detector:
        stand_in = {name: side.counts_at(exact, labels[name]) for name in side.counts}
        side = replace(side, threshold=exact, counts=stand_in)
    seen, place = np.flatnonzero(side.seen), f"{task.dataset}.{task.split}.{modality}"
    error = np.abs(side.threshold - exact)
    error = error[np.isfinite(error)]
    if has_detector and len(error):
        spread = float(error.std(ddof=1) / len(error) ** 0.5) if len(error) > 1 else None
        add("threshold_error", error.mean(), len(error), stderr=spread, higher_is_better=False)
        add("threshold_error_median", np.median(error), len(error), higher_is_better=False)
    findings.predictions |= {
        f"{place}.index": seen,
        f"{place}.threshold": side.threshold[seen],
        f"{place}.exact": exact[seen],
    }
    if not manifest.labels:
        share = pooled(side.counts[main])["dropped_share"]
        if share is not None:
            add("dropped_share", share.value, len(seen), stderr=share.stderr, chance=None)
        return side
    rows = np.sort(np.random.default_rng([0xC0A7E, seed]).permutation(len(seen))[:RANKED])
    in_use = side.threshold[seen] if np.isfinite(side.threshold[seen]).all() else None
    for name, counts in side.counts.items():
        suffix, chance = "" if name == main else f"@{name}", _chance(counts)
        classes = np.unique(labels[name][manifest.index])
        per_class = counts.by_class(labels[name], classes)
        for metric, score in pooled(counts).items():
            value, stderr = score or (None, None)
            primary = metric == "f1" and name == main and modality == "image"
            add(metric + suffix, value, len(seen), stderr=stderr, chance=chance.get(metric), primary=primary)
        for over, found in (("anchor", means(counts)), ("class", means(per_class))):
            for metric, (score, n) in found.items():
                value, stderr = score or (None, None)
                add(f"{metric}_per_{over}{suffix}", value, n, stderr=stderr, chance=chance.get(metric))
        if has_detector and np.isfinite(exact).any():
            at_exact = pooled(side.counts_at(exact, labels[name]))
            for metric in ("precision", "recall", "f1"):
                value, stderr = at_exact[metric] or (None, None)
                add(f"exact_{metric}{suffix}", value, len(seen), stderr=stderr)
        entry = f"{place}.{name}"
        curve, shifted = rank_curves(
            side.anchors[:, seen], side.candidates[:, seen], rows, labels[name][seen], SHARES, in_use, SHIFTS
        )
        arrays = {"curve": curve, "class": np.array(manifest.classes[name], dtype=np.str_)[classes]}
        arrays |= {} if shifted is None else {"curve_shifted": shifted}
        arrays |= {f"class_{key}": values for key, values in vars(per_class).items()}
        findings.predictions |= {f"{entry}.{key}": values for key, values in arrays.items()}
    return side


def finds_of(side: Observation, anchors: Array, labels: Array | None, count: int) -> tuple[Array, Array]:
    """The most similar samples that each anchor drops.

    The anchor's first view stands against the candidates' last (its other view, or the other modality), as in a batch,
    but against the whole data set.

    Args:
        side: observation of one modality.
        anchors: sample indices [A].
        labels: int [N] where the same label is dropped (the oracle); `None` drops what is above the anchor's threshold.
        count: finds per anchor.

    Returns:
        Sample indices [A, count], -1 where there are fewer, and similarities [A, count]; most similar first.
    """
    similarity = side.anchors[0, anchors] @ side.candidates[-1].T
    # A threshold that is NaN, since there is none, is below nothing.
    above = similarity > side.threshold[anchors][:, None]
    dropped = above if labels is None else labels[anchors][:, None] == labels
    dropped &= side.seen
    dropped[np.arange(len(anchors)), anchors] = False
    ranked = np.where(dropped, similarity, -np.inf)
    found = np.argsort(-ranked, axis=1, kind="stable")[:, :count]
    values = np.take_along_axis(ranked, found, axis=1)
    return np.where(np.isfinite(values), found, -1), np.where(np.isfinite(values), values, 0)


def spread_over_classes(labels: Array, count: int) -> Array:
    """Places of `count` of the labels [A], in their order, taking one of each class before a second of any."""
    turn: dict[int, int] = {}
    keys = []
    for place, label in enumerate(labels.tolist()):
        turn[label] = turn.get(label, -1) + 1
        keys.append((turn[label], place))
    return np.array([place for _, place in sorted(keys)[:count]], dtype=np.int64)


def gallery(
    side: Observation, manifest: Manifest, label: str, by_label: bool, task: DiscoveryTask, seed: int
) -> dict[str, Array]:
    """The arrays of gallery.npz: anchors that have finds, seeded, spread over classes, most similar finds first.

    `anchor` [A], `anchor_image` uint8 [A, H, W, 3], `anchor_label` [A], `threshold` [A], `found` [A, K] (-1: none),
    `found_image` uint8 [A, K, H, W, 3], `found_label`, `similarity` and bool `correct` [A, K], `label_names` str [C].

    Args:
        side: the image anchors.
        manifest: of the training split.
        label: field that decides what is a right find.
        by_label: whether the detector drops by label (the oracle).
        task: says how many anchors and finds.
        seed: of the run.
    """
    labels = manifest.labels.get(label, np.zeros(len(side.seen), np.int64))
    tried = np.random.default_rng([0x6A11, seed]).permutation(np.flatnonzero(side.seen))[:RANKED]
    finds, similarity = finds_of(side, tried, labels if by_label else None, task.found)
    having = np.flatnonzero(finds[:, 0] >= 0)
    rows = having[spread_over_classes(labels[tried[having]], task.anchors)]
    anchors, finds, similarity = tried[rows], finds[rows], similarity[rows]
    found_label = np.where(finds >= 0, labels[finds], 0)
    reader = PictureReader(manifest, cache_bytes=0)
    correct = (finds >= 0) & (found_label == labels[anchors][:, None]) & (label in manifest.labels)
    return {
        "anchor": anchors,
        "anchor_image": _pictures(reader, anchors),
        "anchor_label": labels[anchors],
        "threshold": side.threshold[anchors],
        "found": finds,
        "found_image": _pictures(reader, finds),
        "found_label": found_label,
        "similarity": similarity,
        "correct": correct,
        "label_names": np.array(manifest.classes.get(label, ["unlabelled"]), dtype=np.str_),
    }


def _pictures(reader: PictureReader, samples: Array) -> Array:
    """uint8 [..., H, W, 3]; black where the sample is -1."""
    flat = samples.ravel()
    images = np.zeros((len(flat), reader.manifest.channels, *(reader.manifest.image_size,) * 2), np.uint8)
    real = flat >= 0
    if real.any():
        images[real] = reader.images(flat[real])
    last = np.repeat(images, 3 // images.shape[1], axis=1).transpose(0, 2, 3, 1)
    return last.reshape(*samples.shape, *last.shape[1:])
