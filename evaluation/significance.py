"""Paired comparisons of methods over seeds: what n seeds show, and what they cannot.

Runs of two methods at the same seed share initialisation, data order and augmentation, so their difference is one
observation, and n seeds give n of them. Every function takes these differences as float64 [n].

All p-values are two-sided. The exact sign-flip test needs no normality, but with n seeds it cannot go below 2 / 2^n
(`smallest_p`): three seeds can never show p < 0.25 that way, whatever the effect. The paired t-test can, at the price
of assuming that differences over seeds are normal, which n = 3 cannot check.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.special import gammaln

__all__ = [
    "Comparison",
    "bootstrap_interval",
    "compare",
    "correction_factor",
    "effect_size",
    "expanded_tail",
    "holm",
    "sentence",
    "sign_flip_p",
    "smallest_p",
    "t_interval",
    "t_p",
    "wilcoxon_p",
]

Vector = NDArray[np.float64]

EXACT = 13
"""Largest n for which all 2^n sign patterns are counted; above, a seeded sample of them is drawn."""

ENUMERATED = 5
"""Largest n for which all n^n bootstrap resamples are taken."""


@dataclass(frozen=True)
class Comparison:
    """One method against the baseline on one metric, over paired seeds.

    `ci_low`, `ci_high` and `p_value` are Student's: the main ones. Two other tests and the bootstrap stand beside them
    as checks. `effect_size` is Hedges' g_z. `nan` stands where a number is not defined: everything about spread at
    n = 1, and the t-test where all differences are equal (no spread to measure the mean against).
    """

    n: int
    difference: float
    difference_sd: float
    ci_low: float
    ci_high: float
    bootstrap_low: float
    bootstrap_high: float
    p_value: float
    p_sign_flip: float
    p_wilcoxon: float
    effect_size: float
    smallest_p: float


def _differences(values: ArrayLike) -> Vector:
    d = np.asarray(values, dtype=np.float64)
    if d.ndim != 1 or d.size == 0:
        raise ValueError(f"paired differences must be one non-empty list of numbers, got shape {d.shape}")
    if not np.isfinite(d).all():
        raise ValueError("paired differences must be finite; a run with a missing or infinite metric cannot be paired")
    return d


def _spread(d: Vector) -> float:
    """Standard deviation (n - 1); rounding noise around equal differences counts as none."""
    if d.size < 2:
        return float("nan")
    sd = float(d.std(ddof=1))
    return 0.0 if sd <= 1e-12 * float(np.abs(d).max()) else sd


def t_interval(values: ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """Student's t confidence interval of the mean difference."""
    d = _differences(values)
    if d.size < 2:
        return float("nan"), float("nan")
    half = float(stats.t.ppf(0.5 + confidence / 2, d.size - 1)) * _spread(d) / d.size**0.5
    return float(d.mean()) - half, float(d.mean()) + half


def expanded_tail(n: int, confidence: float = 0.95) -> float:
    """Tail that a percentile bootstrap must cut so that it is as wide as Student's t where it can be (Hesterberg 2015).

    The plain bootstrap of n values takes a normal quantile for a t and n for n - 1, so it is too narrow; the expanded
    percentile interval cuts Phi(-t sqrt(n / (n - 1))) off each side instead of (1 - confidence) / 2.
    """
    return float(stats.norm.cdf(-stats.t.ppf(0.5 + confidence / 2, n - 1) * (n / (n - 1)) ** 0.5))


def bootstrap_interval(
    values: ArrayLike, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Expanded percentile bootstrap interval of the mean difference (`expanded_tail`).

    No resample lies outside the data, so no bootstrap of n values covers a symmetric distribution's mean more often
    than 1 - 2 / 2^n: 75 % at n = 3, 94 % at n = 5, whatever level is asked for. Student's interval is the main one.

    Args:
        values: paired differences [n].
        confidence: of the interval.
        resamples: drawn above `ENUMERATED` seeds; up to there all n^n resamples are taken.
        seed: of the generator.
    """
    d = _differences(values)
    if d.size < 2:
        return float("nan"), float("nan")
    if d.size <= ENUMERATED:
        drawn = np.indices((d.size,) * d.size).reshape(d.size, -1).T
    else:
        drawn = np.random.default_rng(seed).integers(d.size, size=(resamples, d.size))
    means, tail = d[drawn].mean(axis=1), expanded_tail(d.size, confidence)
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def t_p(values: ArrayLike) -> float:
    """Paired t-test."""
    d = _differences(values)
    spread = _spread(d)
    if not spread > 0:
        return 1.0 if d.size > 1 and not d.any() else float("nan")
    return float(stats.ttest_1samp(d, 0.0).pvalue)


def sign_flip_p(values: ArrayLike, resamples: int = 100_000, seed: int = 0) -> float:
    """Sign-flip permutation test of the mean; exact up to `EXACT` seeds."""
    d = _differences(values)
    if d.size < 2 or not d.any():
        return 1.0
    draws = 2**d.size if d.size <= EXACT else resamples
    test = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=draws, rng=seed)
    return float(test.pvalue)


def wilcoxon_p(values: ArrayLike) -> float:
    """Wilcoxon's signed-rank test; zero differences are dropped."""
    d = _differences(values)
    if d.size < 2 or not d.any():
        return 1.0
    return float(stats.wilcoxon(d).pvalue)


def effect_size(values: ArrayLike) -> float:
    """Hedges' g_z: mean over standard deviation of the differences (Cohen's d_z), unbiased for few seeds (Hedges 1981).

    d_z is too large on average, by 77 % at n = 3. With m = n - 1 degrees of freedom the exact correction factor is
    Gamma(m / 2) / (sqrt(m / 2) Gamma((m - 1) / 2)): .564 at n = 3, .798 at 5, .914 at 10. At n = 2 d_z has no mean
    that could be corrected, so the effect size is not defined.
    """
    d = _differences(values)
    spread = _spread(d)
    if not spread > 0:
        return 0.0 if d.size > 1 and not d.any() else float("nan")
    if d.size == 2:
        return float("nan")
    half = (d.size - 1) / 2
    return float(d.mean() / spread * np.exp(gammaln(half) - gammaln(half - 0.5)) / half**0.5)


def smallest_p(n: int) -> float:
    """Smallest two-sided p-value the exact sign-flip test (and Wilcoxon's) can give with n seeds."""
    return min(1.0, 2.0 / 2.0**n)


def correction_factor(n: int, family: int, level: float = 0.05) -> float:
    """How many times larger a mean difference must be to pass a paired t-test at `level / family` than at `level`.

    `level / family` is the first step of Holm's correction: the most that it can ask of a comparison.

    Args:
        n: paired seeds, at least 2.
        family: comparisons in the family.
        level: of the test, two-sided.
    """
    alone, corrected = stats.t.ppf([1 - level / 2, 1 - level / 2 / family], n - 1)
    return float(corrected / alone)


def compare(values: ArrayLike, confidence: float = 0.95, resamples: int = 10_000) -> Comparison:
    """Everything said about one comparison, from the paired differences method - baseline."""
    d = _differences(values)
    return Comparison(
        d.size,
        float(d.mean()),
        _spread(d),
        *t_interval(d, confidence),
        *bootstrap_interval(d, confidence, resamples),
        t_p(d),
        sign_flip_p(d),
        wilcoxon_p(d),
        effect_size(d),
        smallest_p(d.size),
    )


def holm(p_values: Iterable[float]) -> Vector:
    """Holm's step-down correction over one family (Holm 1979), in the order given.

    An undefined p-value (`nan`) stays undefined but counts as a member of the family.
    """
    p = np.asarray(list(p_values), dtype=np.float64)
    known = np.where(np.isnan(p), 1.0, p)
    order = np.argsort(known, kind="stable")
    steps = known[order] * np.arange(p.size, 0, -1)
    corrected = np.empty_like(known)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if p.size else steps
    return np.where(np.isnan(p), np.nan, corrected)


def sentence(n: int, family: int, level: float = 0.05) -> str:
    """What n seeds can show at all, in a family of that many comparisons, as a sentence for a reader."""
    least = smallest_p(n)
    needed = next(k for k in range(1, 64) if smallest_p(k) <= level)
    corrected = min(1.0, least * family)
    return (
        f"With {n} seeds the exact sign-flip test cannot give a p-value below {least:.3g} "
        f"({corrected:.3g} after Holm's correction over {family} comparisons); {needed} seeds are the fewest that "
        f"could reach {level:g} in a single comparison. The paired t-test can go lower, but only by assuming that "
        "differences over seeds are normal."
    )
