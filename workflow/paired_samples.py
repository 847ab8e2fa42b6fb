"""Pairs two methods' test samples at the same seeds, for the tests over samples."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.predictions import Hits, Predictions
from evaluation.sample_tests import compare_samples
from workflow.grid import Grid, Run

__all__ = ["COLUMNS", "PairedSamples"]

COLUMNS = (
    *("samples", "won", "lost", "sample_low", "sample_high"),
    *("p_mcnemar", "p_mcnemar_seeds", "both_low", "both_high"),
)
"""What a comparison over samples adds to a row of significance.csv (docs/architecture.md)."""


class PairedSamples:
    """Comparisons over the test samples of a benchmark's stored predictions.

    Args:
        config: the benchmark's config, resolved.
        results: its results folder.
    """

    def __init__(self, config: dict[str, Any], results: Path) -> None:
        self._grid = Grid({**config, "paths": {**config["paths"], "results": str(results)}})
        self._hits = lru_cache(maxsize=64)(self._read_hits)
        self._predictions = lru_cache(maxsize=None)(Predictions)
        settings = config["significance"]
        self._confidence, self._resamples = settings["confidence"], settings["bootstrap"]

    def compare(self, head: dict[str, Any], detector: str, other: str, seeds: Sequence[int]) -> dict[str, Any]:
        """`COLUMNS` of one comparison over the seeds that both have; empty where the metric has no stored hits.

        Args:
            head: what the two have in common (`workflow.scripts.aggregate.KEY`).
            detector: label of the method.
            other: label of what it is compared with.
            seeds: seeds that both have.

        Raises:
            ValueError: predictions are missing or broken, or the two were not tested on the same samples.
        """
        pairs = []
        for seed in seeds:
            one, two = (self._of(head, label, seed) for label in (detector, other))
            if one is None or two is None:
                return {}
            pairs.append((one, two))
        first = pairs[0][0]
        for seed, pair in zip(seeds, pairs, strict=True):
            for label, hits in zip((detector, other), pair, strict=True):
                if hits.draws != first.draws or not np.array_equal(hits.index, first.index):
                    raise ValueError(
                        f"{self._folder(head, label, seed)}: tested on other samples or draws of {head['dataset']}."
                        f"{head['split']} than {self._folder(head, detector, seeds[0])}; delete both results and run "
                        "`snakemake` again"
                    )
        method, baseline = (np.stack([hits.count for hits in side]) for side in zip(*pairs, strict=True))
        found = compare_samples(method, baseline, first.draws, first.classes, self._confidence, self._resamples)
        values = {name: getattr(found, name) for name in COLUMNS}
        return {**values, "p_mcnemar_seeds": " ".join(f"{p:.3g}" for p in found.p_mcnemar_seeds)}

    def _folder(self, head: dict[str, Any], detector: str, seed: int) -> Path:
        run = Run(head["experiment"], head["objective"], detector, int(seed))
        return Path(self._grid.run_folder(run)) / str(head["evaluation"])

    def _of(self, head: dict[str, Any], detector: str, seed: int) -> Hits | None:
        value = (head["dataset"], head["split"], head["metric"], head["fraction"])
        return self._hits(self._folder(head, detector, seed), *value)

    def _read_hits(self, folder: Path, dataset: str, split: str, metric: str, fraction: float | None) -> Hits | None:
        return self._predictions(folder).hits(dataset, split, metric, fraction)
