"""k nearest neighbours with temperature-weighted votes (Wu et al., CVPR 2018, arXiv 1805.01978)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.probe import l2_normalise

__all__ = ["TEMPERATURE", "K", "neighbour_votes"]

Array = NDArray[Any]

K = 20
TEMPERATURE = 0.07


def neighbour_votes(
    train: Array, labels: Array, classes: int, test: Array, k: int = K, temperature: float = TEMPERATURE
) -> Array:
    """Votes [M, classes]: each of the k most cosine-similar training samples gives exp(similarity / temperature).

    Args:
        train: [n, F].
        labels: int [n] in [0, classes).
        classes: number of classes.
        test: [M, F].
        k: neighbours, at most n are used.
        temperature: of the votes.
    """
    known, k = l2_normalise(train).T, min(k, len(train))
    votes = np.zeros((len(test), classes))
    for start in range(0, len(test), 1024):
        similarity = l2_normalise(test[start : start + 1024]) @ known
        nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        weight = np.exp((np.take_along_axis(similarity, nearest, axis=1) - 1) / temperature)
        rows = np.repeat(np.arange(start, start + len(similarity)), k)
        np.add.at(votes, (rows, labels[nearest].ravel()), weight.ravel())
    return votes
