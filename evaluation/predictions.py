"""Reads what an evaluation of one run got right, sample by sample, back from its metrics.json and predictions.npz."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.accuracy import score
from glofnd.files import making_sense, read_json

__all__ = ["Hits", "Predictions"]

Array = NDArray[Any]

_RECALL = re.compile(r".*-recall-at-(\d+)$")


@dataclass(frozen=True)
class Hits:
    """What one metric counts as right.

    Attributes:
        index: int64 [N], stable index of every test sample.
        count: int64 [N], right predictions of the sample, from 0 to `draws`.
        draws: predictions per sample.
        classes: class of every sample [N] where the metric is a mean per class, else `None`.
    """

    index: Array
    count: Array
    draws: int
    classes: Array | None


class Predictions:
    """The per-sample side of one run's evaluation.

    Args:
        folder: where metrics.json and predictions.npz stand.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def _metrics(self) -> dict[tuple[str, str, str, float | None], dict[str, Any]]:
        path = self.folder / "metrics.json"
        if not path.is_file():
            return {}
        found = read_json(path)
        with making_sense(path):
            return {_key(row["dataset"], row["split"], row["metric"], row["fraction"]): row for row in found["metrics"]}

    def hits(self, dataset: str, split: str, metric: str, fraction: float | None) -> Hits | None:
        """Hits of one value of metrics.json; `None` where it is no mean of stored hits (top-5, a precision).

        `None` too where there is no metrics.json: tables can be kept without the runs they came from.

        Raises:
            ValueError: predictions.npz is missing, unreadable, or does not give the value that stands in metrics.json.
        """
        row = self._metrics.get(_key(dataset, split, metric, fraction))
        kind = metric.partition("@")[0].removeprefix("knn-")
        recall = _RECALL.match(kind)
        if row is None or row.get("predictions") is None or not (recall or kind in ("top1", "mean-per-class")):
            return None
        index, prediction, truth = self._arrays(row["predictions"])
        right = prediction <= int(recall[1]) if recall else prediction == truth
        count = right.sum(axis=0)
        found = score(kind, count / len(right), truth).value
        if not np.isclose(found, row["value"], atol=1e-6):
            raise ValueError(
                f"{self.folder / 'predictions.npz'}: gives {found:.6f} for {metric} on {dataset}.{split}, metrics.json "
                f"has {row['value']:.6f}; delete both and run `snakemake` again"
            )
        return Hits(index, count, len(right), truth if kind == "mean-per-class" else None)

    def _arrays(self, entry: str) -> tuple[Array, Array, Array]:
        """Index [N], predictions [draws, N] and truth [N]."""
        path = self.folder / "predictions.npz"
        try:
            with np.load(path, allow_pickle=False) as file:
                index, prediction, truth = (file[f"{entry}.{name}"] for name in ("index", "prediction", "truth"))
        except (OSError, ValueError, EOFError, KeyError) as error:
            raise ValueError(
                f"{path}: no readable predictions of {entry} ({error}); delete it and metrics.json beside it and run "
                "`snakemake` again"
            ) from error
        return index, np.atleast_2d(prediction), truth


def _key(dataset: str, split: str, metric: str, fraction: float | None) -> tuple[str, str, str, float | None]:
    """A value's name; tables write a fraction that has no meaning as NaN."""
    return dataset, split, metric, None if fraction is None or np.isnan(fraction) else float(fraction)
