"""How alike the methods' predictions are, sample by sample: two methods can score the same and still differ in kind."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow.report.inputs import ReportError, Results

__all__ = ["Agreement", "agreements"]

EVALUATION = "linear"
Predictions = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Agreement:
    """Share of test samples with the same prediction, for each pair of detectors.

    `shares[a][b]` is the mean over seeds that both have, `None` where there is none. On the diagonal stand different
    seeds of one detector: what chance alone makes of agreement.
    """

    experiment: str
    objective: str
    detectors: list[str]
    shares: dict[str, dict[str, float | None]]


def agreements(results: Results) -> list[Agreement]:
    """The agreement of linear probes in each experiment and objective that has predictions of two detectors."""
    found = []
    for experiment, settings in results.config["experiments"].items():
        for objective in settings["objectives"]:
            read = {
                detector: {
                    run.seed: _read(path)
                    for run in results.runs(experiment, objective, detector)
                    if (path := Path(results.grid.run_folder(run)) / EVALUATION / "predictions.npz").is_file()
                }
                for detector in results.detectors(experiment)
            }
            detectors = [detector for detector, runs in read.items() if runs]
            if len(detectors) > 1:
                shares = {a: {b: _share(read[a], read[b], a == b) for b in detectors} for a in detectors}
                found.append(Agreement(experiment, objective, detectors, shares))
    return found


def _read(path: Path) -> Predictions:
    """Predictions [draws, N] by entry, of an evaluation's predictions.npz."""
    try:
        with np.load(path, allow_pickle=False) as file:
            names = [name for name in file.files if name.endswith(".prediction")]
            return {name: np.atleast_2d(file[name]) for name in names}
    except (OSError, ValueError, EOFError) as error:
        raise ReportError(f"{path}: no readable predictions ({error}); delete it and run `snakemake` again") from error


def _share(one: dict[int, Predictions], other: dict[int, Predictions], same: bool) -> float | None:
    seeds = list(combinations(one, 2)) if same else [(seed, seed) for seed in one if seed in other]
    equal = [
        float((one[a][entry] == other[b][entry]).mean())
        for a, b in seeds
        for entry in one[a]
        if entry in other[b] and one[a][entry].shape == other[b][entry].shape
    ]
    return sum(equal) / len(equal) if equal else None
