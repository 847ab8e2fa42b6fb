from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_data import tiny_split

from glofnd.data.split import drawn, stratified, subset


def test_stratified_subsets_keep_shares_and_are_seeded():
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    chosen = stratified(labels, 33, seed=1)
    assert Counter(labels[chosen].tolist()) == {0: 21, 1: 10, 2: 2}
    assert (np.diff(chosen) > 0).all()
    assert (chosen == stratified(labels, 33, seed=1)).all()
    assert not np.array_equal(chosen, stratified(labels, 33, seed=2))
    for size, message in ((161, "161 samples was asked for"), (2, "loses some of the 3 classes")):
        with pytest.raises(ValueError, match=message):
            stratified(labels, size, seed=0)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(counts=st.lists(st.integers(1, 30), min_size=2, max_size=8), share=st.floats(0.05, 0.6), seed=st.integers(0, 9))
def test_no_class_is_lost_by_a_subset_or_a_drawn_test_set(counts, share, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    size = max(len(counts), round(share * len(labels)))
    assert len(chosen := subset(labels, size, seed)) == size
    assert set(labels[chosen]) == set(labels)
    test = min(size, len(labels) - len(counts))
    parts = [drawn(labels, split, None, test, seed) for split in ("train", "test")]
    assert sorted(np.concatenate(parts)) == list(range(len(labels))) and len(parts[1]) == test
    assert set(labels[parts[0]]) == set(labels)
    several = {label for label, count in enumerate(counts) if count > 1}
    assert test < len(several) or set(labels[parts[1]]) == several


def test_labels_name_classes():
    split = tiny_split()
    split.labels["label"][21] = 3
    with pytest.raises(ValueError, match="sample 21: label 3 is out of range for 3 classes"):
        split.check()
