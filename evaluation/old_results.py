"""Writes what an evaluation found: metrics.json and the per-sample predictions beside it (docs/architecture.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glofnd.files import atomic_open, write_json

__all__ = ["Findings", "run_identity", "write_arrays"]

Array = NDArray[Any]


def run_identity(config: dict[str, Any]) -> dict[str, Any]:
    """The `run` block of metrics.json from a run config."""
    objective, detector = config["objective"]["label"], config["detector"]["label"]
    return {
        "id": config["run"],
        "experiment": config["experiment"],
        "objective": objective,
        "detector": detector,
        "seed": config["seed"],
        "kind": "baseline" if objective == "baseline" else "method",
    }


def write_arrays(path: Path, arrays: dict[str, Array]) -> None:
    """Write an .npz atomically; object arrays, which would need pickle, are refused."""
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"{path}: array {name!r} holds objects")
    with atomic_open(path) as handle:
        # No compression: float features barely shrink, and writing takes ten times as long.
        np.savez(handle, allow_pickle=False, **arrays)


@dataclass
class Findings:
    """Metrics and predictions of one evaluation of one run, collected task by task."""

    run: dict[str, Any]
    evaluation: str
    protocol: str
    metrics: list[dict[str, Any]] = field(default_factory=list)
    predictions: dict[str, Array] = field(default_factory=dict)

    def add(
        self,
        dataset: str,
        split: str,
        metric: str,
        value: float | None,
        n: int,
        *,
        stderr: float | None = None,
        chance: float | None = None,
        fraction: float | None = None,
        higher_is_better: bool = True,
        **details: Any,
    ) -> None:
        """Add one value.

        Args:
            dataset: data set id.
            split: split that was tested on.
            metric: its name; with the four names before it unique in the file.
            value: a share in [0, 1] (or a similarity); `None` where it is not defined.
            n: samples the value is over.
            stderr: standard error over these samples.
            chance: the value that guessing at random has, computed, not measured.
            fraction: share of the labels, `None` where it has no meaning.
            higher_is_better: whether a larger value is better.
            details: further keys of this evaluation.
        """
        self.metrics.append(
            {
                "dataset": dataset,
                "split": split,
                "metric": metric,
                "fraction": fraction,
                "value": None if value is None else float(value),
                "stderr": None if stderr is None else float(stderr),
                "n": int(n),
                "chance": None if chance is None else float(chance),
                "higher_is_better": higher_is_better,
                **details,
            }
        )

    def predict(self, entry: str, index: Array, prediction: Array, truth: Array) -> None:
        """Keep per-sample predictions [N] or [draws, N] under the name that metrics refer to as `predictions`."""
        self.predictions |= {f"{entry}.index": index, f"{entry}.prediction": prediction, f"{entry}.truth": truth}

    def write(self, out: Path, provenance: dict[str, Any]) -> None:
        """Write predictions.npz, then metrics.json, so that metrics never stand without their predictions."""
        write_arrays(out / "predictions.npz", self.predictions)
        write_json(
            out / "metrics.json",
            {
                "format": 1,
                "run": self.run,
                "evaluation": self.evaluation,
                "protocol": self.protocol,
                "metrics": self.metrics,
                "provenance": provenance,
            },
        )
