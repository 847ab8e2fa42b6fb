"""A linear probe with C chosen on training data alone: validate, refit on all labels, predict each test set once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.accuracy import score
from evaluation.logistic import C_PATH, Basis, LinearClassifier, Solution, rotate, solve, solve_path
from evaluation.splits import fold_masks, fold_rule

__all__ = ["FIXED_C", "PATH_TOLERANCE", "Probe", "choose_strength", "fit_probe", "l2_normalise", "standardise"]

Array = NDArray[Any]

FIXED_C = 1.0
"""C where there are too few labels to validate (a median of one per class)."""

PATH_TOLERANCE = 1e-4
"""How far a validated fit may be from its optimum (`Solution.gap`); the refit is held to a hundredth of it."""


def l2_normalise(features: Array) -> Array:
    """Rows of unit length; a zero row stays zero."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(length, 1e-12), dtype=features.dtype)


def standardise(train: Array, test: Array) -> tuple[Array, Array]:
    """Zero mean and unit variance per feature, measured on `train` without its labels; constant features become 0."""
    mean, spread = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-7 * np.abs(mean) + 1e-12)
    mean, scale = mean.astype(train.dtype), scale.astype(train.dtype)
    return (train - mean) * scale, (test - mean) * scale


@dataclass(frozen=True)
class Probe:
    """A fitted probe.

    Attributes:
        scores: class scores [M, K] of standardised features [M, F].
        strength: the C it was fitted with.
        selection: how C was chosen: `hold-out`, `<k>-fold` or `fixed`.
        gap: how far the fit is from its optimum, as a share of its objective (`evaluation.logistic.Solution`).
    """

    scores: LinearClassifier
    strength: float
    selection: str
    gap: float


def _validation(basis: Basis, labels: Array, metric: str, masks: Array, solution: Solution) -> tuple[float, float]:
    """Score and mean log-likelihood over all validated samples, each predicted by the fit that has not seen it."""
    hits, truth, losses = [], [], []
    for mask, parameters in zip(masks, solution.parameters, strict=True):
        rows = np.flatnonzero(~mask)
        logits = (basis.scores[rows] @ parameters[:, :-1].T + parameters[:, -1]).astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        own = labels[rows]
        losses.append(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(rows)), own])
        hits.append(logits.argmax(axis=1) == own)
        truth.append(own)
    return score(metric, np.concatenate(hits), np.concatenate(truth)).value, -float(np.concatenate(losses).mean())


def choose_strength(basis: Basis, labels: Array, classes: int, metric: str, masks: Array) -> tuple[float, Array]:
    """The C of `C_PATH` with the best validation score.

    Ties go to the smaller validation log-loss, then to the smaller C.

    Args:
        basis: of the n training samples.
        labels: int [n] in [0, classes).
        classes: K.
        metric: `top1` or `mean-per-class`.
        masks: bool [P, n], what each fit trains on; the rest is validated on.

    Returns:
        C, and the mean parameters of its fits [1, K, d + 1], near which the refit's optimum lies.
    """
    path = solve_path(basis, labels, classes, masks, tolerance=PATH_TOLERANCE)
    values = [_validation(basis, labels, metric, masks, solution) for solution in path]
    best = max(range(len(path)), key=lambda place: (*values[place], -place))
    return float(C_PATH[best]), path[best].parameters.mean(axis=0, keepdims=True)


def fit_probe(
    train: Array, labels: Array, classes: int, metric: str, seed: int, together: Array | None = None
) -> Probe:
    """Choose C, refit on all of `train`.

    Args:
        train: [n, F], standardised.
        labels: int [n] in [0, classes); a class may be absent.
        classes: K.
        metric: `top1` or `mean-per-class`.
        seed: of the run; decides the folds.
        together: int [n], see `fold_masks`.
    """
    basis = rotate(train)
    folds = fold_rule(labels, together)
    selection = "fixed" if folds == 0 else "hold-out" if folds == 1 else f"{folds}-fold"
    strength, start = FIXED_C, None
    if folds:
        masks = fold_masks(labels, folds, seed, together)
        strength, start = choose_strength(basis, labels, classes, metric, masks)
    everything = np.ones((1, len(labels)), dtype=bool)
    final = solve(basis, labels, classes, everything, np.array([strength]), start)
    return Probe(final.classifier(basis), strength, selection, float(final.gap[0]))
