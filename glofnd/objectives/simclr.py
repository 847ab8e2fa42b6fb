"""SimCLR (Chen et al., ICML 2020, arXiv 2002.05709) with a detector of false negatives."""

from __future__ import annotations

import torch
from torch import Tensor

from glofnd.detectors.base import Detector
from glofnd.objectives.base import Objective, Temperature
from glofnd.objectives.contrast import Criterion
from glofnd.objectives.infonce import CrossEntropy
from glofnd.parameters import checked

__all__ = ["SimCLR"]


class SimCLR(Objective):
    """sum over views k of mean_i { log[ e^{p/tau} + (2(B-1)/n_k) sum_{kept} e^{s/tau} ] - p/tau }.

    p is the similarity of the sample's two views; negatives are both views of all other samples of the batch.

    Args:
        num_samples: samples in the data set.
        detector: who is a false negative; None keeps every negative.
    """

    @checked
    def __init__(self, num_samples: int, temperature: Temperature = 0.1, detector: Detector | None = None) -> None:
        super().__init__(num_samples, temperature, detector)
        self.temperature = temperature

    def current_temperature(self) -> Tensor:
        """tau."""
        return torch.tensor(self.temperature, dtype=torch.float64)

    def criterion(self, modality: str, index: Tensor, epoch: int, temperature: Tensor) -> Criterion:
        """Cross entropy, once per view."""
        return CrossEntropy(temperature, weight=1.0)
