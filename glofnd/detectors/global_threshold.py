"""One threshold for all samples, learned like GloFND's ("single threshold" in the paper's tables)."""

from __future__ import annotations

import torch
from torch import Tensor

from glofnd.detectors.detector import Batch, Screening, Tile
from glofnd.detectors.glofnd import GloFND

__all__ = ["GlobalThreshold"]


class GlobalThreshold(GloFND):
    """Drops what lies above one learned threshold; its gradient is averaged over the batch. Options as in `GloFND`.

    It drops a share alpha of all pairs, but nothing for some anchors and a lot for others.
    """

    def make_state(self) -> None:
        """What `Descent` keeps, once."""
        for name, value in self.descent.columns.items():
            self.register_buffer(name, torch.tensor(value))

    @property
    def thresholds(self) -> Tensor:
        """The shared threshold, a scalar."""
        return self.get_buffer("threshold")

    @thresholds.setter
    def thresholds(self, value: Tensor) -> None:
        self.get_buffer("threshold").copy_(value)

    def screening(self, batch: Batch, learning: bool, filtering: bool) -> Screening:
        """The threshold at work; it is settled before the batch is filtered, which takes a second pass."""
        return _GlobalScreening(self, batch, learning, filtering)


class _GlobalScreening(Screening):
    def __init__(self, detector: GlobalThreshold, batch: Batch, learning: bool, filtering: bool) -> None:
        super().__init__(batch, learning, filtering)
        self.detector, self.prepass = detector, self.learning
        self.state = {name: detector.get_buffer(name).clone() for name in detector.descent.columns}
        self.total = torch.zeros_like(self.state["threshold"])

    def learn(self, tile: Tile) -> None:
        if self.detector.first(self.batch):
            seen = tile.upper_quantile(self.detector.alpha).mean(0)
        else:
            seen = self.detector.descent.gradient(tile.share_above(self.state["threshold"]))
        self.total += seen.sum()

    def settle(self) -> None:
        mean = self.batch.mean_over_anchors(self.total)
        if self.detector.first(self.batch):
            self.state["threshold"] = mean.clamp(-1, 1)
        else:
            self.state = self.detector.descent.step(self.state, mean, self.batch.epoch)

    def threshold(self, tile: Tile) -> Tensor:
        return self.state["threshold"].expand(tile.positive.shape)

    def commit(self) -> None:
        if self.learning:
            for name, value in self.state.items():
                self.detector.get_buffer(name).copy_(value)
