"""The truth: same label means false negative. An upper bound for every detector."""

from __future__ import annotations

from torch import Tensor

from glofnd.detectors.detector import Batch, Detector, Screening, StartFilter, Tile, Treatment
from glofnd.parameters import checked

__all__ = ["Oracle"]


class Oracle(Detector):
    """Drops every negative with the anchor's own label. Needs labels, so it is for evaluation only."""

    @checked
    def __init__(self, num_samples: int, start_filter: StartFilter = 0, treatment: Treatment = "eliminate") -> None:
        super().__init__(num_samples, 0, start_filter, treatment)

    def screening(self, batch: Batch, learning: bool, filtering: bool) -> Screening | None:
        """Labels at work."""
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
        return (labels[tile.rows, None] != candidates).to(tile.similarity.dtype).repeat(tile.views, 1, 1)
