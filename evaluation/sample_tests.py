"""Paired comparisons of methods over test samples: what another test set would show.

Two methods are tested on the same samples, at each seed. d[s, i] is the hits of the method minus those of the baseline
on sample i at seed s (1, 0 or -1; with several draws of the training labels, their sum). Three questions differ:

- Would another test set show it, *for these trained models*? Seeds are held fixed: the differences of all seeds on one
  sample are one observation, whatever their number, since they share the sample. `mcnemar_p`, `sample_interval`.
- Would another training run show it, on this test set? `evaluation.significance`, from the n means over samples.
- Would both together? `crossed_interval`, seeds and samples both drawn anew.

The first alone is no proof for a method: with thousands of samples it calls the luck of a single training run
significant. It says how far the test set is from being the limit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, stats

__all__ = [
    "SampleComparison",
    "compare_samples",
    "crossed_interval",
    "mcnemar_p",
    "sample_interval",
]

Vector = NDArray[np.float64]
Counts = NDArray[np.int64]

LEAST_P = 1e-12
"""Smaller p-values are given as this one: the accuracy of the transform that they are summed from."""


@dataclass(frozen=True)
class SampleComparison:
    """One method against the baseline over paired test samples, all seeds together.

    Attributes:
        samples: number of test samples.
        won: share of samples on which the method has more hits than the baseline, mean over seeds.
        lost: share on which it has fewer.
        sample_low, sample_high: interval of the difference over test samples, for these trained models.
        p_mcnemar: exact McNemar test of these models, all seeds of a sample as one cluster; NaN for a mean per class,
            which is no plain mean over samples.
        p_mcnemar_seeds: the same for each seed alone, in the order of the seeds.
        both_low, both_high: interval of the difference over seeds and test samples both; NaN for a single seed.
    """

    samples: int
    won: float
    lost: float
    sample_low: float
    sample_high: float
    p_mcnemar: float
    p_mcnemar_seeds: tuple[float, ...]
    both_low: float
    both_high: float


def _hits(values: ArrayLike) -> Counts:
    hits = np.asarray(values)
    if hits.ndim != 2 or not hits.size or not np.issubdtype(hits.dtype, np.integer):
        raise ValueError(f"hits must be whole numbers [seeds, samples], got {hits.dtype} of shape {hits.shape}")
    return hits.astype(np.int64)


def mcnemar_p(differences: ArrayLike) -> float:
    """Exact McNemar test, two-sided, and its extension to several seeds or draws per sample.

    Given the sizes |d_i|, each d_i is as likely positive as negative if the two methods are exchangeable on every
    sample. For d in {-1, 0, 1} that is McNemar's exact (binomial) test of the two discordant counts; for sums over
    seeds it is the sign-flip test of clusters: a sample is flipped with all its seeds. The distribution of the sum is
    computed exactly, as the inverse Fourier transform of its characteristic function prod_i cos(|d_i| t).

    Args:
        differences: whole numbers [N], one per sample.

    Returns:
        The p-value, not below `LEAST_P`.
    """
    d = _hits(np.atleast_2d(differences))[0]
    sizes, counts = np.unique(np.abs(d[d != 0]), return_counts=True)
    if not sizes.size:
        return 1.0
    step = np.gcd.reduce(sizes)
    sizes = sizes // step
    reach, observed = int(sizes @ counts), int(abs(d.sum()) // step)
    length = fft.next_fast_len(2 * reach + 1, real=True)
    angles = 2 * np.pi * np.arange(length // 2 + 1) / length
    transform = np.ones_like(angles)
    for size, count in zip(sizes, counts, strict=True):
        transform *= np.cos(size * angles) ** count
    chances = fft.irfft(transform, length)
    tail = 2 * chances[observed : reach + 1].sum() if observed else 1.0
    return float(np.clip(tail, LEAST_P, 1.0))


def _strata(classes: ArrayLike | None, samples: int) -> Counts:
    """Stratum of every sample: its class for a mean per class, else one for all."""
    if classes is None:
        return np.zeros(samples, dtype=np.int64)
    return np.unique(np.asarray(classes), return_inverse=True)[1].astype(np.int64)


def sample_interval(
    differences: ArrayLike,
    classes: ArrayLike | None = None,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean difference over test samples, for these trained models.

    A sample is drawn with all its seeds. Differences are whole numbers, so a resample is drawn as how often each value
    occurs, which costs nothing per sample.

    Args:
        differences: whole numbers [S, N].
        classes: class of every sample [N] for a mean per class (samples are then drawn within their class); `None` for
            a plain mean.
        confidence: of the interval.
        resamples: bootstrap samples.
        seed: of the generator.
    """
    d = _hits(differences)
    totals, strata = d.sum(axis=0), _strata(classes, d.shape[1])
    draw = np.random.default_rng(seed)
    means = np.zeros(resamples)
    for stratum in range(strata.max() + 1):
        values, counts = np.unique(totals[strata == stratum], return_counts=True)
        size = counts.sum()
        means += draw.multinomial(size, counts / size, size=resamples) @ values / size
    means /= len(d) * (strata.max() + 1)
    low, high = np.quantile(means, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(low), float(high)


def _shares(d: Counts, strata: Counts) -> Vector:
    """Differences [S, N] whose mean over samples is the (class-balanced) difference and whose spread is its error.

    For a mean per class these are its influences: N times the sample's weight times its distance from the mean of its
    class, since how many samples a class has is no part of the error.
    """
    shares = d.astype(np.float64)
    sizes = np.bincount(strata)
    if len(sizes) == 1:
        return shares
    within = np.stack([np.bincount(strata, row) / sizes for row in shares])
    scale = d.shape[1] / (len(sizes) * sizes)
    return np.asarray((shares - within[:, strata]) * scale[strata] + within.mean(axis=1, keepdims=True))


def crossed_interval(
    differences: ArrayLike, classes: ArrayLike | None = None, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of the mean difference when seeds and test samples are both drawn anew.

    Two-way random effects without replication: d[s, i] = mu + seed_s + sample_i + rest. With the mean squares A
    (seeds), B (samples) and E (rest), the variance of the mean is (A + B - E) / (S N), with Satterthwaite's (1946)
    degrees of freedom; it is never taken below that of either factor alone. Resampling rows and columns (the pigeonhole
    bootstrap, Owen 2007) asks the same, but is too wide where seeds hardly differ and too narrow where three seeds
    differ much (docs/significance.md).

    Args:
        differences: whole numbers [S, N].
        classes: as in `sample_interval`.
        confidence: of the interval.
    """
    d = _hits(differences)
    seeds, samples = d.shape
    if seeds < 2 or samples < 2:
        return float("nan"), float("nan")
    shares = _shares(d, _strata(classes, samples))
    mean, by_seed, by_sample = shares.mean(), shares.mean(axis=1), shares.mean(axis=0)
    a = samples * ((by_seed - mean) ** 2).sum() / (seeds - 1)
    b = seeds * ((by_sample - mean) ** 2).sum() / (samples - 1)
    rest = shares - by_seed[:, None] - by_sample + mean
    e = (rest**2).sum() / ((seeds - 1) * (samples - 1))
    if a == b == e == 0:
        return float(mean), float(mean)
    total = max(a + b - e, a, b)
    freedom = total**2 / (a**2 / (seeds - 1) + b**2 / (samples - 1) + e**2 / ((seeds - 1) * (samples - 1)))
    half = stats.t.ppf(0.5 + confidence / 2, freedom) * (total / d.size) ** 0.5
    return float(mean - half), float(mean + half)


def compare_samples(
    method: ArrayLike,
    baseline: ArrayLike,
    draws: int = 1,
    classes: ArrayLike | None = None,
    confidence: float = 0.95,
    resamples: int = 10_000,
) -> SampleComparison:
    """Everything said about one comparison over test samples.

    Args:
        method: hits of the method [S, N], whole numbers from 0 to `draws`; row s is the s-th seed.
        baseline: the same of the baseline, at the same seeds and samples.
        draws: predictions per sample and seed (subsets of the training labels).
        classes: class of every sample [N] for a mean per class, else `None`.
        confidence: of both intervals.
        resamples: of the bootstrap.

    Raises:
        ValueError: the two do not pair up, or hits are not whole numbers from 0 to `draws`.
    """
    one, other = _hits(method), _hits(baseline)
    if one.shape != other.shape:
        raise ValueError(f"hits must pair up, got shapes {one.shape} and {other.shape}")
    if min(one.min(), other.min()) < 0 or max(one.max(), other.max()) > draws:
        raise ValueError(f"hits must lie between 0 and {draws}, the predictions per sample")
    d = one - other
    low, high = sample_interval(d, classes, confidence, resamples)
    both_low, both_high = crossed_interval(d, classes, confidence)
    plain = classes is None
    return SampleComparison(
        samples=d.shape[1],
        won=float((d > 0).mean()),
        lost=float((d < 0).mean()),
        sample_low=low / draws,
        sample_high=high / draws,
        p_mcnemar=mcnemar_p(d.sum(axis=0)) if plain else float("nan"),
        p_mcnemar_seeds=tuple(mcnemar_p(row) for row in d) if plain else (),
        both_low=both_low / draws,
        both_high=both_high / draws,
    )
