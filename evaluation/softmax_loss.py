"""The objective of multinomial logistic regression with its gradient, for many problems on the same samples at once.

One pass over tiles of samples gives logits, losses, residuals and gradient while a tile is in the processor's cache, so
no matrix of all samples and classes is ever held. Tiles are shared out to as many threads as BLAS may use, each with
BLAS to itself: unlike numpy's own loops the exponentials then run on all cores.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from evaluation.principal_axes import Basis
from evaluation.row_products import in_a_thread, row_products

__all__ = ["Point", "Problems"]

Array = NDArray[Any]

_TILE = 2**18
"""Logits per tile: 1 MiB in single precision, what fits a core's cache."""

_STORED = 2**24
"""Probabilities that are kept between products with a Hessian: 64 MiB in single precision."""


@dataclass
class Point:
    """What is known at some parameters x [P, K, d + 1].

    Attributes:
        objective: f, [P], in double precision.
        gradient: [P, K, d + 1].
        hessian: approximate diagonal of the Hessian, [P, K, d + 1].
    """

    objective: Array
    gradient: Array
    hessian: Array

    def take(self, rows: Array) -> Point:
        """The chosen problems only."""
        return Point(self.objective[rows], self.gradient[rows], self.hessian[rows])

    def bound(self) -> Array:
        """How far f can be above its minimum, as a share of f, [P]; tight where C is small or classes are separable.

        With the predicted probabilities as dual variables the duality gap is 1/2 |df/dW|^2 (by Fenchel and Young's
        equality every other term vanishes); it bounds f - min f where the intercepts are at their own optimum.
        Elsewhere their part is added as a squared Newton decrement, g^2 / h.
        """
        slope, intercept = self.gradient[..., :-1], self.gradient[..., -1]
        gap = 0.5 * np.einsum("pkd,pkd->p", slope, slope, dtype=np.float64)
        gap += np.einsum("pk,pk->p", intercept, intercept / self.hessian[..., -1], dtype=np.float64)
        return np.asarray(gap / np.maximum(self.objective, 1e-300))


class Problems:
    """P problems that share samples and labels.

    Args:
        basis: of the n samples.
        labels: int [n] in [0, K).
        masks: [P, n] of zeros and ones, in the precision of the samples: what each problem sees.
        strengths: C of each problem, [P].
        classes: K.
    """

    def __init__(self, basis: Basis, labels: Array, masks: Array, strengths: Array, classes: int) -> None:
        self.basis, self.labels, self.masks, self.classes = basis, labels, masks, classes
        self.strengths = strengths.astype(np.float64)
        # Probabilities below this change nothing, and as subnormal numbers they would slow everything down tenfold.
        self._floor = -30 if basis.design.dtype == np.float32 else -150
        self._multiply = row_products(basis.design.dtype, basis.design.size * float(len(masks) * classes))

    def take(self, rows: Array) -> Problems:
        """The chosen problems only."""
        return Problems(self.basis, self.labels, self.masks[rows], self.strengths[rows], self.classes)

    def evaluate(self, parameters: Array) -> Point:
        """Objective, gradient and curvature at `parameters` [P, K, d + 1], intercept last."""
        count, classes, width = parameters.shape
        flat = parameters.reshape(count * classes, width)
        losses, gradient, spread = self._over_samples(lambda rows: self._losses(flat, rows), len(flat))
        strength = self.strengths[:, None, None]
        gradient = gradient.reshape(parameters.shape)
        gradient *= strength
        gradient[..., :-1] += parameters[..., :-1]
        spread = np.maximum(spread, 1e-9).reshape(count, classes, 1)
        seen = self.masks.sum(axis=1, dtype=np.float64)[:, None, None]
        hessian = np.empty_like(parameters)
        hessian[..., :-1] = strength * spread / seen * self.basis.power + 1
        hessian[..., -1:] = strength * spread + 1e-6
        weights = parameters[..., :-1]
        objective = self.strengths * losses + 0.5 * np.einsum("pkd,pkd->p", weights, weights, dtype=np.float64)
        return Point(objective, gradient, hessian)

    def hessian(self, parameters: Array) -> Callable[[Array], Array]:
        """The Hessian at `parameters` [P, K, d + 1] as a function that multiplies a direction of that shape."""
        count, classes, width = parameters.shape
        flat, n = parameters.reshape(-1, width), len(self.labels)
        stored = self._probabilities(flat, slice(0, n)) if len(flat) * n <= _STORED else None
        strength = self.strengths[:, None, None].astype(parameters.dtype)

        def multiply(direction: Array) -> Array:
            flat_direction = direction.reshape(-1, width)

            def part(rows: slice) -> tuple[Array]:
                p = self._probabilities(flat, rows) if stored is None else stored[..., rows]
                design = self.basis.design[rows]
                change = self._multiply(flat_direction, design).reshape(count, classes, -1)
                change *= p
                change -= p * change.sum(axis=1)[:, None]
                return (self._multiply(change.reshape(-1, len(design)), design.T),)

            (product,) = self._over_samples(part, len(flat))
            product = product.reshape(parameters.shape) * strength
            product[..., :-1] += direction[..., :-1]
            return np.asarray(product)

        return multiply

    def blocks(self, parameters: Array) -> Array:
        """Blocks of the Hessian on its diagonal, one per class: [P, K, d + 1, d + 1], in double precision."""
        count, classes, width = parameters.shape
        flat = parameters.reshape(count * classes, width)
        (blocks,) = self._over_samples(lambda rows: self._blocks(flat, rows), len(flat))
        blocks = blocks.reshape(count, classes, width, width) * self.strengths[:, None, None, None]
        diagonal = np.arange(width)
        blocks[..., diagonal, diagonal] += np.append(np.ones(width - 1), 1e-6)
        return np.asarray(blocks)

    def _over_samples(self, part: Callable[[slice], tuple[Array, ...]], width: int) -> list[Array]:
        """Sums of `part(rows)` over all samples, by tiles of samples with `width` numbers each."""
        n, tile = len(self.labels), max(64, _TILE // width)

        def add_up(low: int, high: int) -> list[Array]:
            total = list(part(slice(low, min(low + tile, high))))
            for start in range(low + tile, high, tile):
                for place, value in enumerate(part(slice(start, min(start + tile, high)))):
                    total[place] += value
            return total

        if n <= tile:
            return add_up(0, n)
        controller = ThreadpoolController()
        threads = _blas_threads(controller)
        if threads == 1:
            return add_up(0, n)
        edges = np.linspace(0, n, threads + 1).astype(np.int64).tolist()
        with controller.limit(limits=1, user_api="blas"), ThreadPoolExecutor(threads, initializer=in_a_thread) as pool:
            parts = list(pool.map(add_up, edges[:-1], edges[1:]))
        return [np.sum(values, axis=0) for values in zip(*parts, strict=True)]

    def _softmax(self, work: Array, rows: slice) -> tuple[Array, Array, Array, Array]:
        """Turn logits [P, K, m] into exponentials without the own class; that one, the sum of the others, losses."""
        labels = self.labels[rows]
        samples = np.arange(len(labels))
        own_logit = work[:, labels, samples]
        top = work.max(axis=1)
        work -= top[:, None]
        np.maximum(work, self._floor, out=work)
        np.exp(work, out=work)
        own = work[:, labels, samples]
        # The own class is left out of the sum, so that 1 - p_own keeps its relative precision when it is tiny.
        work[:, labels, samples] = 0
        rest = work.sum(axis=1)
        return own, rest, np.log1p(rest + (own - 1)) + (top - own_logit), samples

    def _losses(self, flat: Array, rows: slice) -> tuple[Array, Array, Array]:
        """Over a tile: losses [P], their gradient [P K, d + 1], sums of p (1 - p) [P K]."""
        design, masks = self.basis.design[rows], self.masks[:, rows]
        # Classes before samples: reductions over classes then run along contiguous memory.
        residual = self._multiply(flat, design)
        work = residual.reshape(len(masks), -1, len(design))
        own, rest, losses, samples = self._softmax(work, rows)
        scale = masks / (rest + own)
        work *= scale[:, None]
        work[:, self.labels[rows], samples] = -rest * scale
        gradient = self._multiply(residual, design.T)
        # |r| (1 - |r|) is p (1 - p) for the own class and for the others alike.
        spread = np.abs(residual, out=residual).sum(axis=1).astype(np.float64)
        spread -= np.einsum("rn,rn->r", residual, residual)
        return np.einsum("pn,pn->p", losses, masks, dtype=np.float64), gradient, spread

    def _probabilities(self, flat: Array, rows: slice) -> Array:
        """Predicted probabilities of the samples that a problem sees, 0 for the others, [P, K, m]."""
        work = self._multiply(flat, self.basis.design[rows]).reshape(len(self.masks), -1, rows.stop - rows.start)
        own, rest, _, samples = self._softmax(work, rows)
        work[:, self.labels[rows], samples] = own
        work *= (self.masks[:, rows] / (rest + own))[:, None]
        return work

    def _blocks(self, flat: Array, rows: slice) -> tuple[Array]:
        """Over a tile: sums of p (1 - p) z z^T, [P K, d + 1, d + 1]."""
        design, p = self.basis.design[rows], self._probabilities(flat, rows)
        p *= 1 - p
        return (np.stack([(design.T * row) @ design for row in p.reshape(-1, len(design))]).astype(np.float64),)


def _blas_threads(controller: ThreadpoolController) -> int:
    """Threads that BLAS may use now."""
    return max((pool["num_threads"] for pool in controller.info() if pool["user_api"] == "blas"), default=1)
