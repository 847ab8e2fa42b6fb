"""SimCLR (Chen et al., ICML 2020, arXiv 2002.05709) with a detector of false negatives."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from glofnd.detectors import Detector
from glofnd.objectives.engine import Pairs, Rows
from glofnd.objectives.objective import Objective, Temperature
from glofnd.parameters import checked

__all__ = ["SimCLR", "cross_entropy"]


class SimCLR(Objective):
    """sum over views k of mean_i { log[ e^{p/tau} + (2(B-1)/n_k) sum_{kept} e^{s/tau} ] - p/tau }.

    p is the similarity of the sample's two views; negatives are both views of all other samples of the batch. Without a
    detector this is twice the NT-Xent loss.
    """

    @checked
    def __init__(self, num_samples: int, temperature: Temperature = 0.1, detector: Detector | None = None) -> None:
        super().__init__(num_samples, detector)
        self.tau = temperature

    def shared(self) -> dict[str, Tensor]:
        """tau."""
        return {"temperature": torch.tensor(self.tau, dtype=torch.float64)}

    def values(self, rows: Rows) -> Tensor:
        """Cross entropy, once per view."""
        return cross_entropy(rows, rows.log_mean)


def cross_entropy(rows: Rows | Pairs, log_mean: Tensor) -> Tensor:
    """log[ e^{p/tau} + n mean_kept e^{s/tau} ] - alignment / tau, of each row, [V, t].

    n is the number of negatives before dropping, so the sum keeps its size however many were dropped. As softplus of
    (log of the sum) - p/tau, since log[...] - p/tau of an easy row is a small difference of large numbers.

    Args:
        rows: the rows.
        log_mean: log of that mean, [V, t]; -inf where none is kept.
    """
    rest = log_mean + math.log(max(rows.negatives, 1))
    # Exact up to float64 where torch's own threshold of 20 is not.
    hardness = torch.nn.functional.softplus(rest - rows.positive / rows.temperature, threshold=40)
    return hardness - rows.gain / rows.temperature
