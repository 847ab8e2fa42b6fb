import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from evaluation.detection import AnchorCounts, SimilarityHistogram, exact_thresholds, per_anchor, per_class, pooled


def counts(pairs, dropped, true, correct):
    return AnchorCounts(*(np.array(values) for values in (pairs, dropped, true, correct)))


def test_pooled_scores_by_hand():
    found = pooled(counts([10, 10, 10], [4, 0, 2], [2, 3, 0], [2, 0, 0]))
    values = {name: score.value for name, score in found.items()}
    assert values == pytest.approx(
        {"precision": 2 / 6, "recall": 2 / 5, "f1": 4 / 11, "dropped_share": 6 / 30, "base_rate": 5 / 30}
    )


def test_nothing_over_nothing_is_no_number():
    found = pooled(counts([10, 10], [0, 0], [1, 0], [0, 0]))
    assert found["precision"] is None
    assert found["recall"].value == 0
    assert found["f1"].value == 0


def test_anchors_without_the_denominator_are_left_out():
    found = per_anchor(counts([10, 10, 10, 10], [4, 0, 2, 0], [2, 3, 0, 0], [2, 0, 0, 0]))
    assert (found["precision_per_anchor"][0].value, found["precision_per_anchor"][1]) == (0.25, 2)
    assert (found["recall_per_anchor"][0].value, found["recall_per_anchor"][1]) == (0.5, 2)
    assert (found["f1_per_anchor"][0].value, found["f1_per_anchor"][1]) == (pytest.approx(4 / 6 / 3), 3)


def test_classes_are_pooled_first_and_averaged_then():
    found = counts([10, 10, 10, 10], [4, 0, 2, 0], [2, 3, 0, 0], [2, 0, 0, 0]).by_class(np.array([7, 7, 3, 5]))
    assert found.dropped.tolist() == [2, 0, 4]
    assert found.true.tolist() == [0, 0, 5]
    means = per_class(found)
    assert (means["precision_per_class"][0].value, means["precision_per_class"][1]) == (0.25, 2)
    assert (means["recall_per_class"][0].value, means["recall_per_class"][1]) == (0.4, 1)
    assert means["f1_per_class"][0].value == pytest.approx(4 / 9 / 2)


def test_a_detector_that_drops_nothing_has_no_precision():
    found = per_anchor(counts([5, 5], [0, 0], [1, 2], [0, 0]))
    assert found["precision_per_anchor"] == (None, 0)


def test_standard_error_matches_resampling_of_anchors():
    generator = np.random.default_rng(0)
    dropped = generator.integers(0, 9, 500)
    correct = generator.binomial(dropped, generator.beta(2, 3, 500))
    drawn = generator.choice(500, (2000, 500))
    resampled = correct[drawn].sum(axis=1) / dropped[drawn].sum(axis=1)
    score = pooled(counts(np.full(500, 9), dropped, np.full(500, 9), correct))["precision"]
    assert score.stderr == pytest.approx(resampled.std(), rel=0.1)


def test_average_precision_equals_scikit_learns():
    generator = np.random.default_rng(0)
    true = generator.random(3000) < 0.1
    similarity = np.tanh(generator.normal(size=3000) + true)
    histogram = SimilarityHistogram(bins=2**20)
    histogram.add(similarity[:1000], true[:1000])
    histogram.add(similarity[1000:], true[1000:])
    assert histogram.average_precision() == pytest.approx(average_precision_score(true, similarity), abs=1e-3)


def test_curve_by_sorting():
    generator = np.random.default_rng(0)
    true = generator.random(1000) < 0.2
    similarity = np.tanh(generator.normal(size=1000) + true)
    histogram = SimilarityHistogram(bins=2**22)
    histogram.add(similarity, true)
    order = np.argsort(-similarity)
    for share, precision, recall in histogram.curve(np.array([0.01, 0.1, 0.5])):
        kept = order[: round(share * 1000)]
        assert precision == pytest.approx(true[kept].mean())
        assert recall == pytest.approx(true[kept].sum() / true.sum())


def test_similarities_at_the_ends_are_counted():
    histogram = SimilarityHistogram(bins=16)
    histogram.add(np.array([-1.0, 1.0, 1.0000001]), np.array([False, True, True]))
    assert histogram.all.sum() == 3
    assert histogram.average_precision() == 1
    assert SimilarityHistogram().average_precision() is None


@pytest.mark.parametrize(("views", "groups"), [(2, 2), (1, 1)])
@pytest.mark.parametrize("alpha", [0.013, 0.1, 0.5, 0.999])
def test_exact_thresholds_are_the_quantiles_over_everything(views, groups, alpha):
    generator = np.random.default_rng(0)
    anchors = torch.nn.functional.normalize(torch.from_numpy(generator.normal(size=(views, 23, 5))), dim=-1).numpy()
    other = torch.nn.functional.normalize(torch.from_numpy(generator.normal(size=(groups, 23, 5))), dim=-1).numpy()
    candidates = anchors if views == 2 else other
    rows = np.array([0, 7, 22])
    found = exact_thresholds(anchors, candidates, rows, alpha, chunk=2)
    for place, row in enumerate(rows):
        others = np.delete(np.arange(23), row)
        values = torch.from_numpy(anchors[:, row] @ candidates[:, others].reshape(-1, 5).T).flatten()
        assert found[place] == pytest.approx(float(torch.quantile(values, 1 - alpha)), abs=1e-12)
