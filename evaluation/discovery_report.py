"""From an observed epoch to the metrics and arrays of `discovery`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.detection import AnchorCounts, exact_thresholds, per_anchor, per_class, pooled
from evaluation.observing import Observation
from evaluation.old_results import Findings
from evaluation.old_tasks import DiscoveryTask
from evaluation.ranking import Curves, rank_curves
from glofnd.data.manifest import Manifest

__all__ = ["EXACT_PAIRS", "Watched", "exact_counts", "report_side"]

Array = NDArray[Any]

EXACT_PAIRS = 10**8
"""Similarities computed for exact quantiles; beyond, only a seeded sample of anchors gets one, still against all."""

RANKED = 512
"""Anchors whose ranking of the whole data set makes the curves."""

SHARES = np.logspace(-4, -0.3, 38)
SHIFTS = np.linspace(-0.3, 0.3, 31)


@dataclass(frozen=True)
class Watched:
    """Whose discovery is reported.

    Attributes:
        label: field that the run names as truth.
        alpha: share to drop; `None` takes the share of false negatives.
        detector: whether the run has one; without, each anchor's exact quantile at `alpha` stands for it.
        seed: of the run.
    """

    label: str
    alpha: float | None
    detector: bool
    seed: int


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
    }.get(name.removesuffix("_per_anchor").removesuffix("_per_class"))


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


def _curves(side: Observation, labels: dict[str, Array], seed: int) -> dict[str, Curves]:
    """Curves of a seeded sample of the seen anchors against all seen samples."""
    seen = np.flatnonzero(side.seen)
    rows = np.sort(np.random.default_rng([0xC0A7E, seed]).permutation(len(seen))[:RANKED])
    threshold = side.threshold[seen]
    return rank_curves(
        side.anchors[:, seen],
        side.candidates[:, seen],
        rows,
        {name: values[seen] for name, values in labels.items()},
        SHARES,
        threshold if np.isfinite(threshold).all() else None,
        SHIFTS,
    )


class _Reporter:
    """Adds one modality's values to the findings."""

    def __init__(self, findings: Findings, task: DiscoveryTask, modality: str) -> None:
        self.findings, self.task = findings, task
        self.prefix = "" if modality == "image" else f"{modality}_"

    def add(self, name: str, value: float | None, n: int, **details: Any) -> None:
        details = {"primary": False, **details}
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

    def means(self, counts: AnchorCounts, labels: Array, suffix: str) -> None:
        """Means over anchors, and over classes."""
        for name, (score, n) in (per_anchor(counts) | per_class(counts.by_class(labels))).items():
            self.add(
                f"{name}{suffix}",
                None if score is None else score.value,
                n,
                stderr=None if score is None else score.stderr,
                chance=_chance(counts, name),
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
            self.add(name, float(value), len(error), stderr=stderr, higher_is_better=False)


def report_side(
    findings: Findings, task: DiscoveryTask, modality: str, side: Observation, watched: Watched, manifest: Manifest
) -> Observation:
    """Add everything that is measured of one modality's anchors.

    Returns:
        The observation; where there is no detector, with the thresholds and counts that stand for it.
    """
    report, labels = _Reporter(findings, task, modality), manifest.labels
    base = pooled(side.counts[watched.label])["base_rate"]
    alpha = watched.alpha if watched.alpha is not None else base.value if base is not None else 0.0
    exact = _exact(side, alpha, watched.seed) if 0 < alpha < 1 else np.full(len(side.seen), np.nan)
    if watched.detector:
        report.errors(side, exact)
    else:
        stand_in = {name: exact_counts(side, labels[name], exact) for name in side.counts}
        side = replace(side, threshold=exact, counts=stand_in)
    curves = _curves(side, labels, watched.seed)
    seen = np.flatnonzero(side.seen)
    place = f"{task.dataset}.{task.split}.{modality}"
    arrays = {f"{place}.index": seen, f"{place}.threshold": side.threshold[seen], f"{place}.exact": exact[seen]}
    for name, counts in side.counts.items():
        main = name == watched.label
        suffix = "" if main else f"@{name}"
        report.scores(counts, suffix, main=main and modality == "image")
        report.means(counts, labels[name], suffix)
        base = pooled(counts)["base_rate"]
        report.add(
            f"average_precision{suffix}",
            side.histograms[name].average_precision(),
            len(seen),
            chance=None if base is None else base.value,
        )
        if watched.detector and np.isfinite(exact).any():
            report.scores(exact_counts(side, labels[name], exact), suffix, prefix="exact_")
        entry = f"{place}.{name}"
        arrays[f"{entry}.curve"] = curves[name].quantile
        arrays[f"{entry}.curve_global"] = side.histograms[name].curve(SHARES)
        shifted = curves[name].shifted
        if shifted is not None:
            arrays[f"{entry}.curve_shifted"] = shifted
        classes = counts.by_class(labels[name])
        arrays[f"{entry}.class"] = np.array(manifest.classes[name], dtype=np.str_)[
            np.unique(labels[name][manifest.index])
        ]
        for key in ("pairs", "dropped", "true", "correct"):
            arrays[f"{entry}.{key}"] = getattr(counts, key)[seen]
            arrays[f"{entry}.class_{key}"] = getattr(classes, key)
    findings.predictions |= arrays
    return side
