"""Which samples of a labelled set a split takes; seeded by `split_seed`, which has nothing to do with a run's seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from glofnd.data.split import stratified

__all__ = ["held_out", "published"]

Index = npt.NDArray[np.int64]


def published(labels: Sequence[int] | Index, split: str, parameters: dict[str, Any]) -> Index:
    """A class-stratified subset of a published split: `<split>_samples` of it, all where that is `None`."""
    values = np.asarray(labels, np.int64)
    size = parameters[f"{split}_samples"]
    return np.arange(len(values)) if size is None else stratified(values, size, parameters["split_seed"])


def held_out(labels: Sequence[int] | Index, split: str, parameters: dict[str, Any], test: int) -> Index:
    """The split of a set that has none published: a stratified test set is drawn first, train from the rest.

    Args:
        labels: of the whole set.
        split: `train` or `test`.
        parameters: `train_samples` (`None`: all that is left) and `split_seed`.
        test: samples of the test set.
    """
    values = np.asarray(labels, np.int64)
    chosen = stratified(values, test, parameters["split_seed"])
    if split == "test":
        return chosen
    rest = np.setdiff1d(np.arange(len(values)), chosen)
    return rest[published(values[rest], "train", parameters)]
