"""SogCLR (Yuan et al., ICML 2022, arXiv 2202.12387): the contrastive sum over the whole data set, in small batches."""

from __future__ import annotations

import torch
from torch import Tensor

from glofnd.detectors.base import Detector
from glofnd.objectives.average import COLUMN, AveragedLoss, MovingAverage
from glofnd.objectives.base import Gamma, Objective, Temperature
from glofnd.objectives.contrast import Criterion, Rows, Terms
from glofnd.parameters import checked
from glofnd.state import SampleState

__all__ = ["GlobalContrast", "SogCLR"]


class SogCLR(Objective):
    """sum over views k of mean_i [ -p_i + sum_kept w s / n_k ], with w = stopgrad(e^{s/tau} / u_k).

    G_k is the mean of e^{s/tau} over the kept negatives of view k, u_k = (1 - gamma) u_i + gamma G_k its moving
    average, and the sample stores the mean of u_1 and u_2. At its first visit u_k = G_k. A row with no negative left
    contributes -p_i and leaves u alone.

    Args:
        num_samples: samples in the data set.
        detector: who is a false negative; None keeps every negative.
    """

    @checked
    def __init__(
        self, num_samples: int, temperature: Temperature = 0.1, gamma: Gamma = 0.9, detector: Detector | None = None
    ) -> None:
        super().__init__(num_samples, temperature, detector)
        self.temperature, self.gamma = temperature, gamma
        self.state = SampleState(num_samples, **COLUMN)

    @property
    def u(self) -> Tensor:
        """The moving averages, [num_samples]; 0 for a sample not seen yet."""
        return self.state.whole("log_u").exp()

    def current_temperature(self) -> Tensor:
        """tau."""
        return torch.tensor(self.temperature, dtype=torch.float64)

    def criterion(self, modality: str, index: Tensor, epoch: int, temperature: Tensor) -> Criterion:
        """The row loss with this batch's part of u."""
        return GlobalContrast(MovingAverage(self.state, index, self.gamma), temperature)


class GlobalContrast(AveragedLoss):
    """-alignment + sum_kept stopgrad(e^{s/tau} / u) s / kept.

    Where tau_i is learned, log u_i - sum_kept w s / (n_i tau_i) drives it.
    """

    def terms(self, rows: slice, statistics: Rows) -> Terms:
        """Value and derivatives."""
        log_mean = statistics.log_sum - statistics.kept.clamp_min(1).log()
        log_u = self.average.update(rows, log_mean, statistics.empty)
        ratio = statistics.where_kept((log_mean - log_u).exp())
        mean, tau = statistics.mean(), self.temperature(rows)
        if self.learned is not None:
            self.learned.update(rows, log_u - ratio * mean / tau, statistics.empty)
        return Terms(
            value=ratio * mean - statistics.alignment,
            d_log_sum=ratio * tau,
            d_alignment=torch.full_like(ratio, -1),
        )
