"""Multinomial logistic regression, solved to its optimum: many problems on the same samples at once.

Problem p minimises, over weights W_p [K, d] and an unpenalised intercept b_p [K],

    f_p = 1/2 |W_p|^2 + C_p * sum_i m_pi * log sum_k exp(z_i.w_pk + b_pk - z_i.w_py - b_py)

(scikit-learn's objective), where the sample weights m_p say which samples the problem sees: the folds of a
cross-validation are problems of one batch, so every iteration is two wide matrix products instead of many narrow ones.

Two exact reductions come first. The intercept is not penalised, so the features may be centred. The penalty does not
change under rotation and the optimum lies in the span of the samples, so with Z = U S V^T the problem in U S has the
same optimum: at most n columns instead of F where samples are few, and the Gram matrix is diagonal. In these
coordinates C w_k s_j^2 + 1, with w_k the mean of p_k (1 - p_k), is close to the Hessian's block of class k, and is that
block at W = 0. L-BFGS takes it as its initial matrix at each iteration. The regularisation path is walked from strong
to weak, each start extrapolated from the two solutions before, and a problem is left when a bound on its distance from
the optimum is met: for most of the path that costs fewer iterations than the choice of the solver could save.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.extrapolation import extrapolate
from evaluation.newton import inner, newton_step
from evaluation.principal_axes import Basis, rotate
from evaluation.softmax_loss import Point, Problems

__all__ = ["C_PATH", "Basis", "LinearClassifier", "Solution", "rotate", "solve", "solve_path"]

Array = NDArray[Any]

C_PATH: Array = np.logspace(-6, 5, 10)
"""Inverse regularisation strengths tried (METHOD: C in logspace(-6, 5, 10))."""

_MEMORY = 10
_ARMIJO = 1e-4
_STALLED = 5
_PATIENCE = 20
_CLOSE, _LOOSE = 0.03, 300
_SAFETY = 4
_BLOCKS = 2**24
"""Largest number of entries in the blocks of all Hessians: 128 MiB."""


@dataclass(frozen=True)
class LinearClassifier:
    """Attributes: `centre` [F], subtracted from the features; `weights` [F, K]; `intercept` [K]."""

    centre: Array
    weights: Array
    intercept: Array

    def __call__(self, features: Array) -> Array:
        """Class scores [m, K] of `features` [m, F], up to a constant per sample."""
        return np.asarray((features - self.centre) @ self.weights + self.intercept)


@dataclass
class Solution:
    """Optima of P problems in one basis.

    Attributes:
        parameters: weights and, last, the intercept, [P, K, d + 1].
        objective: f, [P].
        gap: a bound on how far f is from its minimum, as a share of f, [P]: the duality gap (`Point.bound`) or four
            times the squared Newton decrement before the last step (`newton_step`), whichever is smaller.
        iterations: steps of the slowest problem.
    """

    parameters: Array
    objective: Array
    gap: Array
    iterations: int

    def classifier(self, basis: Basis, problem: int = 0) -> LinearClassifier:
        """One problem's optimum, for features as they came."""
        weights, intercept = self.parameters[problem, :, :-1], self.parameters[problem, :, -1]
        return LinearClassifier(basis.centre, basis.axes @ weights.T, intercept)


def _direction(at: Point, steps: list[Array], changes: list[Array]) -> Array:
    """L-BFGS direction [P, K, d + 1] with the Hessian's diagonal as its initial matrix; skipped pairs are zero."""
    q, hessian = at.gradient.copy(), at.hessian
    memory = []
    for s, y in zip(reversed(steps), reversed(changes), strict=True):
        curvature = inner(s, y)
        rho = np.divide(1.0, curvature, out=np.zeros_like(curvature), where=curvature > 0)
        a = rho * inner(s, q)
        q -= a[:, None, None].astype(q.dtype) * y
        memory.append((s, y, rho, a))
    q /= hessian
    if steps:
        # The usual scaling: the initial matrix is made to fit the curvature along the last step.
        size = inner(changes[-1], changes[-1] / hessian)
        scale = np.divide(inner(steps[-1], changes[-1]), size, out=np.ones_like(size), where=size > 0)
        q *= scale[:, None, None].astype(q.dtype)
    for s, y, rho, a in reversed(memory):
        q += (a - rho * inner(y, q))[:, None, None].astype(q.dtype) * s
    return -q


def solve(
    basis: Basis,
    labels: Array,
    classes: int,
    masks: Array,
    strengths: Array,
    start: Array | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 3000,
) -> Solution:
    """Solve P problems together; finished ones leave the batch.

    Args:
        basis: `rotate` of the features of the n samples.
        labels: int [n] in [0, classes).
        classes: K.
        masks: [P, n] of zeros and ones: the samples each problem sees.
        strengths: C of each problem, [P].
        start: parameters [P, K, d + 1] to start from, zeros if `None`.
        tolerance: a problem is finished once its gap is at most this, or once its objective no longer changes in the
            precision of the features.
        max_iterations: a problem that needs more is returned as it is; `gap` tells.
    """
    dtype = basis.design.dtype
    count, width = len(masks), basis.design.shape[1]
    found = Solution(np.zeros((count, classes, width), dtype), np.zeros(count), np.zeros(count), 0)
    x = found.parameters.copy() if start is None else start.astype(dtype)
    active, stalled = np.arange(count), np.zeros(count, dtype=np.int64)
    problems = Problems(basis, labels, masks.astype(dtype), strengths, classes)
    at = problems.evaluate(x)
    steps: list[Array] = []
    changes: list[Array] = []
    certified = np.full(count, np.inf)
    for iteration in range(max_iterations + 1):
        gap = np.minimum(at.bound(), certified)
        finished = (gap <= tolerance) | (stalled > _STALLED) | (iteration == max_iterations)
        if finished.any():
            out = active[finished]
            found.parameters[out], found.gap[out] = x[finished], gap[finished]
            found.objective[out] = at.objective[finished]
            found.iterations = iteration
            keep = np.flatnonzero(~finished)
            if not len(keep):
                break
            active, stalled, problems, x, at = active[keep], stalled[keep], problems.take(keep), x[keep], at.take(keep)
            gap = gap[keep]
            steps, changes = [s[keep] for s in steps], [y[keep] for y in changes]
        direction = _direction(at, steps, changes)
        # What L-BFGS promises is too little by a factor of 10 to 100, but it costs nothing: it tells when to look
        # closely. While the duality gap is about to suffice, that costs less.
        promise = -inner(at.gradient, direction) / (2 * at.objective)
        blocks = x.size * width <= _BLOCKS
        slow = blocks and iteration >= max(_PATIENCE, width // 2)
        near = _CLOSE * tolerance * np.where(gap > _LOOSE * tolerance, 1, 1 / _LOOSE)
        close = np.flatnonzero((promise <= near) | (stalled >= _STALLED) | slow)
        certified = np.full(len(active), np.inf)
        if len(close):
            step, decrement = newton_step(problems.take(close), x[close], at.take(close), tolerance / _SAFETY, blocks)
            known = np.isfinite(decrement)
            direction[close[known]], certified[close] = step[known], _SAFETY * decrement
        trial, new = _line_search(problems, x, at, direction)
        s, y = trial - x, new.gradient - at.gradient
        usable = inner(s, y) > 1e-10 * np.sqrt(inner(s, s) * inner(y, y))
        y[~usable] = 0
        steps, changes = [*steps[1 - _MEMORY :], s], [*changes[1 - _MEMORY :], y]
        still = at.objective - new.objective <= np.finfo(dtype).eps * np.abs(at.objective)
        stalled = np.where(still, stalled + 1, 0)
        x, at = trial, new
    return found


def _line_search(problems: Problems, x: Array, at: Point, direction: Array) -> tuple[Array, Point]:
    """Backtracking from a full step, each problem with its own length: the new parameters and what is known there."""
    slope = inner(at.gradient, direction)
    length = np.ones(len(x))
    # Rounding of f must not refuse a step near the optimum.
    slack = np.finfo(x.dtype).eps * np.abs(at.objective)
    while True:
        trial = x + length[:, None, None].astype(x.dtype) * direction
        new = problems.evaluate(trial)
        bad = new.objective > at.objective + _ARMIJO * length * slope + slack
        if not bad.any() or length.min() < 1e-12:
            return trial, new
        length = np.where(bad, length * 0.3, length)


def solve_path(
    basis: Basis, labels: Array, classes: int, masks: Array, strengths: Array = C_PATH, tolerance: float = 1e-6
) -> list[Solution]:
    """Solve every mask [P, n] at every C of the rising `strengths`; one `Solution` (of P problems) per C."""
    rows = masks.any(axis=0)
    if not rows.all():
        basis = replace(basis, design=basis.design[rows], power=basis.power * rows.mean())
        labels, masks = labels[rows], masks[:, rows]
    path: list[Solution] = []
    start, before = None, np.zeros((len(masks), classes, basis.design.shape[1]), basis.design.dtype)
    for strength in strengths:
        if path:
            last = path[-1].parameters
            start, before = extrapolate(basis, labels, masks, strength, last, before), last
        path.append(solve(basis, labels, classes, masks, np.full(len(masks), strength), start, tolerance))
    return path
