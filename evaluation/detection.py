"""How well a set of dropped negatives agrees with labels: pure functions on arrays.

A *pair* is an anchor's row and a candidate's column of one similarity matrix; it is a false negative if both have the
same label. An *anchor* is a sample with all its rows (both views), within the batch it came in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.accuracy import Score, top1
from glofnd.data.manifest import NO_LABEL

__all__ = ["AnchorCounts", "SimilarityHistogram", "exact_thresholds", "per_anchor", "per_class", "pooled", "ratio"]

Array = NDArray[Any]


@dataclass(frozen=True)
class AnchorCounts:
    """Pairs per anchor, int64 [N] each: all, dropped, false negatives, and dropped false negatives."""

    pairs: Array
    dropped: Array
    true: Array
    correct: Array

    def by_class(self, labels: Array) -> AnchorCounts:
        """The same summed over the anchors of each class, int64 [K], classes ascending.

        Args:
            labels: of the anchors [N]; `NO_LABEL` where there is none.
        """
        there = labels != NO_LABEL
        classes, place = np.unique(labels[there], return_inverse=True)
        sums = (
            np.bincount(place, weights=counts[there], minlength=len(classes)).astype(np.int64)
            for counts in (self.pairs, self.dropped, self.true, self.correct)
        )
        return AnchorCounts(*sums)


def ratio(part: Array, whole: Array) -> Score | None:
    """sum(part) / sum(whole) over anchors [N]; `None` where the denominator is 0.

    The standard error takes anchors, not pairs, as the independent draws (linearised ratio estimator).
    """
    total = float(whole.sum())
    if total == 0:
        return None
    value = float(part.sum()) / total
    return Score(value, float(np.sqrt(((part - value * whole) ** 2).sum()) / total))


def pooled(counts: AnchorCounts) -> dict[str, Score | None]:
    """Precision, recall and F1 over all pairs (the headline), share dropped and base rate.

    The base rate, the share of false negatives among all pairs, is the precision of dropping at random.
    """
    return {
        "precision": ratio(counts.correct, counts.dropped),
        "recall": ratio(counts.correct, counts.true),
        "f1": ratio(2 * counts.correct, counts.dropped + counts.true),
        "dropped_share": ratio(counts.dropped, counts.pairs),
        "base_rate": ratio(counts.true, counts.pairs),
    }


def per_anchor(counts: AnchorCounts) -> dict[str, tuple[Score | None, int]]:
    """Means over anchors of each anchor's precision, recall and F1, with the number of anchors that have one.

    0/0 is no number: an anchor that drops nothing has no precision, one without false negatives no recall, one with
    neither no F1. (Counting 0/0 as 1, as the reference does, gives a detector that drops nothing a precision of 100 %.)
    """
    return _means(counts, "per_anchor")


def per_class(counts: AnchorCounts) -> dict[str, tuple[Score | None, int]]:
    """Means over classes of what is pooled over the pairs of each class's anchors, and the number of classes.

    A detector that serves some classes well and others not at all has a lower mean than its pooled score tells.

    Args:
        counts: by class (`AnchorCounts.by_class`).
    """
    return _means(counts, "per_class")


def _means(counts: AnchorCounts, over: str) -> dict[str, tuple[Score | None, int]]:
    parts = {
        f"precision_{over}": (counts.correct, counts.dropped),
        f"recall_{over}": (counts.correct, counts.true),
        f"f1_{over}": (2 * counts.correct, counts.dropped + counts.true),
    }
    found: dict[str, tuple[Score | None, int]] = {}
    for name, (above, below) in parts.items():
        has = below > 0
        found[name] = (top1(above[has] / below[has]) if has.any() else None, int(has.sum()))
    return found


class SimilarityHistogram:
    """Similarities of all pairs and of the false negatives, in bins: precision and recall at any threshold."""

    def __init__(self, bins: int = 2**16) -> None:
        self.bins = bins
        self.all, self.true = np.zeros(bins, np.int64), np.zeros(bins, np.int64)

    def add(self, similarity: Array, true: Array) -> None:
        """Add pairs: similarity in [-1, 1] and whether they are false negatives, both [P]."""
        place = ((similarity + 1) * (self.bins / 2)).astype(np.int64).clip(0, self.bins - 1)
        self.all += np.bincount(place, minlength=self.bins)
        self.true += np.bincount(place[true], minlength=self.bins)

    def average_precision(self) -> float | None:
        """Area under the precision-recall curve of "drop the most similar", sum of precision x step in recall.

        `None` without false negatives. Pairs in one bin (2 / bins wide) count as ties.
        """
        if not self.true.sum():
            return None
        true = self.true[::-1]
        precision = np.cumsum(true) / np.maximum(np.cumsum(self.all[::-1]), 1)
        return float((precision * true).sum() / true.sum())

    def curve(self, shares: Array) -> Array:
        """Share dropped, precision and recall when the given shares of all pairs are dropped, [S, 3]."""
        dropped, correct = np.cumsum(self.all[::-1]), np.cumsum(self.true[::-1])
        place = np.searchsorted(dropped, shares * dropped[-1]).clip(0, self.bins - 1)
        precision = correct[place] / np.maximum(dropped[place], 1)
        recall = correct[place] / max(int(correct[-1]), 1)
        return np.stack([dropped[place] / max(int(dropped[-1]), 1), precision, recall], axis=1)


def exact_thresholds(anchors: Array, candidates: Array, rows: Array, alpha: float, chunk: int = 64) -> Array:
    """The (1 - alpha)-quantile of each anchor's similarities to the whole data set, linearly interpolated.

    This is what a threshold should be: the minimiser of alpha l + E[(s - l)_+] over all negatives of all views.

    Args:
        anchors: L2-normalised [V, N, D].
        candidates: L2-normalised [G, N, D]; column i of each group is anchor i's own and no negative.
        rows: anchors whose threshold is wanted, int [R].
        alpha: in (0, 1).
        chunk: anchors at a time, which bounds memory to chunk x V x G x N similarities.

    Returns:
        [R].
    """
    views, samples, _ = anchors.shape
    flat = candidates.reshape(-1, candidates.shape[-1]).T
    count = views * len(candidates) * (samples - 1)
    position = alpha * (count - 1)
    above = int(np.floor(position))
    below = min(above + 1, count - 1)
    found = np.empty(len(rows), dtype=np.float64)
    for start in range(0, len(rows), chunk):
        part = rows[start : start + chunk]
        # Negated, because numpy partitions from the small end.
        distance = -(anchors[:, part].swapaxes(0, 1).reshape(len(part) * views, -1) @ flat)
        distance = distance.reshape(len(part), views, len(candidates), samples)
        distance[np.arange(len(part)), :, :, part] = np.inf
        distance = distance.reshape(len(part), -1)
        distance.partition((above, below), axis=1)
        upper, lower = -distance[:, above].astype(np.float64), -distance[:, below].astype(np.float64)
        found[start : start + chunk] = upper + (lower - upper) * (position - above)
    return found
