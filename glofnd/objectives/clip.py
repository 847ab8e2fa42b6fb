"""CLIP (Radford et al., ICML 2021, arXiv 2103.00020) with a detector of false negatives for each modality."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from glofnd.detectors import Detector
from glofnd.objectives.engine import Rows
from glofnd.objectives.objective import LearnedTemperature, Objective
from glofnd.objectives.simclr import cross_entropy
from glofnd.parameters import checked

__all__ = ["CLIP"]

LARGEST_SCALE = 100.0


class CLIP(Objective):
    """Mean of the cross entropies image -> text and text -> image, with a learned temperature.

    Row i: log[ e^{p/tau} + (n / n_i) sum_kept e^{s/tau} ] - p/tau, with n = B - 1 negatives of which n_i are kept.
    1/tau is learned as exp(`logit_scale`) and held at 100 or below by `after_step`.
    """

    modalities = ("image", "text")

    @checked
    def __init__(
        self, num_samples: int, temperature: LearnedTemperature = 0.07, detector: Detector | None = None
    ) -> None:
        super().__init__(num_samples, detector)
        self.logit_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    def shared(self) -> dict[str, Tensor]:
        """tau, attached to `logit_scale`."""
        return {"temperature": (-self.logit_scale).exp()}

    def values(self, rows: Rows) -> Tensor:
        """Cross entropy, half for each modality."""
        return cross_entropy(rows, rows.log_mean) / 2

    def parameter_groups(self) -> list[dict[str, Any]]:
        """`logit_scale` without weight decay; it follows the learning rate of the model."""
        return [{"params": [self.logit_scale], "weight_decay": 0.0, "scheduled": True}]

    @torch.no_grad()
    def after_step(self) -> None:
        """Hold 1/tau at 100 or below."""
        self.logit_scale.clamp_(max=math.log(LARGEST_SCALE))
