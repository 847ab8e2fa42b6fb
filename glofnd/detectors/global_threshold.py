"""One threshold for all samples, learned like GloFND's ("single threshold" in the paper's tables)."""

from __future__ import annotations

import torch
from torch import Tensor

from glofnd.detectors.base import Batch, Detector, Screening, check_alpha
from glofnd.detectors.learners import make_descent
from glofnd.detectors.quantile import upper_quantile
from glofnd.detectors.tile import Tile

__all__ = ["GlobalThreshold"]


class GlobalThreshold(Detector):
    """Drops what lies above one learned threshold; its gradient is averaged over the batch.

    It drops a share alpha of all pairs, but nothing for some anchors and a lot for others.

    Args:
        num_samples: samples in the data set.
        alpha: share of all negatives that shall lie above the threshold.
        lr: step size.
        learner: `adam` or `sgd`.
        init: `one` starts at 1; `quantile` follows the mean batch quantile during epoch `start_update`.
        normalize_gradient: divide the gradient by alpha.
        clip: bound of the gradient, in units of alpha; None for no bound.
        start_update: first epoch in which the threshold learns.
        start_filter: first epoch in which negatives are dropped.
        treatment: `eliminate` or `attract`.
    """

    state: dict[str, Tensor]

    def __init__(
        self,
        num_samples: int,
        alpha: float = 0.01,
        lr: float = 0.05,
        learner: str = "adam",
        init: str = "one",
        normalize_gradient: bool = False,
        clip: float | None = None,
        start_update: int = 0,
        start_filter: int = 0,
        treatment: str = "eliminate",
    ) -> None:
        super().__init__(num_samples, start_update, start_filter, treatment)
        self.alpha, self.init = check_alpha(alpha), init
        self.descent = make_descent(alpha, lr, learner, normalize_gradient, clip, init)
        for name, value in self.descent.columns.items():
            self.register_buffer(name, torch.tensor(value))

    @property
    def thresholds(self) -> Tensor:
        """The shared threshold, a scalar."""
        return self.get_buffer("threshold")

    def _screening(self, batch: Batch, learning: bool, filtering: bool) -> Screening:
        return _GlobalScreening(self, batch, learning, filtering)


class _GlobalScreening(Screening):
    def __init__(self, detector: GlobalThreshold, batch: Batch, learning: bool, filtering: bool) -> None:
        super().__init__(batch, learning, filtering)
        self.detector = detector
        self.prepass = self.learning
        self.quantile = detector.init == "quantile" and batch.epoch == detector.start_update
        self.state = {name: detector.get_buffer(name).clone() for name in detector.descent.columns}
        self.total = torch.zeros_like(self.state["threshold"])

    def learn(self, tile: Tile) -> None:
        if self.quantile:
            seen = upper_quantile(tile.similarity, self.detector.alpha, tile.negatives).mean(0)
        else:
            seen = self.detector.descent.gradient(tile.share_above(self.state["threshold"]))
        self.total = self.total + seen.sum()

    def settle(self) -> None:
        mean = self.batch.mean_over_anchors(self.total)
        if self.quantile:
            self.state["threshold"] = mean.clamp(-1, 1)
        else:
            self.state = self.detector.descent.step(self.state, mean, self.batch.epoch)

    def threshold(self, tile: Tile) -> Tensor:
        return self.state["threshold"].expand(tile.positive.shape)

    def commit(self) -> None:
        if self.learning:
            for name, value in self.state.items():
                self.detector.get_buffer(name).copy_(value)
