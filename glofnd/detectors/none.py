"""No detection: every other sample is a negative."""

from __future__ import annotations

from glofnd.detectors.detector import Batch, Detector, Screening

__all__ = ["KeepAll"]


class KeepAll(Detector):
    """Keeps every negative: the plain contrastive objective, and the baseline of every comparison."""

    def __init__(self, num_samples: int) -> None:
        super().__init__(num_samples)

    def screen(self, batch: Batch) -> Screening | None:
        """Nothing to do, ever."""
        return None
