"""Multinomial logistic regression, solved to its optimum: many problems on the same samples at once.

Problem p minimises, over weights W_p [K, d] and an unpenalised intercept b_p [K],

    f_p = 1/2 |W_p|^2 + C_p * sum_i m_pi * log sum_k exp(z_i.w_pk + b_pk - z_i.w_py - b_py)

(scikit-learn's objective), where the sample weights m_p say which samples the problem sees: the folds of a
cross-validation are problems of one batch, so every iteration is two wide matrix products instead of many narrow ones.

Two exact reductions come first. The intercept is not penalised, so the features may be centred. The penalty does not
change under rotation and the optimum lies in the span of the samples, so with Z = U S V^T the problem in U S has the
same optimum: at most n columns instead of F where samples are few, and the Gram matrix is diagonal. In these
coordinates C w_k s_j^2 + 1, with w_k the mean of p_k (1 - p_k), is close to the Hessian's block of class k, and is that
block at W = 0. L-BFGS takes it as its initial matrix at each iteration, and the regularisation path is walked from
strong to weak, each solution starting the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["C_PATH", "Basis", "Solution", "rotate", "solve", "solve_path"]

Array = NDArray[Any]

C_PATH: Array = np.logspace(-6, 5, 10)
"""Inverse regularisation strengths tried (METHOD: C in logspace(-6, 5, 10))."""

_MEMORY = 10
_ARMIJO = 1e-4
_STALLED = 10


@dataclass(frozen=True)
class Basis:
    """Principal axes of the samples: z = (x - centre) @ axes.

    Attributes:
        scores: the samples in these coordinates, [n, d] with d <= min(n, F).
        axes: [F, d].
        centre: [F].
        power: squared singular value per axis, [d].
    """

    scores: Array
    axes: Array
    centre: Array
    power: Array


def rotate(features: Array) -> Basis:
    """Centre and rotate `features` [n, F] to principal axes; null directions (below float precision) go."""
    centre = features.mean(axis=0, dtype=np.float64).astype(features.dtype)
    centred = features - centre
    n, width = centred.shape
    wide = n < width
    gram = (centred @ centred.T if wide else centred.T @ centred).astype(np.float64)
    power, vectors = np.linalg.eigh(gram)
    # A Gram matrix in single precision has noise of about eps * largest eigenvalue.
    keep = power > max(power[-1], 1e-300) * np.finfo(features.dtype).eps * 10
    power, vectors = power[keep][::-1], vectors[:, keep][:, ::-1]
    root = np.sqrt(power)
    if wide:
        scores, axes = vectors * root, centred.T.astype(np.float64) @ (vectors / root)
    else:
        axes = vectors
        scores = centred @ axes.astype(features.dtype)
    dtype = features.dtype
    return Basis(np.ascontiguousarray(scores, dtype=dtype), axes.astype(dtype), centre, power)


@dataclass
class Solution:
    """Optima of P problems in one basis.

    Attributes:
        parameters: weights and, last, the intercept, [P, K, d + 1].
        objective: f, [P].
        gap: the decrease of f that one more step promised, as a share of f, [P]: how far from the optimum, roughly.
        iterations: steps of the slowest problem.
    """

    parameters: Array
    objective: Array
    gap: Array
    iterations: int

    def logits(self, basis: Basis, features: Array, problem: int = 0) -> Array:
        """Class scores [m, K] of `features` [m, F], up to a constant per sample."""
        weights, intercept = self.parameters[problem, :, :-1], self.parameters[problem, :, -1]
        return np.asarray((features - basis.centre) @ (basis.axes @ weights.T) + intercept)


class _Problems:
    """Objective and gradient of P problems; parameters are one array [P, K, d + 1], intercept last."""

    def __init__(self, basis: Basis, labels: Array, masks: Array, strengths: Array) -> None:
        self.basis, self.labels, self.masks = basis, labels, masks
        self.strengths = strengths.astype(np.float64)
        self._samples = np.arange(len(labels))
        # Probabilities below this change nothing, and as subnormal numbers they would slow everything down tenfold.
        self._floor = -30 if masks.dtype == np.float32 else -150

    def take(self, rows: Array) -> _Problems:
        """The chosen problems only."""
        return _Problems(self.basis, self.labels, self.masks[rows], self.strengths[rows])

    def evaluate(self, parameters: Array) -> tuple[Array, Array, Array]:
        """Objective [P], gradient [P, K, d + 1] and approximate diagonal Hessian [P, K, d + 1] at `parameters`."""
        count, classes, width = parameters.shape
        flat = np.ascontiguousarray(parameters[..., :-1]).reshape(count * classes, width - 1)
        # Classes before samples: reductions over classes then run along contiguous memory.
        work: Array = (flat @ self.basis.scores.T).reshape(count, classes, -1)
        work += parameters[..., -1:]
        own_logit = work[:, self.labels, self._samples]
        top = work.max(axis=1)
        work -= top[:, None]
        np.maximum(work, self._floor, out=work)
        np.exp(work, out=work)
        own = work[:, self.labels, self._samples]
        # The own class is left out of the sum, so that 1 - p_own keeps its relative precision when it is tiny.
        work[:, self.labels, self._samples] = 0
        rest = work.sum(axis=1)
        losses = np.log1p(rest + (own - 1)) + (top - own_logit)
        scale = self.masks / (rest + own)
        work *= scale[:, None]
        work[:, self.labels, self._samples] = -rest * scale
        residual = work.reshape(count * classes, -1)

        strength = self.strengths[:, None, None]
        gradient = np.empty_like(parameters)
        gradient[..., :-1] = (residual @ self.basis.scores).reshape(count, classes, -1)
        gradient[..., -1] = work.sum(axis=2)
        gradient *= strength
        gradient[..., :-1] += parameters[..., :-1]
        # |r| (1 - |r|) is p (1 - p) for the own class and for the others alike.
        spread = np.abs(residual).sum(axis=1, dtype=np.float64) - np.einsum("rn,rn->r", residual, residual)
        spread = np.maximum(spread, 1e-9).reshape(count, classes, 1)
        seen = self.masks.sum(axis=1, dtype=np.float64)[:, None, None]
        hessian = np.empty_like(parameters)
        hessian[..., :-1] = strength * spread / seen * self.basis.power + 1
        hessian[..., -1:] = strength * spread + 1e-6
        objective = self.strengths * np.einsum("pn,pn->p", losses, self.masks, dtype=np.float64)
        objective += 0.5 * np.einsum("pkd,pkd->p", parameters[..., :-1], parameters[..., :-1], dtype=np.float64)
        return objective, gradient, hessian


def _inner(a: Array, b: Array) -> Array:
    """Inner product of each problem's parameters, [P]; as a matrix product it takes a third of einsum's time."""
    count = len(a)
    return np.asarray(np.matmul(a.reshape(count, 1, -1), b.reshape(count, -1, 1))[:, 0, 0], dtype=np.float64)


def _direction(gradient: Array, hessian: Array, steps: list[Array], changes: list[Array]) -> Array:
    """L-BFGS direction [P, K, d + 1] with `hessian` as the initial diagonal; skipped pairs are zero."""
    q = gradient.copy()
    memory = []
    for s, y in zip(reversed(steps), reversed(changes), strict=True):
        curvature = _inner(s, y)
        rho = np.divide(1.0, curvature, out=np.zeros_like(curvature), where=curvature > 0)
        a = rho * _inner(s, q)
        q -= a[:, None, None].astype(q.dtype) * y
        memory.append((s, y, rho, a))
    q /= hessian
    if steps:
        # The usual scaling: the initial matrix is made to fit the curvature along the last step.
        size = _inner(changes[-1], changes[-1] / hessian)
        scale = np.divide(_inner(steps[-1], changes[-1]), size, out=np.ones_like(size), where=size > 0)
        q *= scale[:, None, None].astype(q.dtype)
    for s, y, rho, a in reversed(memory):
        q += (a - rho * _inner(y, q))[:, None, None].astype(q.dtype) * s
    return -q


def solve(
    basis: Basis,
    labels: Array,
    classes: int,
    masks: Array,
    strengths: Array,
    start: Array | None = None,
    tolerance: float = 1e-8,
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
        tolerance: a problem is finished once the next step promises to lower its objective by less than this share,
            or once its objective no longer changes in the precision of the features.
        max_iterations: a problem that needs more is returned as it is; `gap` tells.
    """
    dtype = basis.scores.dtype
    count, width = len(masks), basis.scores.shape[1] + 1
    found = Solution(np.zeros((count, classes, width), dtype), np.zeros(count), np.zeros(count), 0)
    x = found.parameters.copy() if start is None else start.astype(dtype)
    active, stalled = np.arange(count), np.zeros(count, dtype=np.int64)
    problems = _Problems(basis, labels, masks.astype(dtype), strengths)
    f, g, hessian = problems.evaluate(x)
    steps: list[Array] = []
    changes: list[Array] = []
    for iteration in range(max_iterations + 1):
        direction = _direction(g, hessian, steps, changes)
        slope = _inner(g, direction)
        gap = -slope / (2 * np.maximum(f, 1e-30))
        finished = (gap <= tolerance) | (stalled >= _STALLED) | (iteration == max_iterations)
        if finished.any():
            out = active[finished]
            found.parameters[out], found.objective[out], found.gap[out] = x[finished], f[finished], gap[finished]
            found.iterations = iteration
            keep = np.flatnonzero(~finished)
            if not len(keep):
                break
            active, stalled, problems = active[keep], stalled[keep], problems.take(keep)
            x, f, g, direction, slope = x[keep], f[keep], g[keep], direction[keep], slope[keep]
            steps, changes = [s[keep] for s in steps], [y[keep] for y in changes]
        trial, new_f, new_g, hessian = _line_search(problems, x, f, direction, slope)
        s, y = trial - x, new_g - g
        usable = _inner(s, y) > 1e-10 * np.sqrt(_inner(s, s) * _inner(y, y))
        y[~usable] = 0
        steps, changes = [*steps[1 - _MEMORY :], s], [*changes[1 - _MEMORY :], y]
        stalled = np.where(f - new_f <= np.finfo(dtype).eps * np.abs(f), stalled + 1, 0)
        x, f, g = trial, new_f, new_g
    return found


def _line_search(
    problems: _Problems, x: Array, f: Array, direction: Array, slope: Array
) -> tuple[Array, Array, Array, Array]:
    """Backtracking from a full step, each problem with its own length: new point, objective, gradient, Hessian."""
    length = np.ones(len(x))
    # Rounding of f must not refuse a step near the optimum.
    slack = np.finfo(x.dtype).eps * np.abs(f)
    while True:
        trial = x + length[:, None, None].astype(x.dtype) * direction
        new_f, new_g, hessian = problems.evaluate(trial)
        bad = new_f > f + _ARMIJO * length * slope + slack
        if not bad.any() or length.min() < 1e-12:
            return trial, new_f, new_g, hessian
        length = np.where(bad, length * 0.3, length)


def solve_path(
    basis: Basis, labels: Array, classes: int, masks: Array, strengths: Array = C_PATH, tolerance: float = 1e-8
) -> list[Solution]:
    """Solve every mask [P, n] at every C of the rising `strengths`; one `Solution` (of P problems) per C."""
    path: list[Solution] = []
    for strength in strengths:
        start = path[-1].parameters if path else None
        path.append(solve(basis, labels, classes, masks, np.full(len(masks), strength), start, tolerance))
    return path
