"""Statistics of paired runs against scipy, statsmodels and plain enumeration."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from evaluation.statistics.seeds import compare, effect_size, holm, sign_flip_p, smallest_p, t_test

RNG = np.random.default_rng(7)
SAMPLES = [RNG.normal(0.01, 0.02, n) for n in (2, 3, 5, 10)]


@pytest.mark.parametrize("d", SAMPLES, ids=len)
def test_t_agrees_with_scipy_on_paired_samples(d):
    baseline = np.random.default_rng(1).normal(0.7, 0.05, d.size)
    reference = stats.ttest_rel(baseline + d, baseline)
    interval = reference.confidence_interval(0.9)
    assert t_test(d, 0.9) == pytest.approx((reference.pvalue, interval.low, interval.high), rel=1e-6)


@pytest.mark.parametrize("d", SAMPLES, ids=len)
def test_sign_flip_is_the_full_enumeration(d):
    means = [abs(np.mean(d * signs)) for signs in itertools.product((-1, 1), repeat=d.size)]
    expected = np.mean([mean >= abs(d.mean()) - 1e-15 for mean in means])
    assert sign_flip_p(d) == pytest.approx(expected)


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_no_sign_flip_goes_below_the_smallest_p(n):
    assert sign_flip_p(np.linspace(1, 2, n)) == pytest.approx(smallest_p(n)) == 2.0 ** (1 - n)


@pytest.mark.parametrize("d", [[0.1], [0.0, 0.0, 0.0], [0.1, 0.1, 0.1]], ids=["one seed", "no difference", "equal"])
def test_without_a_spread_nothing_about_it_is_defined(d):
    """Rounded accuracies can differ by the same amount at each seed; a t-test would then claim p = 0."""
    found = compare(d)
    assert all(math.isnan(v) for v in (found.p_value, found.ci_low, found.ci_high, found.effect_size))
    assert found.difference == pytest.approx(d[0])
    assert found.p_sign_flip == (0.25 if d[-1] == 0.1 and len(d) == 3 else 1)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_effect_size_is_unbiased(n):
    """Hedges' correction: over many sets of seeds the mean is the true effect, which Cohen's d_z overstates."""
    d = np.random.default_rng(2).normal(0.8, 1, (20_000, n))
    cohen = d.mean(axis=1) / d.std(axis=1, ddof=1)
    factor = effect_size(d[0]) / cohen[0]
    assert cohen.mean() > 0.84
    assert factor * cohen.mean() == pytest.approx(0.8, abs=4 * factor * float(cohen.std()) / 20_000**0.5)


def test_holm_counts_an_undefined_p_as_a_member():
    assert holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    corrected = holm([0.01, math.nan])
    assert corrected[0] == pytest.approx(0.02)
    assert math.isnan(corrected[1]) and holm([]).size == 0
