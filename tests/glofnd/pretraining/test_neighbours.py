"""Accuracy while training."""

import numpy as np
import torch
from sklearn.neighbors import KNeighborsClassifier

from glofnd.pretraining.neighbours import NEIGHBOURS, vote


def test_votes_are_those_of_scikit_learn():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 60)
    features = np.eye(4)[labels] + generator.normal(0, 0.5, (60, 4))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    found = vote(torch.from_numpy(features), torch.from_numpy(labels)).numpy()
    for row in range(60):
        others = np.arange(60) != row
        # Half the squared distance of unit vectors is 1 - cosine.
        peer = KNeighborsClassifier(NEIGHBOURS, weights=lambda distance: 2 - distance**2 / 2)
        assert peer.fit(unit[others], labels[others]).predict(unit[row : row + 1])[0] == found[row]
    assert 0.5 < (found == labels).mean() < 1
