import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score

from evaluation.scores import mean_per_class, score, top, top1


def test_scores_equal_scikit_learns():
    generator = np.random.default_rng(0)
    truth, scores = generator.integers(0, 7, 200), generator.normal(size=(200, 7))
    ranked = top(scores, 5)
    hits = ranked == truth[:, None]
    assert top1(hits[:, 0]).value == pytest.approx(top_k_accuracy_score(truth, scores, k=1))
    assert top1(hits.any(axis=1)).value == pytest.approx(top_k_accuracy_score(truth, scores, k=5))
    assert score("mean-per-class", hits[:, 0], truth).value == pytest.approx(
        balanced_accuracy_score(truth, ranked[:, 0])
    )


def test_standard_errors_match_resampling():
    generator = np.random.default_rng(0)
    truth = np.repeat([0, 1], [300, 60])
    hits = generator.random(360) < np.where(truth == 0, 0.9, 0.4)
    plain, balanced = [], []
    for _ in range(2000):
        rows = np.concatenate([generator.choice(300, 300), 300 + generator.choice(60, 60)])
        balanced.append(mean_per_class(hits[rows], truth[rows]).value)
        plain.append(hits[generator.choice(360, 360)].mean())
    assert mean_per_class(hits, truth).stderr == pytest.approx(np.std(balanced), rel=0.1)
    assert top1(hits).stderr == pytest.approx(np.std(plain), rel=0.1)


def test_a_single_sample_has_no_standard_error():
    assert top1(np.array([1.0])).stderr is None
    assert mean_per_class(np.array([1, 0, 1]), np.array([0, 0, 1])).stderr is None
