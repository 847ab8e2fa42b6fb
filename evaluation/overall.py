"""Methods over many tasks at once: interquartile mean and probability of improvement (Agarwal et al. 2021).

"Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021; the package rliable. Scores are
float64 [seeds, tasks].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

__all__ = ["interquartile_mean", "probability_of_improvement", "stratified_interval"]

Vector = NDArray[np.float64]


def _scores(values: ArrayLike) -> Vector:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 2 or not scores.size or not np.isfinite(scores).all():
        raise ValueError(f"scores must be finite and [seeds, tasks], got shape {scores.shape}")
    return scores


def interquartile_mean(values: ArrayLike) -> float:
    """Mean of the middle half of all scores [seeds, tasks] together (Agarwal et al. 2021)."""
    return float(stats.trim_mean(_scores(values).ravel(), 0.25))


def probability_of_improvement(method: ArrayLike, baseline: ArrayLike) -> float:
    """Chance that a run of `method` beats one of `baseline` on a task, ties counting half (Agarwal et al. 2021).

    Both are [seeds, tasks]; the chance is over all pairs of runs, then the mean over tasks.
    """
    x, y = _scores(method), _scores(baseline)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"both methods need the same tasks, got {x.shape[1]} and {y.shape[1]}")
    pairs = x[:, None, :] - y[None, :, :]
    return float(np.mean((pairs > 0) + 0.5 * (pairs == 0)))


def stratified_interval(
    statistic: Callable[..., float], *scores: ArrayLike, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of `statistic(*scores)` by the stratified bootstrap of Agarwal et al. (2021).

    Seeds are resampled within each task and method. `seed` makes it repeatable.

    Args:
        statistic: takes as many arrays [seeds, tasks] as there are `scores`.
        scores: one array per method.
        confidence: of the interval.
        resamples: bootstrap samples.
        seed: of the generator.
    """
    tables = [_scores(table) for table in scores]
    draw = np.random.default_rng(seed)
    found = np.empty(resamples)
    for k in range(resamples):
        rows = [draw.integers(len(table), size=table.shape) for table in tables]
        found[k] = statistic(*(np.take_along_axis(t, r, axis=0) for t, r in zip(tables, rows, strict=True)))
    low, high = np.quantile(found, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(low), float(high)
