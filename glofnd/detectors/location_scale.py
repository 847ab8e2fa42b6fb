"""Our learner of thresholds: location and scale per sample, one shared tail factor, a small residual per sample.

The share of a batch row above a good threshold is mostly noise (alpha * n is a handful), so following it per sample, as
GloFND does, takes tens of epochs. The row's mean and standard deviation are known far better from one visit, and the
shape of the tail hardly differs between samples: lambda_i = mean_i + c * std_i + residual_i, c learned from all rows.
docs/learners.md compares the two.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Annotated

import torch
from torch import Tensor

from glofnd.detectors.detector import Alpha, Batch, Detector, Screening, StartFilter, StartUpdate, Tile, Treatment
from glofnd.detectors.glofnd import SampleScreening
from glofnd.parameters import Range, checked
from glofnd.state import SampleState

__all__ = ["LocationScale"]

TAIL_RATE, MEMORY, SETTLING = 0.005, 0.1, 0.2


class LocationScale(Detector):
    """Drops the negatives of anchor i with s_ij > lambda_i = mean_i + c std_i + residual_i.

    With n the visits of sample i, this one included, and r = max(1/n, 0.1):

        mean_i, std_i   running mean (rate r) of the mean and standard deviation of the row's negatives
        share_i         share of the negatives above lambda_i
        residual_i     += lr * std_i * (share_i - alpha) / alpha / (1 + 0.2 n)
        c              += 0.005 * mean over the batch of (share_i - alpha) / alpha

    c starts at the (1 - alpha)-quantile of a standard normal distribution. A row is judged with its new mean, standard
    deviation and residual; the new c counts from the next batch on. Repeated samples keep the mean of their
    occurrences.
    """

    tail: Tensor

    @checked
    def __init__(
        self,
        num_samples: int,
        alpha: Alpha = 0.01,
        lr: Annotated[float, Range(gt=0), "step size of the residuals"] = 0.2,
        start_update: StartUpdate = 0,
        start_filter: StartFilter = 0,
        treatment: Treatment = "eliminate",
    ) -> None:
        super().__init__(num_samples, start_update, start_filter, treatment)
        self.alpha, self.lr = alpha, lr
        self.register_buffer("tail", torch.tensor(-NormalDist().inv_cdf(alpha)))
        self.state = SampleState(num_samples, mean=0.0, std=0.0, residual=0.0, visits=0.0)

    @property
    def thresholds(self) -> Tensor:
        """lambda of every sample, [num_samples]; 1 for a sample not seen yet."""
        return self.threshold_of({name: self.state.whole(name) for name in self.state.columns})

    @thresholds.setter
    def thresholds(self, values: Tensor) -> None:
        # The residual takes it up; the sample counts as seen once, or its threshold would be 1.
        self.state.fill("visits", self.state.whole("visits").clamp_min(1))
        self.state.fill("residual", values - self.state.whole("mean") - self.tail * self.state.whole("std"))

    def threshold_of(self, rows: dict[str, Tensor]) -> Tensor:
        """lambda in [-1, 1] per row of state; 1 (drops nothing) for a sample not seen yet."""
        threshold = (rows["mean"] + self.tail * rows["std"] + rows["residual"]).clamp(-1, 1)
        return torch.where(rows["visits"] > 0, threshold, torch.ones_like(threshold))

    def screening(self, batch: Batch, learning: bool, filtering: bool) -> Screening:
        """Mean and spread of a batch's samples at work."""
        return _LocationScaleScreening(self, batch, learning, filtering)


class _LocationScaleScreening(SampleScreening):
    def __init__(self, detector: LocationScale, batch: Batch, learning: bool, filtering: bool) -> None:
        super().__init__(detector.state, batch, learning, filtering)
        self.detector = detector
        self.surplus = torch.zeros_like(detector.tail)

    def learn(self, tile: Tile) -> None:
        detector, state = self.detector, self.load(tile)
        mean, std = tile.moments()
        visits = state["visits"] + 1
        rate = (1 / visits).clamp_min(MEMORY)
        new = {
            "mean": torch.lerp(state["mean"], mean.to(rate.dtype), rate),
            "std": torch.lerp(state["std"], std.to(rate.dtype), rate),
            "residual": state["residual"],
            "visits": visits,
        }
        surplus = (tile.share_above(detector.threshold_of(new)) - detector.alpha) / detector.alpha
        new["residual"] = new["residual"] + detector.lr * new["std"] * surplus / (1 + SETTLING * visits)
        self.store(tile, new)
        self.surplus += surplus.sum()

    def threshold(self, tile: Tile) -> Tensor:
        return self.detector.threshold_of(self.load(tile)).expand(tile.positive.shape)

    def commit(self) -> None:
        super().commit()
        if self.learning:
            self.detector.tail += TAIL_RATE * self.batch.mean_over_anchors(self.surplus)
