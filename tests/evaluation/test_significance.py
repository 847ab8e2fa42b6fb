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
    expanded_tail,
    holm,
    sentence,
    sign_flip_p,
    smallest_p,
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


@pytest.mark.parametrize("n", [3, 5, 10])
def test_effect_size_is_unbiased(n: int) -> None:
    """Hedges' correction: over many sets of seeds the mean is the true effect, which Cohen's d_z overstates."""
    d = np.random.default_rng(2).normal(0.8, 1, (20_000, n))
    cohen = d.mean(axis=1) / d.std(axis=1, ddof=1)
    factor = effect_size(d[0]) / cohen[0]
    assert cohen.mean() > 0.84
    assert factor * cohen.mean() == pytest.approx(0.8, abs=4 * factor * float(cohen.std()) / 20_000**0.5)


def test_effect_size_is_hedges_correction_of_d_z() -> None:
    d = SAMPLES[3]
    assert effect_size(d) == pytest.approx(0.9139 * d.mean() / d.std(ddof=1), rel=1e-3)
    assert math.isnan(effect_size(SAMPLES[0]))


def test_bootstrap_interval_is_scipys_at_the_expanded_level() -> None:
    d = SAMPLES[3]
    low, high = bootstrap_interval(d, 0.95)
    assert (low, high) == bootstrap_interval(d, 0.95)
    level = 1 - 2 * expanded_tail(d.size)
    assert level == pytest.approx(1 - 2 * stats.norm.cdf(-2.2622 * (10 / 9) ** 0.5), abs=1e-4)
    theirs = stats.bootstrap((d,), np.mean, confidence_level=level, method="percentile", rng=1).confidence_interval
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.05 * (high - low))
    # It is close to Student's, where the plain percentile interval is 10 % and more narrower.
    assert high - low == pytest.approx(np.diff(t_interval(d))[0], rel=0.08)


def test_no_bootstrap_leaves_the_data() -> None:
    d = SAMPLES[1]
    assert bootstrap_interval(d) == pytest.approx((d.min(), d.max()))


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
