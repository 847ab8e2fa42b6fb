"""FastCLIP (Wei et al., 2024, arXiv 2407.01445): global contrastive losses for image-text pairs, versions 1 to 3."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from glofnd.detectors.base import Detector
from glofnd.objectives.average import COLUMN, MovingAverage
from glofnd.objectives.base import LearnedTemperature, Objective, Rho, Temperature, TemperatureStep
from glofnd.objectives.contrast import Criterion
from glofnd.objectives.ratio import IndividualRatio, Ratio, SharedRatio
from glofnd.objectives.temperatures import BatchTemperatures, TemperatureRule
from glofnd.parameters import Range, checked
from glofnd.state import SampleState

__all__ = ["FastCLIPv1", "FastCLIPv2", "FastCLIPv3"]

# Below this u counts as never seen, as published.
FLOOR = 1e-35
SMALLEST = 0.01
SLOW_BELOW, SLOW_FACTOR = 0.03, 1 / 3

GammaEnd = Annotated[float, Range(gt=0, le=1), "last weight of a batch's estimate in the moving average u"]
GammaEpochs = Annotated[int, Range(ge=1), "epochs until gamma_end"]


class FastCLIP(Objective):
    """What the three versions have in common.

    h_i = mean over kept negatives of exp((s_ij - s_ii) / tau); u = (1 - gamma) u + gamma h per sample and modality
    (u = h where u < 1e-35); C = mean_i h_i / stopgrad(u_i + 1e-14), summed over both modalities.

    gamma is 1 at epoch 0 and falls along a cosine to `gamma_end` at epoch `gamma_epochs`; it is a schedule, so there is
    no argument `gamma`: `gamma_end=g, gamma_epochs=1` keeps it at g from epoch 1 on. A row with no negative left
    contributes -s_ii / tau (times the same factor), leaves u alone and says nothing about the temperature.
    """

    modalities = ("image", "text")

    def __init__(
        self,
        num_samples: int,
        temperature: float,
        gamma_end: float,
        gamma_epochs: int,
        detector: Detector | None,
        columns: dict[str, float] | None = None,
    ) -> None:
        super().__init__(num_samples, temperature, detector)
        self.initial, self.gamma_end, self.gamma_epochs = temperature, gamma_end, gamma_epochs
        columns = {**COLUMN, **(columns or {})}
        self.state = nn.ModuleDict({name: SampleState(num_samples, **columns) for name in self.modalities})

    def gamma(self, epoch: int) -> float:
        """Weight of the new estimate in u."""
        if epoch >= self.gamma_epochs:
            return self.gamma_end
        return self.gamma_end + (1 - self.gamma_end) * (1 + math.cos(math.pi * epoch / self.gamma_epochs)) / 2

    def current_temperature(self) -> Tensor:
        """tau."""
        return torch.tensor(self.initial, dtype=torch.float64)

    def criterion(self, modality: str, index: Tensor, epoch: int, temperature: Tensor) -> Criterion:
        """The row loss with this batch's part of u."""
        state = self.state[modality]
        assert isinstance(state, SampleState)
        return self.ratio(MovingAverage(state, index, self.gamma(epoch), FLOOR), state, index, temperature)

    def ratio(self, average: MovingAverage, state: SampleState, index: Tensor, temperature: Tensor) -> Ratio:
        """The row loss of this version."""
        raise NotImplementedError


class FastCLIPv1(FastCLIP):
    """C with a constant tau (SogCLR for image-text pairs).

    Args:
        num_samples: pairs in the data set.
        detector: who is a false negative; None keeps every negative.
    """

    @checked
    def __init__(
        self,
        num_samples: int,
        temperature: Temperature = 0.03,
        gamma_end: GammaEnd = 0.2,
        gamma_epochs: GammaEpochs = 18,
        detector: Detector | None = None,
    ) -> None:
        super().__init__(num_samples, temperature, gamma_end, gamma_epochs, detector)

    def ratio(self, average: MovingAverage, state: SampleState, index: Tensor, temperature: Tensor) -> Ratio:
        """h / u."""
        return Ratio(average, temperature)


class FastCLIPv2(FastCLIP):
    """mean_i tau_i h_i / stopgrad(u_i + 1e-14), with one learned tau_i per image and one per text (iSogCLR).

    They move by `TemperatureRule`, within [0.01, 1]. The defaults of rho and its step size are ours.

    Args:
        num_samples: pairs in the data set.
        detector: who is a false negative; None keeps every negative.
    """

    @checked
    def __init__(
        self,
        num_samples: int,
        temperature: LearnedTemperature = 0.03,
        gamma_end: GammaEnd = 0.2,
        gamma_epochs: GammaEpochs = 18,
        rho: Rho = 7.0,
        temperature_lr: TemperatureStep = 0.01,
        detector: Detector | None = None,
    ) -> None:
        self.rule = TemperatureRule(temperature_lr, rho, SMALLEST, 1.0)
        super().__init__(num_samples, temperature, gamma_end, gamma_epochs, detector, self.rule.columns(temperature))

    def ratio(self, average: MovingAverage, state: SampleState, index: Tensor, temperature: Tensor) -> Ratio:
        """tau_i h / u."""
        return IndividualRatio(average, BatchTemperatures(self.rule, state, index))


class FastCLIPv3(FastCLIP):
    """stopgrad(tau) C + rho tau + tau/2 mean_i (log u_image + log u_text), with a learned shared tau.

    The temperature is a parameter with its own learning rate (`parameter_groups`); `after_step` keeps it at 0.01 or
    above and cuts the step just made to a third where it began at 0.03 or below, as a third of the learning rate would.

    Args:
        num_samples: pairs in the data set.
        detector: who is a false negative; None keeps every negative.
    """

    @checked
    def __init__(
        self,
        num_samples: int,
        temperature: LearnedTemperature = 0.07,
        gamma_end: GammaEnd = 0.2,
        gamma_epochs: GammaEpochs = 18,
        rho: Rho = 6.5,
        temperature_lr: TemperatureStep = 2e-4,
        detector: Detector | None = None,
    ) -> None:
        super().__init__(num_samples, temperature, gamma_end, gamma_epochs, detector)
        self.rho, self.temperature_lr = rho, temperature_lr
        self.temperature = nn.Parameter(torch.tensor(float(temperature)))
        self._before = self.temperature.detach().clone()

    def current_temperature(self) -> Tensor:
        """tau."""
        self._before = self.temperature.detach().clone()
        return self.temperature

    def ratio(self, average: MovingAverage, state: SampleState, index: Tensor, temperature: Tensor) -> Ratio:
        """stopgrad(tau) h / u + tau/2 log u."""
        return SharedRatio(average, temperature)

    def extra(self, temperature: Tensor) -> tuple[Tensor, Tensor]:
        """rho * tau."""
        return self.rho * temperature, torch.full_like(temperature, self.rho)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The temperature with its own constant learning rate."""
        return [{"params": [self.temperature], "lr": self.temperature_lr, "weight_decay": 0.0, "scheduled": False}]

    @torch.no_grad()
    def after_step(self) -> None:
        """A third of the step at small temperatures, and a floor under the temperature."""
        factor = torch.where(self._before <= SLOW_BELOW, SLOW_FACTOR, 1.0)
        self.temperature.copy_((self._before + factor * (self.temperature - self._before)).clamp_min(SMALLEST))
