"""Guards against test pictures among the training pictures."""

from __future__ import annotations

import numpy as np

from evaluation.feature_store import FeatureStoreError, Split

__all__ = ["SHARED_LIMIT", "shared_pictures"]

SHARED_LIMIT = 0.01
"""Share of test pictures that may also be training pictures; real data sets have a few."""


def shared_pictures(train: Split, test: Split) -> int:
    """Number of test samples whose decoded picture is, pixel by pixel, also a training picture.

    Raises:
        FeatureStoreError: more than `SHARED_LIMIT` of the test samples are.
    """
    shared = np.isin(test.content, train.content)
    count = int(shared.sum())
    if count > SHARED_LIMIT * len(shared):
        raise FeatureStoreError(
            f"{test.name}: {count} of {len(shared)} pictures are also in {train.name} (first: sample "
            f"{test.index[shared][0]}); a test sample must not be trained on, so make the splits anew"
        )
    return count
