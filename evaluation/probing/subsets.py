"""Which labels a classifier may see: nested class-stratified subsets, and folds inside them for choosing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FOLDS", "VALIDATED", "fold_masks", "stratified_subset"]

Array = NDArray[Any]

FOLDS = 5
VALIDATED = 1000
"""From this many validated samples a score is precise enough (standard error below 1.6 points)."""

_SUBSET, _FOLD = 0x5B5E7, 0xF01D


def stratified_subset(labels: Array, fraction: float, seed: int, draw: int) -> Array:
    """Rows of a class-stratified subset, ascending.

    Every class gives `max(1, round(fraction * its size))` samples, the first of an order that depends on (seed, draw)
    and the class alone. So the subsets of one draw are nested, and two methods at one seed see the same.

    Args:
        labels: int [n].
        fraction: in (0, 1].
        seed: of the run.
        draw: number of the subset, from 0.
    """
    chosen = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        order = np.random.default_rng([_SUBSET, seed, draw, int(label)]).permutation(len(rows))
        chosen.append(rows[order[: max(1, round(fraction * len(rows)))]])
    return np.sort(np.concatenate(chosen))


def fold_masks(labels: Array, seed: int, together: Array | None = None) -> Array:
    """Training masks, bool [P, n], class-stratified; what a mask leaves out is validated on.

    The labels are cut in five folds, or in as many as the median class has samples, so that most classes are both
    trained on and validated; as many folds are held out, one at a time, as validate `VALIDATED` samples together. The
    only sample of a class is always trained on. No mask where the median class has a single sample.

    Args:
        labels: int [n].
        seed: of the run.
        together: int [n]; samples with the same number are never on both sides of a fold. They count under the label of
            the first of them.
    """
    unit = np.arange(len(labels))
    if together is not None:
        _, first, unit = np.unique(together, return_index=True, return_inverse=True)
        labels = labels[first]
    folds = min(FOLDS, int(np.median(np.unique(labels, return_counts=True)[1])))
    if folds < 2:
        return np.empty((0, len(unit)), dtype=bool)
    part = np.full(len(labels), -1)
    start = 0
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) == 1:
            continue
        order = np.random.default_rng([_FOLD, seed, int(label)]).permutation(len(rows))
        # Classes go on where the last one stopped, so that folds stay of equal size with many small classes.
        part[rows[order]] = (start + np.arange(len(rows))) % folds
        start += len(rows)
    held_out = np.arange(min(folds, -(-VALIDATED * folds // len(unit))))
    return np.asarray(part[unit][None, :] != held_out[:, None])
