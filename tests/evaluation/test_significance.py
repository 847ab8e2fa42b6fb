"""Statistics of paired runs against scipy, statsmodels and plain enumeration."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

from evaluation.significance import (
    bootstrap_interval,
    compare,
    correction_factor,
    effect_size,
    holm,
    interquartile_mean,
    probability_of_improvement,
    sentence,
    sign_flip_p,
    smallest_p,
    stratified_interval,
    t_interval,
    t_p,
    wilcoxon_p,
)

RNG = np.random.default_rng(7)
SAMPLES = [RNG.normal(0.01, 0.02, n) for n in (2, 3, 5, 10)]


@pytest.mark.parametrize("d", SAMPLES, ids=len)
def test_t_agrees_with_scipy_on_paired_samples(d: np.ndarray) -> None:
    baseline = RNG.normal(0.7, 0.05, d.size)
    reference = stats.ttest_rel(baseline + d, baseline)
    assert t_p(d) == pytest.approx(reference.pvalue, rel=1e-6)
    interval = reference.confidence_interval(0.9)
    assert t_interval(d, 0.9) == pytest.approx((interval.low, interval.high), rel=1e-6)


@pytest.mark.parametrize("d", SAMPLES, ids=len)
def test_sign_flip_is_the_full_enumeration(d: np.ndarray) -> None:
    means = [abs(np.mean(d * signs)) for signs in itertools.product((-1, 1), repeat=d.size)]
    expected = np.mean([mean >= abs(d.mean()) - 1e-15 for mean in means])
    assert sign_flip_p(d) == pytest.approx(expected)


@pytest.mark.parametrize("d", SAMPLES, ids=len)
def test_wilcoxon_agrees_with_scipy(d: np.ndarray) -> None:
    assert wilcoxon_p(d) == pytest.approx(stats.wilcoxon(d, method="exact").pvalue)


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_no_exact_test_goes_below_the_smallest_p(n: int) -> None:
    d = np.linspace(1, 2, n)
    assert sign_flip_p(d) == pytest.approx(smallest_p(n))
    assert wilcoxon_p(d) == pytest.approx(smallest_p(n))
    assert smallest_p(n) == 2.0 ** (1 - n)


def test_one_seed_shows_nothing() -> None:
    found = compare([0.1])
    assert math.isnan(found.p_value) and math.isnan(found.ci_low) and math.isnan(found.effect_size)
    assert found.p_sign_flip == found.p_wilcoxon == found.smallest_p == 1.0


def test_no_difference_at_all() -> None:
    found = compare([0.0, 0.0, 0.0])
    assert (found.p_value, found.p_sign_flip, found.p_wilcoxon, found.effect_size) == (1.0, 1.0, 1.0, 0.0)
    assert (found.ci_low, found.ci_high) == (0.0, 0.0)


def test_equal_differences_are_no_proof() -> None:
    """Rounded accuracies can differ by the same amount at each seed; a t-test would then claim p = 0."""
    found = compare([0.1, 0.1, 0.1])
    assert math.isnan(found.p_value) and math.isnan(found.effect_size)
    assert found.p_sign_flip == 0.25


def test_effect_size_is_mean_over_sd_of_differences() -> None:
    d = SAMPLES[3]
    assert effect_size(d) == pytest.approx(d.mean() / d.std(ddof=1))


def test_bootstrap_interval_repeats_and_lies_within_the_data() -> None:
    d = SAMPLES[3]
    low, high = bootstrap_interval(d, 0.95)
    assert (low, high) == bootstrap_interval(d, 0.95)
    assert d.min() < low < d.mean() < high < d.max()
    # The percentile bootstrap of a mean is close to a normal interval with the n-denominator standard deviation.
    half = stats.norm.ppf(0.975) * d.std() / d.size**0.5
    assert (low, high) == pytest.approx((d.mean() - half, d.mean() + half), abs=0.2 * half)


def test_holm_agrees_with_statsmodels() -> None:
    p = RNG.uniform(0, 0.2, 17)
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert holm([]).size == 0


def test_holm_counts_an_undefined_p_as_a_member() -> None:
    corrected = holm([0.01, math.nan])
    assert corrected[0] == pytest.approx(0.02)
    assert math.isnan(corrected[1])


def test_holm_rejects_under_the_null_at_the_nominal_level() -> None:
    """Family-wise error of Holm over ten true nulls of paired t-tests stays at 5 %."""
    d = np.random.default_rng(1).normal(size=(2000, 10, 5))
    p = stats.ttest_1samp(d, 0.0, axis=2).pvalue
    errors = np.mean([holm(row).min() < 0.05 for row in p])
    assert 0.03 < errors < 0.07


def test_interquartile_mean_drops_the_outer_quarters() -> None:
    assert interquartile_mean([[0, 1], [2, 100]]) == 1.5


def test_probability_of_improvement_counts_ties_half() -> None:
    assert probability_of_improvement([[1], [2]], [[1], [0]]) == pytest.approx((0.5 + 1 + 1 + 1) / 4)
    with pytest.raises(ValueError, match="same tasks"):
        probability_of_improvement([[1, 2]], [[1]])


def test_probability_of_improvement_is_the_mann_whitney_statistic() -> None:
    x, y = RNG.normal(size=(5, 3)), RNG.normal(size=(6, 3))
    expected = [stats.mannwhitneyu(x[:, k], y[:, k]).statistic / 30 for k in range(3)]
    assert probability_of_improvement(x, y) == pytest.approx(np.mean(expected))


def test_stratified_bootstrap_resamples_seeds_within_a_task() -> None:
    """Tasks far apart must not mix: the interval is as wide as the noise of the seeds, not as the tasks."""
    scores = np.array([0.0, 10.0, 100.0]) + RNG.normal(0, 1, (200, 3))
    low, high = stratified_interval(lambda table: float(table.mean()), scores, resamples=500)
    assert low < scores.mean() < high
    expected = 2 * 1.96 * float(np.sqrt(scores.var(axis=0).sum() / 200)) / 3
    assert high - low == pytest.approx(expected, rel=0.15)
    assert (low, high) == stratified_interval(lambda table: float(table.mean()), scores, resamples=500)


@pytest.mark.parametrize("bad", [[0.1, 0.2], [[math.nan]], np.zeros((0, 2))])
def test_unusable_scores_are_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="scores must be finite"):
        interquartile_mean(bad)


def test_correction_asks_for_a_larger_difference() -> None:
    assert correction_factor(3, 1) == 1.0
    # critical values of Student's t with 2 degrees of freedom: 4.303 at 5 %, 9.925 at 1 %
    assert correction_factor(3, 5) == pytest.approx(9.925 / 4.303, abs=1e-3)


def test_sentence_says_what_three_seeds_can_show() -> None:
    text = sentence(3, 4)
    assert "below 0.25" in text and "1 after Holm" in text and "6 seeds" in text


@pytest.mark.parametrize("bad", [[], [[1.0]], [0.1, math.nan]])
def test_unusable_differences_are_refused(bad: list[Any]) -> None:
    with pytest.raises(ValueError, match="differences must be"):
        compare(bad)
