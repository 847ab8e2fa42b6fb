"""A faster threshold learner: mean and spread per sample, one shared tail factor, a small residual per sample.

The share of a batch row above a good threshold is mostly noise (alpha * n is a handful), so following it per sample, as
the paper does, takes tens of epochs. The row's mean and standard deviation are known far better from one visit, and the
shape of the tail hardly differs between samples: lambda_i = mean_i + c * std_i + residual_i, c learned from all rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor

from glofnd.detectors.tile import Tile

__all__ = ["MOMENTS_COLUMNS", "Moments", "normal_tail"]

MOMENTS_COLUMNS = {"mean": 0.0, "std": 0.0, "residual": 0.0, "visits": 0.0}

TAIL_RATE = 0.005
MEMORY = 0.1
SETTLING = 0.2


def normal_tail(alpha: float) -> float:
    """Where c starts: the (1 - alpha)-quantile of a standard normal distribution."""
    return -NormalDist().inv_cdf(alpha)


@dataclass(frozen=True)
class Moments:
    """The rule of the learner.

    With n the visits of sample i, this one included, and r = max(1/n, 0.1):

        mean_i, std_i   running mean (rate r) of the mean and standard deviation of the row's negatives
        share_i         share of the negatives above mean_i + c std_i + residual_i
        residual_i     += lr * std_i * (share_i - alpha) / alpha / (1 + 0.2 n)
        c              += 0.005 * mean over the batch of (share_i - alpha) / alpha

    The row is judged with the new mean, standard deviation and residual; the new c counts from the next batch on.
    """

    alpha: float
    lr: float

    def thresholds(self, state: dict[str, Tensor], tail: Tensor) -> Tensor:
        """lambda in [-1, 1] per sample, shape of the columns; 1 (drops nothing) for a sample not seen yet."""
        threshold = (state["mean"] + tail * state["std"] + state["residual"]).clamp(-1, 1)
        return torch.where(state["visits"] > 0, threshold, torch.ones_like(threshold))

    def step(self, state: dict[str, Tensor], tail: Tensor, tile: Tile) -> tuple[dict[str, Tensor], Tensor]:
        """New state of the tile's anchors, and (share - alpha) / alpha of each, [t]."""
        mean, std = tile.moments()
        visits = state["visits"] + 1
        rate = (1 / visits).clamp_min(MEMORY)
        new = {
            "mean": torch.lerp(state["mean"], mean.to(rate.dtype), rate),
            "std": torch.lerp(state["std"], std.to(rate.dtype), rate),
            "residual": state["residual"],
            "visits": visits,
        }
        surplus = (tile.share_above(self.thresholds(new, tail)) - self.alpha) / self.alpha
        new["residual"] = new["residual"] + self.lr * new["std"] * surplus / (1 + SETTLING * visits)
        return new, surplus
