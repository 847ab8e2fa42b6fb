"""iSogCLR (Qiu et al., ICML 2023, arXiv 2305.11965): SogCLR with one learned temperature per sample."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from glofnd.detectors.base import Detector
from glofnd.objectives.average import COLUMN, MovingAverage
from glofnd.objectives.base import Gamma, Objective, Rho, TemperatureStep
from glofnd.objectives.contrast import Criterion
from glofnd.objectives.sogclr import GlobalContrast
from glofnd.objectives.temperatures import BatchTemperatures, TemperatureRule
from glofnd.parameters import Range, checked
from glofnd.state import SampleState

__all__ = ["ISogCLR"]


class ISogCLR(Objective):
    """SogCLR with temperatures tau_i that minimise tau_i * (log u_i + rho): a sample in a dense neighbourhood gets a
    high one and keeps its neighbours, a rare one a low one.

    g_i = mean over views of [ log u_k - sum_kept w s / (n_k tau_i) ] + rho drives `TemperatureRule`; the loss of the
    batch uses the temperatures from before it.

    Args:
        num_samples: samples in the data set.
        detector: who is a false negative; None keeps every negative.
    """

    @checked
    def __init__(
        self,
        num_samples: int,
        temperature: Annotated[float, Range(ge=1e-6, le=1e4), "initial temperature of every sample"] = 0.1,
        gamma: Gamma = 0.9,
        rho: Rho = 0.3,
        temperature_lr: TemperatureStep = 0.01,
        temperature_min: Annotated[float, Range(ge=1e-6, le=1e4), "smallest temperature"] = 0.05,
        temperature_max: Annotated[float, Range(ge=1e-6, le=1e4), "largest temperature"] = 0.7,
        detector: Detector | None = None,
    ) -> None:
        super().__init__(num_samples, temperature, detector)
        self.gamma = gamma
        self.rule = TemperatureRule(temperature_lr, rho, temperature_min, temperature_max)
        self.state = SampleState(num_samples, **COLUMN, **self.rule.columns(temperature))

    @property
    def u(self) -> Tensor:
        """The moving averages, [num_samples]; 0 for a sample not seen yet."""
        return self.state.whole("log_u").exp()

    @property
    def temperatures(self) -> Tensor:
        """tau of every sample, [num_samples]."""
        return self.state.whole("temperature")

    def current_temperature(self) -> Tensor:
        """There is no shared temperature; a placeholder."""
        return torch.tensor(1.0, dtype=torch.float64)

    def criterion(self, modality: str, index: Tensor, epoch: int, temperature: Tensor) -> Criterion:
        """The row loss with this batch's part of u and of the temperatures."""
        average = MovingAverage(self.state, index, self.gamma)
        return GlobalContrast(average, BatchTemperatures(self.rule, self.state, index))
