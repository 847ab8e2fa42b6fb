import numpy as np
import pytest

from evaluation.probing.subsets import fold_masks, stratified_subset

LABELS = np.repeat(np.arange(4), [400, 50, 7, 1])


def test_subsets_are_nested_and_stratified():
    sizes = {}
    previous = set(range(len(LABELS)))
    for fraction in (1, 0.1, 0.01, 0.001):
        rows = stratified_subset(LABELS, fraction, seed=3, draw=0)
        assert set(rows) <= previous
        previous = set(rows)
        sizes[fraction] = np.bincount(LABELS[rows]).tolist()
    assert sizes == {1: [400, 50, 7, 1], 0.1: [40, 5, 1, 1], 0.01: [4, 1, 1, 1], 0.001: [1, 1, 1, 1]}


def test_subsets_depend_on_seed_draw_and_their_own_class_alone():
    def subset(seed, draw, labels=LABELS):
        return stratified_subset(labels, 0.1, seed, draw).tolist()

    assert subset(1, 0) == subset(1, 0)
    assert subset(1, 0) != subset(2, 0) != subset(2, 1)
    assert [row for row in subset(1, 0) if row < 450] == subset(1, 0, LABELS[:450])


@pytest.mark.parametrize(
    ("sizes", "masks"),
    [([1, 1, 1], 0), ([3, 3, 1], 3), ([80, 80], 5), ([1000, 1000], 3), ([3000] * 2, 1), ([1, 1, 9], 0)],
)
def test_as_many_folds_as_validate_a_thousand_samples(sizes, masks):
    found = fold_masks(np.repeat(np.arange(len(sizes)), sizes), seed=0)
    assert len(found) == masks
    if masks:
        assert (~found).sum() >= min(1000, sum(sizes)) - masks
        assert ((~found).sum(axis=0) <= 1).all()
        assert found[:, np.repeat(sizes, sizes) == 1].all(), "the only sample of a class"


def test_folds_are_stratified_and_of_equal_size():
    labels = np.repeat(np.arange(3), [20, 11, 4])
    masks = fold_masks(labels, seed=0)
    held_out = [np.bincount(labels[~mask], minlength=3) for mask in masks]
    assert np.ptp(np.array(held_out)[:, 0]) == 0
    assert np.ptp(np.array(held_out)[:, 1]) <= 1
    assert np.ptp([counts.sum() for counts in held_out]) <= 1


def test_what_belongs_together_stays_on_one_side():
    together = np.repeat(np.arange(20), 3)
    for mask in fold_masks(together % 4, seed=0, together=together):
        assert not set(together[mask]) & set(together[~mask])
