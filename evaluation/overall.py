"""Methods over many tasks at once: interquartile mean and probability of improvement (Agarwal et al. 2021).

"Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021; the package rliable. Scores are
float64 [seeds, tasks].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from evaluation.significance import expanded_tail

__all__ = ["interquartile_mean", "probability_of_improvement", "run_interval", "stratified_interval"]

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

    Runs are resampled within each task and method, as if every task had trainings of its own. Where one training is
    tested on all tasks it is far too narrow (docs/significance.md); `run_interval` is not.

    Args:
        statistic: takes as many arrays [seeds, tasks] as there are `scores`.
        scores: one array per method.
        confidence: of the interval.
        resamples: bootstrap samples.
        seed: of the generator, which makes it repeatable.
    """
    tables, draw = [_scores(table) for table in scores], np.random.default_rng(seed)
    found = _bootstrap(statistic, tables, resamples, lambda table: draw.integers(len(table), size=table.shape))
    low, high = np.quantile(found, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(low), float(high)


def run_interval(
    statistic: Callable[..., float], *scores: ArrayLike, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Expanded percentile interval of `statistic(*scores)`, whole runs resampled within each method.

    A run keeps its scores on all tasks together, since they come from one training. `nan` for a single run. Arguments
    as in `stratified_interval`.
    """
    tables, draw = [_scores(table) for table in scores], np.random.default_rng(seed)
    fewest = min(len(table) for table in tables)
    if fewest < 2:
        return float("nan"), float("nan")
    found = _bootstrap(statistic, tables, resamples, lambda table: draw.integers(len(table), size=(len(table), 1)))
    tail = expanded_tail(fewest, confidence)
    low, high = np.quantile(found, [tail, 1 - tail])
    return float(low), float(high)


def _bootstrap(
    statistic: Callable[..., float], tables: list[Vector], resamples: int, rows: Callable[[Vector], NDArray[np.int64]]
) -> Vector:
    """The statistic of tables whose rows are drawn anew by `rows`: [seeds, tasks], or [seeds, 1] for whole runs."""
    drawn = ([np.take_along_axis(table, rows(table), axis=0) for table in tables] for _ in range(resamples))
    return np.array([statistic(*sample) for sample in drawn])
