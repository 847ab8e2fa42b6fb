"""False-negative cancellation (FNC, Huynh et al., WACV 2022, arXiv 2011.11765)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor

from glofnd.detectors.detector import Batch, Detector, Screening, StartFilter, Tile, Treatment
from glofnd.parameters import Range, checked

__all__ = ["FNC"]

Aggregate = Annotated[Literal["max", "mean"], "how similarities to the anchor's views become one score"]
TopK = Annotated[int | None, Range(ge=1), "so many highest scores count, one for each view of a candidate; null: all"]
Bound = Annotated[float | None, Range(ge=-1, le=1), "score above which a candidate is one; null: no such bound"]


class FNC(Detector):
    """Drops the candidates whose score is among the anchor's `top_k` highest and above `threshold`; learns nothing.

    The score of a candidate is the maximum or mean of its similarities to the anchor's support set. As in the published
    code (github.com/google-research/fnc, `objective.py`, whose defaults these are), every view of a sample is a
    candidate of its own, the verdict holds for all views of the anchor, and of `top_k` and `threshold` both must hold
    where both are given.

    Deviations: the support set is the anchor's views in the batch (two, or one of image-text pairs), where the paper
    makes eight more; there is no momentum encoder with a queue of 16 batches, so `top_k` counts within one batch; of
    candidates that tie for the last place all are found. Under `attract` what is found also leaves the negatives,
    where the published code keeps it among them.

    Raises:
        ValueError: neither `top_k` nor `threshold`.
    """

    @checked
    def __init__(
        self,
        num_samples: int,
        aggregate: Aggregate = "max",
        top_k: TopK = 10,
        threshold: Bound = 0.7,
        start_filter: StartFilter = 0,
        treatment: Treatment = "eliminate",
    ) -> None:
        super().__init__(num_samples, 0, start_filter, treatment)
        if top_k is None and threshold is None:
            raise ValueError("top_k: give it, threshold, or both; without them nothing is a false negative")
        self.aggregate, self.top_k, self.threshold = aggregate, top_k, threshold

    def found(self, similarity: Tensor, negatives: int) -> Tensor:
        """Which columns are false negatives of each anchor, bool [t, M], from similarities to its views [V, t, M]."""
        score = similarity.amax(0) if self.aggregate == "max" else similarity.mean(0)
        found = torch.ones_like(score, dtype=torch.bool)
        if self.top_k is not None:
            found &= score >= score.topk(min(self.top_k, negatives)).values[:, -1:]
        if self.threshold is not None:
            found &= score > self.threshold
        return found

    def screening(self, batch: Batch, learning: bool, filtering: bool) -> Screening | None:
        """The scores of a batch at work."""
        return _FNCScreening(self, batch) if filtering and batch.negatives else None


class _FNCScreening(Screening):
    def __init__(self, detector: FNC, batch: Batch) -> None:
        super().__init__(batch, learning=False, filtering=True)
        self.detector = detector

    def threshold(self, tile: Tile) -> None:
        return None

    def keep(self, tile: Tile) -> Tensor:
        found = self.detector.found(tile.similarity, tile.negatives)
        return (~found).to(tile.similarity.dtype).repeat(tile.views, 1, 1)
