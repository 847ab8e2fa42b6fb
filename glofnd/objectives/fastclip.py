"""FastCLIP (Wei et al., 2024, arXiv 2407.01445): global contrastive losses for image-text pairs, versions 1 to 3."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from glofnd.detectors.base import Detector
from glofnd.objectives.average import COLUMN, MovingAverage
from glofnd.objectives.base import Objective
from glofnd.objectives.contrast import Criterion
from glofnd.objectives.ratio import IndividualRatio, Ratio, SharedRatio
from glofnd.objectives.sogclr import check_gamma
from glofnd.objectives.temperatures import BatchTemperatures, TemperatureRule
from glofnd.state import SampleState

__all__ = ["FastCLIP"]

# Below this u counts as never seen, as published.
FLOOR = 1e-35
SMALLEST = 0.01
SLOW_BELOW, SLOW_FACTOR = 0.03, 1 / 3

_DEFAULTS: dict[str, dict[str, float]] = {
    "v1": {"temperature": 0.03},
    "v2": {"temperature": 0.03, "rho": 7.0, "temperature_lr": 0.01},
    "v3": {"temperature": 0.07, "rho": 6.5, "temperature_lr": 2e-4},
}


class FastCLIP(Objective):
    """Global contrastive loss over image anchors and text anchors.

    h_i = mean over kept negatives of exp((s_ij - s_ii) / tau); u = (1 - gamma) u + gamma h per sample and modality
    (u = h where u < 1e-35); C = mean_i h_i / stopgrad(u_i + 1e-14), summed over both modalities.

    v1 (SogCLR):  C with a constant tau.
    v2 (iSogCLR): mean_i tau_i h_i / stopgrad(u_i + 1e-14), with one learned tau_i per image and one per text
                  (`TemperatureRule`, within [0.01, 1]).
    v3:           stopgrad(tau) C + rho tau + tau/2 mean_i (log u_image + log u_text), with a learned shared tau.

    gamma is 1 at epoch 0 and falls along a cosine to `gamma_end` at epoch `gamma_epochs`; it is a schedule, so there is
    no argument `gamma`: `gamma_end=g, gamma_epochs=1` keeps it at g from epoch 1 on. A row with no negative left
    contributes -s_ii / tau (times the same factor), leaves u alone and says nothing about the temperature.

    In v3 the temperature is a parameter with its own learning rate (`parameter_groups`); `after_step` keeps it at 0.01
    or above and cuts the step just made to a third where it began at 0.03 or below, as a third of the learning rate
    would.

    Args:
        num_samples: pairs in the data set.
        version: `v1`, `v2` or `v3`.
        temperature: tau or its initial value; None for the version's own (0.03, 0.03, 0.07).
        gamma_end: last gamma.
        gamma_epochs: epochs until gamma_end.
        rho: pull towards small temperatures (v2, v3); None for the version's own (7, 6.5).
        temperature_lr: step size of the temperature (v2, v3); None for the version's own (0.01, 2e-4).
        detector: who is a false negative; None keeps every negative.
    """

    modalities = ("image", "text")

    def __init__(
        self,
        num_samples: int,
        version: str = "v3",
        temperature: float | None = None,
        gamma_end: float = 0.2,
        gamma_epochs: int = 18,
        rho: float | None = None,
        temperature_lr: float | None = None,
        detector: Detector | None = None,
    ) -> None:
        if version not in _DEFAULTS:
            raise ValueError(f"version must be one of {', '.join(_DEFAULTS)}; got {version!r}")
        given = {"temperature": temperature, "rho": rho, "temperature_lr": temperature_lr}
        values = dict(_DEFAULTS[version])
        for name, value in given.items():
            if value is not None and name not in values:
                raise ValueError(f"FastCLIP {version} takes no {name}")
            if value is not None:
                values[name] = value
        super().__init__(num_samples, values["temperature"], detector)
        if gamma_epochs < 1:
            raise ValueError(f"gamma_epochs must be at least 1, got {gamma_epochs}")
        self.version, self.gamma_epochs = version, gamma_epochs
        self.gamma_end = check_gamma("gamma_end", gamma_end)
        self.initial, self.rho = values["temperature"], values.get("rho", 0.0)
        columns = dict(COLUMN)
        if version == "v2":
            self.rule = TemperatureRule(values["temperature_lr"], self.rho, SMALLEST, 1.0)
            columns |= self.rule.columns(self.initial)
        if version == "v3":
            if not values["temperature_lr"] > 0:
                raise ValueError(f"temperature_lr must be positive, got {values['temperature_lr']}")
            self.temperature_lr = values["temperature_lr"]
            self.temperature = nn.Parameter(torch.tensor(float(self.initial)))
            self._before = self.temperature.detach().clone()
        self.state = nn.ModuleDict({name: SampleState(num_samples, **columns) for name in self.modalities})

    def gamma(self, epoch: int) -> float:
        """Weight of the new estimate in u."""
        if epoch >= self.gamma_epochs:
            return self.gamma_end
        return self.gamma_end + (1 - self.gamma_end) * (1 + math.cos(math.pi * epoch / self.gamma_epochs)) / 2

    def current_temperature(self) -> Tensor:
        """tau (a placeholder in v2, where every sample has its own)."""
        if self.version == "v3":
            self._before = self.temperature.detach().clone()
            return self.temperature
        return torch.tensor(self.initial, dtype=torch.float64)

    def criterion(self, modality: str, index: Tensor, epoch: int, temperature: Tensor) -> Criterion:
        """The row loss with this batch's part of u."""
        state = self.state[modality]
        assert isinstance(state, SampleState)
        average = MovingAverage(state, index, self.gamma(epoch), FLOOR)
        if self.version == "v1":
            return Ratio(average, temperature)
        if self.version == "v2":
            return IndividualRatio(average, BatchTemperatures(self.rule, state, index))
        return SharedRatio(average, temperature)

    def extra(self, temperature: Tensor) -> tuple[Tensor, Tensor]:
        """rho * tau in v3."""
        if self.version != "v3":
            return super().extra(temperature)
        return self.rho * temperature, torch.full_like(temperature, self.rho)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """v3: the temperature with its own constant learning rate; otherwise nothing."""
        if self.version != "v3":
            return []
        return [{"params": [self.temperature], "lr": self.temperature_lr, "weight_decay": 0.0, "scheduled": False}]

    @torch.no_grad()
    def after_step(self) -> None:
        """v3: a third of the step at small temperatures, and a floor under the temperature."""
        if self.version == "v3":
            factor = torch.where(self._before <= SLOW_BELOW, SLOW_FACTOR, 1.0)
            self.temperature.copy_((self._before + factor * (self.temperature - self._before)).clamp_min(SMALLEST))
