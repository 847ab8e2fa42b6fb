"""Which labels a probe may see: nested class-stratified subsets, and folds inside them for choosing C."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["fold_masks", "fold_rule", "stratified_subset"]

Array = NDArray[Any]

FOLDS = 5
HOLD_OUT_FROM = 5000
"""From this many samples one validation split is precise enough (standard error below 1.6 points)."""

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


def _units(labels: Array, together: Array | None) -> tuple[Array, Array]:
    """Label of every unit that stays on one side of a fold, and the unit of every sample."""
    if together is None:
        return labels, np.arange(len(labels))
    _, first, unit = np.unique(together, return_index=True, return_inverse=True)
    return labels[first], unit


def fold_rule(labels: Array, together: Array | None = None) -> int:
    """How C is validated: 1 is a single split of 20 %, k > 1 are k folds, 0 means too few labels for either.

    Folds are bounded by the median class size, so that most classes are both trained on and validated.
    """
    if len(labels) >= HOLD_OUT_FROM:
        return 1
    sizes = np.unique(_units(labels, together)[0], return_counts=True)[1]
    folds = min(FOLDS, int(np.median(sizes)))
    return folds if folds > 1 else 0


def fold_masks(labels: Array, folds: int, seed: int, together: Array | None = None) -> Array:
    """Training masks, bool [P, n], class-stratified; what a mask leaves out is validated on.

    Args:
        labels: int [n].
        folds: what `fold_rule` returned, at least 1.
        seed: of the run.
        together: int [n]; samples with the same number are never on both sides of a fold. They count under the label of
            the first of them.
    """
    labels, unit = _units(labels, together)
    parts = FOLDS if folds == 1 else folds
    part = np.empty(len(labels), dtype=np.int64)
    start = 0
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        order = np.random.default_rng([_FOLD, seed, int(label)]).permutation(len(rows))
        # Classes go on where the last one stopped, so that folds stay of equal size with many small classes.
        part[rows[order]] = (start + np.arange(len(rows))) % parts
        start += len(rows)
    held_out = np.arange(1 if folds == 1 else folds)
    return np.asarray(part[unit][None, :] != held_out[:, None])
