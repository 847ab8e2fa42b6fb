"""Tests over test samples against statsmodels, scipy and plain enumeration."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from evaluation.results import Findings
from evaluation.scores import mean_per_class
from evaluation.statistics.samples import LEAST_P, compare_samples, mcnemar_p, read_hits

RUN = {"id": "t/o/d/seed1", "experiment": "t", "objective": "o", "detector": "d", "seed": 1, "kind": "method"}


@pytest.mark.parametrize(("won", "lost", "equal"), [(3, 9, 5), (10, 0, 0), (0, 1, 4), (7, 7, 100), (420, 350, 9000)])
def test_one_seed_is_the_exact_mcnemar_test(won, lost, equal):
    d = np.repeat([1, -1, 0], [won, lost, equal])
    expected = mcnemar([[50, won], [lost, 8]], exact=True).pvalue
    assert mcnemar_p(np.random.default_rng(0).permutation(d)) == pytest.approx(expected, rel=1e-9)


def test_several_seeds_are_the_full_sign_flip_of_clusters():
    d = np.array([3, -1, 2, 2, 0, -3, 1, 1, 2, -2, 3])
    sums = [abs(np.dot(signs, d)) for signs in itertools.product((-1, 1), repeat=len(d))]
    expected = np.mean([total >= abs(d.sum()) for total in sums])
    assert mcnemar_p(d) == pytest.approx(expected, abs=1e-12)


def test_equal_models_show_nothing_and_a_tiny_p_is_bounded():
    assert mcnemar_p(np.zeros(10, dtype=int)) == 1.0
    assert mcnemar_p([1, -1]) == 1.0
    assert mcnemar_p(np.ones(5000, dtype=int)) == LEAST_P


def test_the_interval_is_students_over_samples():
    method, baseline = np.random.default_rng(0).integers(0, 3, (2, 4, 60))
    found = compare_samples(method, baseline, draws=2, confidence=0.9)
    d = (method - baseline).mean(axis=0) / 2
    interval = stats.ttest_1samp(d, 0).confidence_interval(0.9)
    assert (found.sample_low, found.sample_high) == pytest.approx((interval.low, interval.high))
    assert found.p_mcnemar == mcnemar_p((method - baseline).sum(axis=0))


def test_mean_per_class_is_stratified_and_has_no_count_test():
    method, baseline = np.random.default_rng(0).integers(0, 2, (2, 3, 60))
    classes = np.arange(60) % 4
    found = compare_samples(method, baseline, classes=classes)
    expected = mean_per_class((method - baseline).mean(axis=0), classes)
    assert math.isnan(found.p_mcnemar)
    assert found.sample_low + found.sample_high == pytest.approx(2 * expected.value)
    assert found.sample_high - expected.value == pytest.approx(2.0 * expected.stderr, rel=0.01)


def test_hits_are_read_back_and_held_against_the_value(tmp_path):
    truth = np.arange(12) % 3
    prediction = np.stack([truth, np.where(truth == 1, 0, truth)])
    findings = Findings(RUN, "linear", "p")
    findings.predict("a.test", np.arange(12) + 5, prediction, truth)
    findings.predict("a.ranks", np.arange(4), np.array([1, 3, 2, 9]), np.ones(4))
    common = {"fraction": 0.1, "predictions": "a.test"}
    findings.add("a", "test", "top1@label", 10 / 12, 12, **common)
    findings.add("a", "test", "mean-per-class", 10 / 12, 12, **common)
    findings.add("a", "test", "top5", 1.0, 12, **common)
    findings.add("a", "test", "image-to-text-recall-at-2", 0.5, 4, predictions="a.ranks")
    findings.add("a", "test", "knn-top1", 0.1, 12, predictions="a.test")
    findings.write(tmp_path, {})
    hits = read_hits(tmp_path, "a", "test", "top1@label", 0.1)
    assert (hits.draws, hits.classes, hits.index[0]) == (2, None, 5)
    assert hits.count.tolist() == np.where(truth == 1, 1, 2).tolist()
    assert read_hits(tmp_path, "a", "test", "mean-per-class", 0.1).classes.tolist() == truth.tolist()
    assert read_hits(tmp_path, "a", "test", "image-to-text-recall-at-2", math.nan).count.tolist() == [1, 0, 1, 0]
    assert read_hits(tmp_path, "a", "test", "top5", 0.1) is None
    assert read_hits(tmp_path / "gone", "a", "test", "top1", 0.1) is None
    with pytest.raises(ValueError, match=r"gives 0\.833333 for knn-top1"):
        read_hits(tmp_path, "a", "test", "knn-top1", None)
    (tmp_path / "predictions.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match="no readable predictions"):
        read_hits(tmp_path, "a", "test", "top1@label", 0.1)
