"""The truth: same label means false negative. An upper bound for every detector."""

from __future__ import annotations

from torch import Tensor

from glofnd.detectors.base import Batch, Detector, Screening
from glofnd.detectors.tile import FILL, Tile

__all__ = ["Oracle"]


class Oracle(Detector):
    """Drops every negative with the anchor's own label. Needs labels, so it is for evaluation only.

    Args:
        num_samples: samples in the data set.
        start_filter: first epoch in which negatives are dropped.
        treatment: `eliminate` or `attract`.
    """

    def __init__(self, num_samples: int, start_filter: int = 0, treatment: str = "eliminate") -> None:
        super().__init__(num_samples, 0, start_filter, treatment)

    def _screening(self, batch: Batch, learning: bool, filtering: bool) -> Screening | None:
        if not filtering:
            return None
        if batch.labels is None or batch.candidate_labels is None:
            raise ValueError("the oracle needs labels: call objective(z1, z2, index, epoch=epoch, labels=labels)")
        return _OracleScreening(batch, False, filtering)


class _OracleScreening(Screening):
    def threshold(self, tile: Tile) -> None:
        return None

    def keep(self, tile: Tile) -> Tensor:
        labels, candidates = self.batch.labels, self.batch.candidate_labels
        assert labels is not None and candidates is not None
        other = labels[tile.rows, None] != candidates
        return (other | (tile.similarity == FILL)).to(tile.similarity.dtype)
