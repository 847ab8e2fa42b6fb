"""Methods over many tasks at once: interquartile mean and probability of improvement (Agarwal et al. 2021).

"Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021; the package rliable. Scores are
float64 [seeds, tasks]. rliable's own bootstrap resamples runs within each task, as if each task had trainings of its
own; here one training is tested on all tasks, so whole runs are resampled.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = ["interquartile_mean", "probability_of_improvement", "run_interval"]

Scores = NDArray[np.float64]


def interquartile_mean(scores: Scores) -> float:
    """Mean of the middle half of all scores [seeds, tasks] together."""
    ordered = np.sort(scores, axis=None)  # scipy's trim_mean takes some twenty times as long for so few
    cut = ordered.size // 4
    return float(ordered[cut : ordered.size - cut].mean())


def probability_of_improvement(method: Scores, baseline: Scores) -> float:
    """Chance that a run of `method` [seeds, tasks] beats one of `baseline` on a task, ties counting half.

    The chance is over all pairs of runs, then the mean over tasks.
    """
    pairs = method[:, None, :] - baseline[None, :, :]
    return float(np.mean((pairs > 0) + 0.5 * (pairs == 0)))


def run_interval(
    statistic: Callable[..., float], *scores: Scores, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Expanded percentile interval of `statistic(*scores)`, whole runs resampled within each method.

    The plain bootstrap of n runs is too narrow; the expanded one (Hesterberg 2015) cuts Phi(-t sqrt(n / (n - 1))) off
    each side instead of (1 - confidence) / 2. NaN for a single run.

    Args:
        statistic: takes as many arrays [seeds, tasks] as there are `scores`.
        scores: one array per method.
        confidence: of the interval.
        resamples: bootstrap samples.
        seed: of the generator, which makes it repeatable.
    """
    draw, n = np.random.default_rng(seed), min(len(table) for table in scores)
    if n < 2:
        return float("nan"), float("nan")
    found = [
        statistic(*(table[draw.integers(len(table), size=len(table))] for table in scores)) for _ in range(resamples)
    ]
    tail = float(stats.norm.cdf(-stats.t.ppf(0.5 + confidence / 2, n - 1) * (n / (n - 1)) ** 0.5))
    low, high = np.quantile(found, [tail, 1 - tail])
    return float(low), float(high)
