"""The row loss of SimCLR and CLIP: cross entropy of the positive among the kept negatives."""

from __future__ import annotations

import torch
from torch import Tensor

from glofnd.objectives.contrast import Rows, Terms

__all__ = ["CrossEntropy"]


class CrossEntropy:
    """log[ e^{p/tau} + (n / kept) sum_kept e^{s/tau} ] - alignment / tau, times `weight`.

    n is the number of negatives before dropping, so the sum keeps its size however many were dropped. A row with no
    negative left contributes -alignment / tau alone, and nothing to the gradient of the temperature.

    Args:
        temperature: scalar.
        weight: factor of the value.
    """

    def __init__(self, temperature: Tensor, weight: float) -> None:
        self._temperature, self.weight = temperature, weight

    def temperature(self, rows: slice) -> Tensor:
        """tau, a scalar."""
        return self._temperature

    def terms(self, rows: slice, statistics: Rows) -> Terms:
        """Value and derivatives."""
        tau, kept = self._temperature, statistics.where_kept
        positive, alignment = statistics.positive / tau, statistics.alignment / tau
        rest = statistics.log_sum + kept((statistics.negatives / statistics.kept).log())
        total = torch.logaddexp(positive, rest)
        share = kept((positive - total).exp())
        return Terms(
            value=self.weight * (kept(total) - alignment),
            d_log_sum=self.weight * (rest - total).exp(),
            d_alignment=-self.weight / tau,
            d_positive=self.weight * share / tau,
            d_temperature=self.weight * kept(alignment - share * positive) / tau,
        )

    def commit(self) -> None:
        """There is no per-sample state."""
