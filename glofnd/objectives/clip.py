"""CLIP (Radford et al., ICML 2021, arXiv 2103.00020) with a detector of false negatives for each modality."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from glofnd.detectors.base import Detector
from glofnd.objectives.base import LearnedTemperature, Objective
from glofnd.objectives.contrast import Criterion
from glofnd.objectives.infonce import CrossEntropy
from glofnd.parameters import checked

__all__ = ["CLIP"]

_LARGEST_SCALE = 100.0


class CLIP(Objective):
    """Mean of the cross entropies image -> text and text -> image, with a learned temperature.

    Row i: log[ e^{p/tau} + (n / n_i) sum_kept e^{s/tau} ] - p/tau, with n = B - 1 negatives of which n_i are kept.
    1/tau is learned as exp(`logit_scale`) and held at 100 or below by `after_step`.

    Args:
        num_samples: pairs in the data set.
        detector: who is a false negative; None keeps every negative.
    """

    modalities = ("image", "text")

    @checked
    def __init__(
        self, num_samples: int, temperature: LearnedTemperature = 0.07, detector: Detector | None = None
    ) -> None:
        super().__init__(num_samples, temperature, detector)
        self.logit_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    def current_temperature(self) -> Tensor:
        """tau, attached to `logit_scale`."""
        return (-self.logit_scale).exp()

    def criterion(self, modality: str, index: Tensor, epoch: int, temperature: Tensor) -> Criterion:
        """Cross entropy, half for each modality."""
        return CrossEntropy(temperature, weight=0.5)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """`logit_scale` without weight decay; it follows the learning rate of the model."""
        return [{"params": [self.logit_scale], "weight_decay": 0.0, "scheduled": True}]

    @torch.no_grad()
    def after_step(self) -> None:
        """Hold 1/tau at 100 or below."""
        self.logit_scale.clamp_(max=math.log(_LARGEST_SCALE))
