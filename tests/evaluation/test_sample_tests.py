"""Tests over test samples against statsmodels, scipy and plain enumeration."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols  # type: ignore[import-untyped]
from statsmodels.stats.anova import anova_lm  # type: ignore[import-untyped]
from statsmodels.stats.contingency_tables import mcnemar  # type: ignore[import-untyped]

from evaluation.accuracy import mean_per_class
from evaluation.sample_tests import LEAST_P, compare_samples, crossed_interval, mcnemar_p, sample_interval

RNG = np.random.default_rng(11)


@pytest.mark.parametrize(("won", "lost", "equal"), [(3, 9, 5), (10, 0, 0), (0, 1, 4), (7, 7, 100), (420, 350, 9000)])
def test_one_seed_is_the_exact_mcnemar_test(won: int, lost: int, equal: int) -> None:
    d = np.repeat([1, -1, 0], [won, lost, equal])
    expected = mcnemar([[50, won], [lost, 8]], exact=True).pvalue
    assert mcnemar_p(RNG.permutation(d)) == pytest.approx(expected, rel=1e-9)


def test_several_seeds_are_the_full_sign_flip_of_clusters() -> None:
    d = np.array([3, -1, 2, 2, 0, -3, 1, 1, 2, -2, 3])
    sums = [abs(np.dot(signs, d)) for signs in itertools.product((-1, 1), repeat=len(d))]
    expected = np.mean([total >= abs(d.sum()) for total in sums])
    assert mcnemar_p(d) == pytest.approx(expected, abs=1e-12)


def test_sums_agree_with_a_sampled_permutation_test() -> None:
    d = RNG.integers(-10, 11, 80)
    d[:20] = np.abs(d[:20])
    sampled = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=20_000, rng=1).pvalue
    assert 0.001 < sampled < 0.5
    assert mcnemar_p(d) == pytest.approx(sampled, abs=4 * math.sqrt(sampled / 20_000))


def test_many_draws_and_samples_are_near_the_normal_test() -> None:
    d = RNG.integers(-12, 14, 5_000)
    z = d.sum() / math.sqrt((d**2).sum())
    assert mcnemar_p(d) == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-3)


def test_equal_models_show_nothing_and_a_tiny_p_is_bounded() -> None:
    assert mcnemar_p(np.zeros(10, dtype=int)) == 1.0
    assert mcnemar_p([1, -1]) == 1.0
    assert mcnemar_p(np.ones(5000, dtype=int)) == LEAST_P


def _crossed(seeds: int, samples: int, by_seed: float, by_sample: float) -> np.ndarray:
    shape = (seeds, samples)
    noise = RNG.normal(0, 2, shape) + RNG.normal(0, by_seed, (seeds, 1)) + RNG.normal(0, by_sample, (1, samples))
    return np.rint(noise).astype(int)


def test_crossed_interval_is_that_of_a_two_way_analysis_of_variance() -> None:
    d = _crossed(4, 30, 0.5, 1.0)
    rows, columns = np.indices(d.shape)
    frame = pd.DataFrame({"d": d.ravel(), "seed": rows.ravel(), "sample": columns.ravel()})
    a, b, e = anova_lm(ols("d ~ C(seed) + C(sample)", frame).fit())["mean_sq"]
    total = a + b - e
    freedom = total**2 / (a**2 / 3 + b**2 / 29 + e**2 / 87)
    half = stats.t.ppf(0.95, freedom) * math.sqrt(total / d.size)
    assert crossed_interval(d, confidence=0.9) == pytest.approx((d.mean() - half, d.mean() + half))


def test_crossed_interval_holds_each_question_alone() -> None:
    """Where only seeds differ it is Student's over seeds; it is never narrower than the spread over samples."""
    shift = np.array([[1], [2], [4]]) * np.ones((1, 50), dtype=int)
    student = stats.ttest_1samp([1.0, 2.0, 4.0], 0).confidence_interval()
    assert crossed_interval(shift) == pytest.approx((student.low, student.high))
    same = np.tile(RNG.integers(-1, 2, 400), (3, 1))
    half = stats.t.ppf(0.975, 399) * same[0].std(ddof=1) / 20
    assert crossed_interval(same) == pytest.approx((same.mean() - half, same.mean() + half))
    assert all(math.isnan(end) for end in crossed_interval(same[:1]))
    assert crossed_interval(np.zeros((3, 8), dtype=int)) == (0.0, 0.0)


@pytest.mark.parametrize("classes", [None, np.repeat([3, 5, 9], [100, 40, 160])])
def test_sample_interval_is_as_wide_as_the_standard_error(classes: np.ndarray | None) -> None:
    d = _crossed(3, 300, 0.3, 1.0)
    if classes is not None:
        d += classes  # classes of unlike difficulty and size
    by_sample = d.mean(axis=0)
    if classes is None:
        centre, error = by_sample.mean(), by_sample.std() / math.sqrt(300)
    else:
        found = mean_per_class(by_sample, classes)
        centre, error = found.value, found.stderr
    expected = (centre - 1.96 * error, centre + 1.96 * error)
    assert sample_interval(d, classes) == pytest.approx(expected, abs=0.2 * error)
    assert sample_interval(d, classes) == sample_interval(d, classes)
    crossed = crossed_interval(d, classes)
    assert np.mean(crossed) == pytest.approx(centre)
    assert crossed[1] - crossed[0] > 0.97 * 2 * 1.96 * error


def test_comparison_counts_hits_of_all_draws() -> None:
    method = np.array([[2, 1, 0, 2], [2, 2, 0, 1]])
    baseline = np.array([[0, 1, 0, 1], [2, 0, 1, 1]])
    found = compare_samples(method, baseline, draws=2)
    assert (found.samples, found.won, found.lost) == (4, 3 / 8, 1 / 8)
    assert found.p_mcnemar == mcnemar_p([2, 2, -1, 1])
    assert found.p_mcnemar_seeds == (mcnemar_p([2, 0, 0, 1]), mcnemar_p([0, 2, -1, 0]))
    d = method - baseline
    assert (found.both_low * 2, found.both_high * 2) == pytest.approx(crossed_interval(d))
    assert (found.sample_low * 2, found.sample_high * 2) == pytest.approx(sample_interval(d))


def test_mean_per_class_has_intervals_but_no_count_test() -> None:
    hits = RNG.integers(0, 2, (2, 3, 60))
    found = compare_samples(*hits, classes=np.arange(60) % 4)
    assert math.isnan(found.p_mcnemar) and found.p_mcnemar_seeds == ()
    assert found.sample_low < found.sample_high


@pytest.mark.parametrize(
    ("method", "baseline", "message"),
    [
        ([[1, 0]], [[1, 0, 1]], "must pair up"),
        ([[0.5, 0.0]], [[1.0, 0.0]], "whole numbers"),
        ([[2, 0]], [[1, 0]], "between 0 and 1"),
        ([1, 0], [1, 0], "whole numbers"),
    ],
)
def test_unusable_hits_are_refused(method: Any, baseline: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare_samples(method, baseline)
