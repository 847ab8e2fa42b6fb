import numpy as np
import pytest
import torch

from evaluation.discovery.agreement import AnchorCounts, exact_thresholds, means, pooled, rank_curves


def counts(pairs, dropped, true, correct):
    return AnchorCounts(*(np.array(values) for values in (pairs, dropped, true, correct)))


def unit(generator, *shape):
    values = generator.normal(size=shape)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def test_pooled_scores_by_hand():
    found = pooled(counts([10, 10, 10], [4, 0, 2], [2, 3, 0], [2, 0, 0]))
    values = {name: score.value for name, score in found.items()}
    assert values == pytest.approx(
        {"precision": 2 / 6, "recall": 2 / 5, "f1": 4 / 11, "dropped_share": 6 / 30, "base_rate": 5 / 30}
    )


def test_nothing_over_nothing_is_no_number():
    found = pooled(counts([10, 10], [0, 0], [1, 0], [0, 0]))
    assert found["precision"] is None
    assert (found["recall"], found["f1"]) == ((0, None), (0, None)), "one anchor has no standard error"
    assert means(counts([5, 5], [0, 0], [1, 2], [0, 0]))["precision"] == (None, 0)


def test_anchors_without_the_denominator_are_left_out():
    found = means(counts([10, 10, 10, 10], [4, 0, 2, 0], [2, 3, 0, 0], [2, 0, 0, 0]))
    assert {name: (score.value, n) for name, (score, n) in found.items()} == {
        "precision": (0.25, 2),
        "recall": (0.5, 2),
        "f1": (pytest.approx(4 / 6 / 3), 3),
    }


def test_rows_of_one_anchor_add_up():
    found = AnchorCounts.zeros(4)
    negative, dropped = (
        np.array([[0, 1, 1], [1, 0, 1], [0, 1, 1]], bool),
        np.array([[0, 1, 0], [0, 0, 1], [0, 1, 1]], bool),
    )
    found.add(np.array([2, 0, 2]), negative, dropped, true=np.ones((3, 3), bool))
    assert [part.tolist() for part in vars(found).values()] == [[2, 0, 4, 0], [1, 0, 3, 0], [2, 0, 4, 0], [1, 0, 3, 0]]


def test_standard_error_matches_resampling_of_anchors():
    generator = np.random.default_rng(0)
    dropped = generator.integers(0, 9, 500)
    correct = generator.binomial(dropped, generator.beta(2, 3, 500))
    drawn = generator.choice(500, (2000, 500))
    resampled = correct[drawn].sum(axis=1) / dropped[drawn].sum(axis=1)
    score = pooled(counts(np.full(500, 9), dropped, np.full(500, 9), correct))["precision"]
    assert score.stderr == pytest.approx(resampled.std(), rel=0.1)


@pytest.mark.parametrize(("views", "groups"), [(2, 2), (1, 1)])
@pytest.mark.parametrize("alpha", [0.013, 0.1, 0.5, 0.999])
def test_exact_thresholds_are_the_quantiles_over_everything(views, groups, alpha):
    generator = np.random.default_rng(0)
    anchors = unit(generator, views, 23, 5)
    candidates = anchors if views == 2 else unit(generator, groups, 23, 5)
    rows = np.array([0, 7, 22])
    found = exact_thresholds(anchors, candidates, rows, alpha, chunk=2)
    for place, row in enumerate(rows):
        others = np.delete(np.arange(23), row)
        values = torch.from_numpy(anchors[:, row] @ candidates[:, others].reshape(-1, 5).T).flatten()
        assert found[place] == pytest.approx(float(torch.quantile(values, 1 - alpha)), abs=1e-12)


def plain(anchors, candidates, rows, labels, limits):
    """Counts of pairs above each anchor's limit, by a loop over all pairs."""
    dropped = correct = pairs = true = 0
    for row, limit in zip(rows, limits, strict=True):
        for view in anchors:
            for group in candidates:
                for other in range(len(labels)):
                    if other == row:
                        continue
                    above, same = view[row] @ group[other] > limit, labels[row] == labels[other]
                    pairs, true = pairs + 1, true + same
                    dropped, correct = dropped + above, correct + (above and same)
    return dropped / pairs, correct / dropped if dropped else np.nan, correct / true


def test_curves_equal_a_plain_loop():
    generator = np.random.default_rng(0)
    both, labels, rows = unit(generator, 2, 25, 5), np.arange(25) % 3, np.array([3, 9, 10, 24])
    shares, shifts = np.array([0.02, 0.1, 0.35]), np.array([-0.4, 0.0, 0.7, 3.0])
    thresholds = generator.uniform(0, 0.6, 25)
    curve, shifted = rank_curves(both, both, rows, labels, shares, thresholds, shifts, similarities=300)
    for share, seen in zip(shares, curve, strict=True):
        limits = exact_thresholds(both, both, rows, share)
        np.testing.assert_allclose(seen, plain(both, both, rows, labels, limits))
    for shift, seen in zip(shifts, shifted, strict=True):
        np.testing.assert_allclose(seen[1:], plain(both, both, rows, labels, thresholds[rows] + shift))
        assert seen[0] == shift
    assert np.isnan(shifted[-1, 2]), "nothing dropped has no precision"
