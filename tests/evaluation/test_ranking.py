import numpy as np

from evaluation.detection import exact_thresholds
from evaluation.ranking import rank_curves


def unit(generator, *shape):
    values = generator.normal(size=shape)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


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
    both = unit(generator, 2, 25, 5)
    labels = {"label": np.arange(25) % 3, "half": np.arange(25) % 2}
    rows = np.array([3, 9, 10, 24])
    shares, shifts = np.array([0.02, 0.1, 0.35]), np.array([-0.4, 0.0, 0.7, 3.0])
    thresholds = generator.uniform(0, 0.6, 25)
    found = rank_curves(both, both, rows, labels, shares, thresholds, shifts, similarities=300)
    for name, values in labels.items():
        for share, seen in zip(shares, found[name].quantile, strict=True):
            limits = exact_thresholds(both, both, rows, share)
            np.testing.assert_allclose(seen, plain(both, both, rows, values, limits))
        for shift, seen in zip(shifts, found[name].shifted, strict=True):
            np.testing.assert_allclose(seen[1:], plain(both, both, rows, values, thresholds[rows] + shift))
            assert seen[0] == shift
    assert np.isnan(found["label"].shifted[-1, 2]), "nothing dropped has no precision"


def test_two_modalities_and_no_thresholds():
    generator = np.random.default_rng(1)
    images, texts = unit(generator, 1, 12, 4), unit(generator, 1, 12, 4)
    labels = {"label": np.arange(12) // 3}
    found = rank_curves(images, texts, np.arange(12), labels, np.array([0.23]), None, np.zeros(0))["label"]
    limits = exact_thresholds(images, texts, np.arange(12), 0.23)
    np.testing.assert_allclose(found.quantile[0], plain(images, texts, np.arange(12), labels["label"], limits))
    assert found.shifted is None
