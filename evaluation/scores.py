"""Classification scores with their standard errors, from per-sample hits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Score", "chance", "hits", "mean_per_class", "score", "top", "top1"]

Array = NDArray[Any]


class Score(NamedTuple):
    """A share and its standard error over samples; `None` where that is not defined (a single sample)."""

    value: float
    stderr: float | None


def top(scores: Array, k: int) -> Array:
    """The k classes with the highest score per sample, best first, [N, min(k, K)]; ties go to the lower class."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def top1(hits: Array) -> Score:
    """Mean of per-sample hits [N] (0, 1, or a share over draws), with the standard error of a mean."""
    hits = np.asarray(hits, dtype=np.float64)
    return Score(float(hits.mean()), float(hits.std(ddof=1) / len(hits) ** 0.5) if len(hits) > 1 else None)


def mean_per_class(hits: Array, truth: Array) -> Score:
    """Mean over the classes in `truth` of the mean of hits within the class, whatever their sizes.

    The standard error takes classes as fixed and the samples within them as drawn; with a class of one sample there is
    none.
    """
    parts = [top1(np.asarray(hits)[truth == label]) for label in np.unique(truth)]
    errors = [part.stderr for part in parts if part.stderr is not None]
    stderr = float(np.linalg.norm(errors) / len(parts)) if len(errors) == len(parts) else None
    return Score(float(np.mean([part.value for part in parts])), stderr)


def score(metric: str, hits: Array, truth: Array) -> Score:
    """`top1` or `mean-per-class` of hits [N] against truth [N]."""
    return mean_per_class(hits, truth) if metric == "mean-per-class" else top1(hits)


def hits(ranked: Array, truth: Array, classes: int) -> dict[str, Array]:
    """Metric -> hits [..., N] of samples whose best classes are ranked [..., N, 5]; top-5 if there are more classes."""
    right = ranked == truth[:, None]
    found = {"top1": right[..., 0], "mean-per-class": right[..., 0]}
    return found | ({"top5": right.any(axis=-1)} if classes > 5 else {})


def chance(classes: int, k: int = 1) -> float:
    """Share of hits of k different classes guessed uniformly at random: for top-k and mean per class alike."""
    return min(k, classes) / classes
