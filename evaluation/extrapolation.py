"""Where to start at the next C of a regularisation path: the best linear combination of the last two solutions.

Along a path a solution mostly grows and turns slowly, so s * x_k + t * x_(k-1) is close to x_(k+1) for the right s and
t. The objective is convex in (s, t), whose optimum a few thousand samples tell: logits are linear in them, so Newton's
method needs no further product with the features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.principal_axes import Basis

__all__ = ["extrapolate"]

Array = NDArray[Any]

_SAMPLES = 4096
_STEPS = 20


def extrapolate(basis: Basis, labels: Array, masks: Array, strength: float, last: Array, before: Array) -> Array:
    """Combination of two solutions that is nearly the best one at another C.

    Args:
        basis: of the n samples.
        labels: int [n].
        masks: [P, n] of zeros and ones.
        strength: the new C.
        last: solution at the C before, [P, K, d + 1].
        before: solution at the C before that one (zeros where there is none), [P, K, d + 1].

    Returns:
        [P, K, d + 1].
    """
    rows = np.arange(0, len(labels), -(-len(labels) // _SAMPLES))
    parts = np.stack([last, before])
    logits = np.moveaxis(
        (parts.reshape(-1, parts.shape[-1]) @ basis.design[rows].T).reshape(*parts.shape[:3], -1), 2, 3
    )
    # Relative to the own class, a sample's loss is a plain log-sum.
    logits = logits - np.take_along_axis(logits, labels[rows][None, None, :, None], axis=3)
    seen = masks[:, rows].astype(last.dtype)
    share = strength * masks.sum(axis=1, dtype=np.float64) / np.maximum(seen.sum(axis=1, dtype=np.float64), 1)
    weights = parts[..., :-1]
    gram = np.einsum("apkd,bpkd->pab", weights, weights, dtype=np.float64, optimize=True)
    chosen = np.tile([1.0, 0.0], (len(last), 1))

    def value(factors: Array) -> tuple[Array, Array]:
        """Objective [P] and probabilities [P, m, K]."""
        mixed = np.einsum("pa,apmk->pmk", factors.astype(last.dtype), logits)
        top = mixed.max(axis=2, keepdims=True)
        exponentials = np.exp(np.maximum(mixed - top, -60))
        total = exponentials.sum(axis=2, keepdims=True)
        losses = np.einsum("pm,pm->p", (np.log(total) + top)[..., 0], seen, dtype=np.float64)
        return 0.5 * np.einsum("pa,pab,pb->p", factors, gram, factors) + share * losses, exponentials / total

    f, probability = value(chosen)
    for _ in range(_STEPS):
        weighted = probability * logits
        mean = weighted.sum(axis=3) * seen
        slope = np.einsum("pab,pb->pa", gram, chosen) + share[:, None] * mean.sum(axis=2, dtype=np.float64).T
        second = np.einsum("apmk,bpmk,pm->pab", weighted, logits, seen, optimize=True)
        second = gram + share[:, None, None] * (second - np.einsum("apm,bpm->pab", mean, mean))
        second += np.einsum("paa->p", second)[:, None, None] * 1e-7 * np.eye(2) + 1e-30 * np.eye(2)
        step = -np.linalg.solve(second, slope[..., None])[..., 0]
        decrease = -np.einsum("pa,pa->p", slope, step)
        if (decrease <= 1e-4 * f).all():
            break
        length = np.ones(len(f))
        while True:
            trial = chosen + length[:, None] * step
            new, probability = value(trial)
            bad = (new > f - 1e-4 * length * decrease) & (length > 1e-6)
            if not bad.any():
                break
            length = np.where(bad, length / 2, length)
        better = new <= f
        chosen, f = np.where(better[:, None], trial, chosen), np.where(better, new, f)
        if not better.all():
            f, probability = value(chosen)
    return np.asarray(np.einsum("pa,apkd->pkd", chosen.astype(last.dtype), parts))
