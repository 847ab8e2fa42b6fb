"""How well a set of dropped negatives agrees with labels: pure functions on arrays.

A *pair* is an anchor's row and a candidate's column of one similarity matrix; it is a false negative if both have the
same label. An *anchor* is a sample with all its rows (both views), within the batch it came in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.scores import Score, top1

__all__ = ["AnchorCounts", "exact_thresholds", "means", "pooled", "rank_curves", "ratio"]

Array = NDArray[Any]


@dataclass(frozen=True)
class AnchorCounts:
    """Pairs per anchor, int64 [N] each: all, dropped, false negatives, and dropped false negatives."""

    pairs: Array
    dropped: Array
    true: Array
    correct: Array

    @classmethod
    def zeros(cls, samples: int) -> AnchorCounts:
        """Nothing counted yet."""
        return cls(*np.zeros((4, samples), np.int64))

    def add(self, anchor: Array, negative: Array, dropped: Array, true: Array) -> None:
        """Count the rows of one batch.

        Args:
            anchor: sample index of each row [R].
            negative, dropped, true: bool [R, C]; only negatives count.
        """
        true = true & negative
        for counts, part in zip(vars(self).values(), (negative, dropped, true, true & dropped), strict=True):
            np.add.at(counts, anchor, part.sum(axis=1))

    def by_class(self, labels: Array, classes: Array) -> AnchorCounts:
        """The same summed over the anchors [N] of each class [K]."""
        return AnchorCounts(*(np.array([part[labels == k].sum() for k in classes]) for part in vars(self).values()))


def ratio(part: Array, whole: Array) -> Score | None:
    """sum(part) / sum(whole) over anchors [N]; `None` where the denominator is 0.

    The standard error takes anchors, not pairs, as the independent draws (linearised ratio estimator); a single anchor
    has none.
    """
    total = float(whole.sum())
    if total == 0:
        return None
    value = float(part.sum()) / total
    several = np.count_nonzero(whole) > 1
    return Score(value, float(np.sqrt(((part - value * whole) ** 2).sum()) / total) if several else None)


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


def means(counts: AnchorCounts) -> dict[str, tuple[Score | None, int]]:
    """Means over anchors (or classes) of each one's precision, recall and F1, with the number that have one.

    0/0 is no number: an anchor that drops nothing has no precision, one without false negatives no recall, one with
    neither no F1. (Counting 0/0 as 1, as the reference does, gives a detector that drops nothing a precision of 100 %.)
    """
    parts = {
        "precision": (counts.correct, counts.dropped),
        "recall": (counts.correct, counts.true),
        "f1": (2 * counts.correct, counts.dropped + counts.true),
    }
    found: dict[str, tuple[Score | None, int]] = {}
    for name, (above, below) in parts.items():
        has = below > 0
        found[name] = (top1(above[has] / below[has]) if has.any() else None, int(has.sum()))
    return found


def _similarities(anchors: Array, candidates: Array, part: Array, own: float) -> Array:
    """Similarities of a few anchors [p] to all candidates in all views and groups, [p, V G N]; their own are `own`."""
    views, samples, width = anchors.shape
    rows = anchors[:, part].swapaxes(0, 1).reshape(len(part) * views, width)
    found = (rows @ candidates.reshape(-1, width).T).reshape(len(part), views * len(candidates), samples)
    found[np.arange(len(part)), :, part] = own
    return found.reshape(len(part), -1)


def exact_thresholds(anchors: Array, candidates: Array, rows: Array, alpha: float, chunk: int = 64) -> Array:
    """The (1 - alpha)-quantile of each anchor's similarities to the whole data set, linearly interpolated, [R].

    This is what a threshold should be: the minimiser of alpha l + E[(s - l)_+] over all negatives of all views.

    Args:
        anchors: L2-normalised [V, N, D].
        candidates: L2-normalised [G, N, D]; column i of each group is anchor i's own and no negative.
        rows: anchors whose threshold is wanted, int [R].
        alpha: in (0, 1).
        chunk: anchors at a time, which bounds memory to chunk x V x G x N similarities.
    """
    views, samples, _ = anchors.shape
    count = views * len(candidates) * (samples - 1)
    position = alpha * (count - 1)
    above = int(np.floor(position))
    below = min(above + 1, count - 1)
    found = np.empty(len(rows), dtype=np.float64)
    for start in range(0, len(rows), chunk):
        # Negated, because numpy partitions from the small end.
        distance = -_similarities(anchors, candidates, rows[start : start + chunk], -np.inf)
        distance.partition((above, below), axis=1)
        upper, lower = -distance[:, above].astype(np.float64), -distance[:, below].astype(np.float64)
        found[start : start + chunk] = upper + (lower - upper) * (position - above)
    return found


def rank_curves(
    anchors: Array,
    candidates: Array,
    rows: Array,
    labels: Array,
    shares: Array,
    thresholds: Array | None,
    shifts: Array,
    similarities: int = 2**22,
) -> tuple[Array, Array | None]:
    """Share dropped, precision and recall over the whole data set at any threshold; pooled over the ranked anchors.

    Args:
        anchors, candidates, rows: as in `exact_thresholds`.
        labels: int [N].
        shares: of its negatives that each anchor drops, [S], each in (0, 1).
        thresholds: in use, [N]; `None` for none.
        shifts: added to those, [T].
        similarities: held at a time, in whole anchors.

    Returns:
        [S, 3] for exact quantiles at each share, and [T, 4], shift first, for the thresholds in use plus each shift
        (`None` where there are none). A precision with nothing dropped, and a recall of nothing, is NaN.
    """
    views, samples, _ = anchors.shape
    count = views * len(candidates) * (samples - 1)
    # As many as lie strictly above the linearly interpolated quantile.
    places = np.broadcast_to(np.ceil(shares * (count - 1)).astype(np.int64), (len(rows), len(shares)))
    repeated = np.tile(labels, views * len(candidates))
    chunk = max(1, similarities // count)
    sums = np.zeros((2, 2, max(len(shares), len(shifts))))
    true = 0
    for start in range(0, len(rows), chunk):
        part = rows[start : start + chunk]
        similarity = _similarities(anchors, candidates, part, -np.inf)
        order = np.argsort(-similarity, axis=1)[:, :count]
        same = repeated[order] == labels[part][:, None]
        hits = np.concatenate([np.zeros((len(part), 1), np.int64), np.cumsum(same, axis=1)], axis=1)
        true += int(hits[:, -1].sum())
        found = [places[start : start + chunk]]
        if thresholds is not None:
            ranked = np.take_along_axis(similarity, order, axis=1)
            limits = thresholds[part][:, None] + shifts
            # Searched from the small end: all that are at most the limit stay.
            kept = [np.searchsorted(row[::-1], limit, side="right") for row, limit in zip(ranked, limits, strict=True)]
            found.append(count - np.stack(kept))
        for total, dropped in zip(sums, found, strict=False):
            total[0, : dropped.shape[1]] += dropped.sum(axis=0)
            total[1, : dropped.shape[1]] += np.take_along_axis(hits, dropped, axis=1).sum(axis=0)

    def curve(total: Array, length: int) -> Array:
        dropped, correct = total[:, :length]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.stack([dropped / (count * len(rows)), correct / dropped, correct / np.float64(true)], axis=1)

    shifted = None if thresholds is None else np.column_stack([shifts, curve(sums[1], len(shifts))])
    return curve(sums[0], len(shares)), shifted
