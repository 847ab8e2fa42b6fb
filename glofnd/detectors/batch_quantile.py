"""The largest similarities of each batch row are false negatives ("FNC" in the tables of the GloFND paper)."""

from __future__ import annotations

from torch import Tensor

from glofnd.detectors.detector import Alpha, Batch, Detector, Screening, StartFilter, Tile, Treatment
from glofnd.parameters import checked

__all__ = ["BatchQuantile"]


class BatchQuantile(Detector):
    """Drops what lies above the (1 - alpha)-quantile of the anchor's own row, per view and per batch; learns nothing.

    A false negative is thus judged against the other samples that happen to be in the batch, not against the data set:
    some are dropped in every batch, whether there are any or not.
    """

    @checked
    def __init__(
        self, num_samples: int, alpha: Alpha = 0.01, start_filter: StartFilter = 0, treatment: Treatment = "eliminate"
    ) -> None:
        super().__init__(num_samples, 0, start_filter, treatment)
        self.alpha = alpha

    def screening(self, batch: Batch, learning: bool, filtering: bool) -> Screening | None:
        """The rows of a batch at work."""
        return _BatchQuantileScreening(self.alpha, batch, False, filtering) if filtering and batch.negatives else None


class _BatchQuantileScreening(Screening):
    def __init__(self, alpha: float, batch: Batch, learning: bool, filtering: bool) -> None:
        super().__init__(batch, learning, filtering)
        self.alpha = alpha

    def threshold(self, tile: Tile) -> Tensor:
        return tile.upper_quantile(self.alpha)
