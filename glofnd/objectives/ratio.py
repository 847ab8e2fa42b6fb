"""The row losses of FastCLIP: a batch's contrastive sum over its moving average."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from glofnd.objectives.average import AveragedLoss
from glofnd.objectives.contrast import Rows, Terms

__all__ = ["IndividualRatio", "Ratio", "SharedRatio"]

# Guards the division by u, as published.
EPSILON = 1e-14


class Ratio(AveragedLoss):
    """h / stopgrad(u + 1e-14), with h the mean over kept negatives of exp((s - alignment) / tau) (version 1)."""

    def scale(self, rows: slice) -> Tensor:
        """Factor of the row loss, not differentiated."""
        return torch.ones_like(self.temperature(rows))

    def terms(self, rows: slice, statistics: Rows) -> Terms:
        """Value and derivatives."""
        tau = self.temperature(rows)
        alignment = statistics.alignment / tau
        log_h = statistics.log_sum - statistics.kept.clamp_min(1).log() - alignment
        log_u = self.average.update(rows, log_h, statistics.empty)
        guarded = torch.logaddexp(log_u, torch.full_like(log_u, math.log(EPSILON)))
        ratio = statistics.where_kept((log_h - guarded).exp())
        scaled = self.scale(rows) * ratio
        value, d_temperature = self._observe(rows, statistics, log_u, ratio)
        return Terms(
            value=value + statistics.where_kept(scaled, -self.scale(rows) * alignment),
            d_log_sum=scaled,
            d_alignment=-self.scale(rows) * statistics.where_kept(ratio, 1) / tau,
            d_temperature=d_temperature + scaled * alignment / tau,
        )

    def _observe(self, rows: slice, statistics: Rows, log_u: Tensor, ratio: Tensor) -> tuple[Tensor, Tensor]:
        """A further term of the row loss that depends on tau alone, and its derivative."""
        zero = torch.zeros_like(ratio)
        return zero, zero


class IndividualRatio(Ratio):
    """tau_i times the ratio, with learned temperatures per sample (version 2).

    g_i = log u_i - sum_kept w (s - alignment) / (n_i tau_i) + rho drives them.
    """

    def scale(self, rows: slice) -> Tensor:
        """tau_i."""
        return self.temperature(rows)

    def _observe(self, rows: slice, statistics: Rows, log_u: Tensor, ratio: Tensor) -> tuple[Tensor, Tensor]:
        slope = log_u - ratio * (statistics.mean() - statistics.alignment) / self.temperature(rows)
        assert self.learned is not None
        self.learned.update(rows, slope, statistics.empty)
        return super()._observe(rows, statistics, log_u, ratio)


class SharedRatio(Ratio):
    """stopgrad(tau) times the ratio, plus tau/2 log u (version 3)."""

    def scale(self, rows: slice) -> Tensor:
        """tau."""
        return self.temperature(rows)

    def _observe(self, rows: slice, statistics: Rows, log_u: Tensor, ratio: Tensor) -> tuple[Tensor, Tensor]:
        half = statistics.where_kept(log_u) / 2
        return self.temperature(rows) * half, half
