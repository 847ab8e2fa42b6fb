import numpy as np
import pytest

from evaluation.splits import HOLD_OUT_FROM, fold_masks, fold_rule, stratified_subset

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


def test_subsets_depend_on_seed_and_draw_alone():
    def subset(seed, draw):
        return stratified_subset(LABELS, 0.1, seed, draw).tolist()

    assert subset(1, 0) == subset(1, 0)
    assert subset(1, 0) != subset(2, 0)
    assert subset(1, 0) != subset(1, 1)


def test_another_class_changes_nothing_for_the_rest():
    rows = stratified_subset(LABELS, 0.1, 1, 0)
    without = stratified_subset(LABELS[:450], 0.1, 1, 0)
    assert rows[rows < 450].tolist() == without.tolist()


@pytest.mark.parametrize(
    ("sizes", "folds"), [([1, 1, 1], 0), ([3, 3, 1], 3), ([80, 80], 5), ([HOLD_OUT_FROM // 2] * 2, 1), ([1, 1, 9], 0)]
)
def test_rule_for_choosing_c(sizes, folds):
    assert fold_rule(np.repeat(np.arange(len(sizes)), sizes)) == folds


def test_folds_validate_every_sample_once():
    labels = np.repeat(np.arange(3), [20, 11, 4])
    masks = fold_masks(labels, 5, seed=0)
    assert masks.shape == (5, 35)
    assert ((~masks).sum(axis=0) == 1).all()
    held_out = [np.bincount(labels[~mask], minlength=3) for mask in masks]
    assert np.ptp(np.array(held_out)[:, 0]) == 0
    assert np.ptp(np.array(held_out)[:, 1]) <= 1
    assert np.ptp([counts.sum() for counts in held_out]) <= 1


def test_hold_out_is_a_fifth():
    masks = fold_masks(np.arange(1000) % 10, 1, seed=0)
    assert masks.shape == (1, 1000)
    assert (~masks).sum() == 200


def test_what_belongs_together_stays_on_one_side():
    together = np.repeat(np.arange(20), 3)
    labels = together % 4
    assert fold_rule(labels, together) == 5
    masks = fold_masks(labels, 5, seed=0, together=together)
    for mask in masks:
        assert not set(together[mask]) & set(together[~mask])
    assert ((~masks).sum(axis=0) == 1).all()
