"""SigLIP (Zhai et al., ICCV 2023, arXiv 2303.15343): a sigmoid for every pair, with a detector of false negatives."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from glofnd.detectors import Detector
from glofnd.objectives.engine import Pairs
from glofnd.objectives.objective import LearnedTemperature, Objective
from glofnd.parameters import Range, checked

__all__ = ["SigLIP"]


class SigLIP(Objective):
    """-1/B sum_ij log sigmoid(y_ij (s_ij / tau + b)), y = 1 for a pair and -1 for all else, tau and b learned.

    Half of it is summed over images and half over texts, each without what its detector drops; under `attract` that has
    y = 1 instead. 1/tau is learned as exp(`logit_scale`).
    """

    modalities = ("image", "text")
    by_pairs = True

    @checked
    def __init__(
        self,
        num_samples: int,
        temperature: LearnedTemperature = 0.1,
        bias: Annotated[float, Range(), "initial bias b, which is learned"] = -10.0,
        detector: Detector | None = None,
    ) -> None:
        super().__init__(num_samples, detector)
        self.logit_scale = nn.Parameter(torch.tensor(-math.log(temperature)))
        self.logit_bias = nn.Parameter(torch.tensor(float(bias)))

    def shared(self) -> dict[str, Tensor]:
        """tau and b."""
        return {"temperature": (-self.logit_scale).exp(), "bias": self.logit_bias}

    def values(self, pairs: Pairs) -> Tensor:
        """-log sigmoid(y logit), half for each modality."""
        tau, bias = pairs.temperature, pairs.shared["bias"]
        logits = pairs.similarity / tau + bias
        repelled = (pairs.keep * softplus(logits)).sum(-1)
        found = (pairs.found * softplus(-logits)).sum(-1)
        return (softplus(-pairs.positive / tau - bias) + repelled + found) / 2

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Both scalars without weight decay; they follow the learning rate of the model."""
        return [{"params": [self.logit_scale, self.logit_bias], "weight_decay": 0.0, "scheduled": True}]
