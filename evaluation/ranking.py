"""Precision and recall of dropping every anchor's most similar samples of the whole data set, at any threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glofnd.progress import progress

__all__ = ["Curves", "rank_curves"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Curves:
    """Pooled over the anchors that were ranked; a precision with nothing dropped is NaN.

    Attributes:
        quantile: [S, 3], share dropped, precision and recall where each anchor's threshold is its exact quantile.
        shifted: [T, 4], shift, share dropped, precision and recall where each anchor's threshold is the one in use plus
            the shift; `None` where there are none in use.
    """

    quantile: Array
    shifted: Array | None


def _scores(dropped: Array, correct: Array, pairs: int, true: int) -> Array:
    with np.errstate(invalid="ignore"):
        precision = np.where(dropped > 0, correct / np.maximum(dropped, 1), np.nan)
    recall = correct / true if true else np.full(len(correct), np.nan)
    return np.stack([dropped / pairs, precision, recall], axis=1)


def rank_curves(
    anchors: Array,
    candidates: Array,
    rows: Array,
    labels: dict[str, Array],
    shares: Array,
    thresholds: Array | None,
    shifts: Array,
    similarities: int = 2**22,
) -> dict[str, Curves]:
    """Curves against every label field.

    Args:
        anchors: L2-normalised [V, N, D].
        candidates: L2-normalised [G, N, D]; column i of each group is anchor i's own and no negative.
        rows: the anchors that are ranked, int [R].
        labels: int [N] per field.
        shares: of its negatives that each anchor drops, [S], each in (0, 1).
        thresholds: in use, [N]; `None` for none.
        shifts: added to those, [T].
        similarities: held at a time, in whole anchors.
    """
    views, samples, width = anchors.shape
    groups = len(candidates)
    count = views * groups * (samples - 1)
    # As many as lie strictly above the linearly interpolated quantile.
    places = np.ceil(shares * (count - 1)).astype(np.int64)
    flat = candidates.reshape(-1, width).T
    columns = np.tile(np.arange(samples), views * groups)
    dropped, fits = np.zeros(len(shifts)), thresholds is not None
    correct = {name: (np.zeros(len(shares)), np.zeros(len(shifts))) for name in labels}
    true = dict.fromkeys(labels, 0)
    chunk = max(1, similarities // count)
    starts = range(0, len(rows), chunk)
    for start in progress(starts, len(starts), "ranking the whole data set", "chunks"):
        part = rows[start : start + chunk]
        similarity = (anchors[:, part].swapaxes(0, 1).reshape(len(part) * views, width) @ flat).reshape(len(part), -1)
        similarity[columns == part[:, None]] = -np.inf
        order = np.argsort(-similarity, axis=1)[:, :count]
        found = np.empty(0, np.int64)
        if thresholds is not None:
            ranked = np.take_along_axis(similarity, order, axis=1)
            limits = thresholds[part][:, None] + shifts
            # Searched from the small end: all that are at most the limit stay.
            kept = [np.searchsorted(row[::-1], limit, side="right") for row, limit in zip(ranked, limits, strict=True)]
            found = count - np.stack(kept)
            dropped += found.sum(axis=0)
        for name, values in labels.items():
            same = values[columns[order]] == values[part][:, None]
            hits = np.concatenate([np.zeros((len(part), 1), np.int64), np.cumsum(same, axis=1)], axis=1)
            true[name] += int(hits[:, -1].sum())
            correct[name][0][:] += hits[:, places].sum(axis=0)
            if fits:
                correct[name][1][:] += np.take_along_axis(hits, found, axis=1).sum(axis=0)
    pairs = count * len(rows)
    return {
        name: Curves(
            _scores(places * len(rows), at_share, pairs, true[name]),
            np.column_stack([shifts, _scores(dropped, at_shift, pairs, true[name])]) if fits else None,
        )
        for name, (at_share, at_shift) in correct.items()
    }
