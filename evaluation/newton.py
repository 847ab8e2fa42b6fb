"""Truncated Newton steps by conjugate gradients, and the Newton decrement they measure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.softmax_loss import Point, Problems

__all__ = ["inner", "newton_step"]

Array = NDArray[Any]

_STEPS = 300
_DELAY = 8
_ROUGH, _FINE = 0.1, 0.03


def inner(a: Array, b: Array) -> Array:
    """Inner product of each problem's parameters, [P]; as a matrix product it takes a third of einsum's time."""
    count = len(a)
    return np.asarray(np.matmul(a.reshape(count, 1, -1), b.reshape(count, -1, 1))[:, 0, 0], dtype=np.float64)


def _scaled(factors: Array, vectors: Array) -> Array:
    return np.asarray(factors[:, None, None].astype(vectors.dtype) * vectors)


def newton_step(problems: Problems, x: Array, at: Point, tolerance: float, blocks: bool) -> tuple[Array, Array]:
    """Approximate solution of H s = -g, and the squared Newton decrement g H^-1 g as a share of f (`inf` if not known).

    Conjugate gradients add up the decrement from below, one positive term a step. They end when the last eight terms
    are at most 3 % of the sum (such terms estimate what is missing: Strakos and Tichy, ETNA 13, 2002), or a tenth if
    the sum is above the tolerance anyhow. Near the optimum f - min f is half the squared decrement, and never more than
    all of it (Boyd and Vandenberghe, Convex Optimization, 9.6.3, for self-concordant f), which leaves room for the
    missing terms.

    Args:
        problems: P problems.
        x: parameters [P, K, d + 1].
        at: what is known at x.
        tolerance: what the decrement is to be compared with.
        blocks: precondition with the exact blocks of all classes instead of the approximate diagonal. They cost as
            much as d / 2 evaluations and save far more steps where features are badly scaled.
    """
    inverse = np.linalg.inv(problems.blocks(x)).astype(x.dtype) if blocks else None

    def precondition(vectors: Array) -> Array:
        if inverse is None:
            return np.asarray(vectors / at.hessian)
        return np.asarray((inverse @ vectors[..., None])[..., 0])

    hessian = problems.hessian(x)
    step, residual = np.zeros_like(x), -at.gradient
    scaled = precondition(residual)
    towards, size = scaled.copy(), inner(residual, scaled)
    terms: list[Array] = []
    running = size > 0
    broken = ~running
    for _ in range(_STEPS):
        product = hessian(towards)
        curvature = inner(towards, product)
        # Rounding has made the Hessian indefinite: what was added up says nothing.
        broken |= running & (curvature <= 0)
        running &= curvature > 0
        length = np.divide(size, curvature, out=np.zeros_like(size), where=running)
        step += _scaled(length, towards)
        residual -= _scaled(length, product)
        terms.append(length * size)
        if len(terms) > _DELAY:
            total = sum(terms)
            enough = np.where(total > tolerance * at.objective, _ROUGH, _FINE)
            running &= sum(terms[-_DELAY:]) > enough * total
        if not running.any():
            break
        scaled = precondition(residual)
        new = inner(residual, scaled)
        towards = scaled + _scaled(np.divide(new, size, out=np.zeros_like(size), where=size > 0), towards)
        size = new
    decrement = sum(terms) / np.maximum(at.objective, 1e-300)
    return step, np.where(broken, np.inf, decrement)
