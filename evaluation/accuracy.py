"""Classification scores with their standard errors, from per-sample hits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Score", "chance", "mean_per_class", "score", "top", "top1"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Score:
    """A share and its standard error over samples."""

    value: float
    stderr: float


def top(scores: Array, k: int) -> Array:
    """The k classes with the highest score per sample, best first, [N, min(k, K)]; ties go to the lower class."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def top1(hits: Array) -> Score:
    """Mean of per-sample hits [N] (0, 1, or a share over draws), with the standard error of a mean."""
    hits = np.asarray(hits, dtype=np.float64)
    spread = hits.std(ddof=1) if len(hits) > 1 else 0.0
    return Score(float(hits.mean()), float(spread / np.sqrt(len(hits))))


def mean_per_class(hits: Array, truth: Array) -> Score:
    """Mean over classes of the mean of hits within the class; classes count alike whatever their size.

    The standard error treats classes as fixed and samples within them as drawn; a class of one sample adds nothing.
    """
    hits = np.asarray(hits, dtype=np.float64)
    parts = [top1(hits[truth == label]) for label in np.unique(truth)]
    stderr = np.sqrt(sum(part.stderr**2 for part in parts)) / len(parts)
    return Score(float(np.mean([part.value for part in parts])), float(stderr))


def score(metric: str, hits: Array, truth: Array) -> Score:
    """`top1` or `mean-per-class` of hits [N] against truth [N]."""
    return mean_per_class(hits, truth) if metric == "mean-per-class" else top1(hits)


def chance(classes: int, k: int = 1) -> float:
    """Share of hits of k different classes guessed uniformly at random: for top-k and mean per class alike."""
    return min(k, classes) / classes
