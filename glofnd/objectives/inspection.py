"""What `Objective.inspect` tells."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from glofnd.detectors.quantile import upper_quantile
from glofnd.detectors.tile import FILL

__all__ = ["Inspection"]


@dataclass(frozen=True)
class Inspection:
    """What the detector does with one batch at its current state.

    Attributes:
        similarity: [R, C]. Unimodal R = C = 2B (view 1, then view 2); bimodal R = C = B.
        negative: bool [R, C], False on the anchor's own columns.
        dropped: bool [R, C].
        threshold: [R] similarity above which a negative is dropped, or None where there is no such number.
        anchor: sample index per row, int64 [R].
        candidate: sample index per column, int64 [C].
    """

    similarity: Tensor
    negative: Tensor
    dropped: Tensor
    threshold: Tensor | None
    anchor: Tensor
    candidate: Tensor

    def quantile_error(self, alpha: float) -> Tensor | None:
        """Distance of each row's threshold from the (1 - alpha)-quantile of its negatives *in this batch*, [R].

        A batch knows that quantile but roughly, so even a right threshold has an error, which falls with the batch;
        `python -m evaluation discovery` compares with the whole data set. NaN in a row without negatives; None where
        there are no thresholds.
        """
        if self.threshold is None:
            return None
        # The same number in every row.
        negatives = int(self.negative[0].sum())
        if negatives == 0:
            return torch.full_like(self.threshold, math.nan)
        similarity = self.similarity.masked_fill(~self.negative, FILL)
        return (self.threshold - upper_quantile(similarity, alpha, negatives)).abs()
