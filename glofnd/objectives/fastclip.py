"""FastCLIP (Wei et al., 2024, arXiv 2407.01445): global contrastive losses for image-text pairs, versions 1 to 3."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from glofnd.detectors import Detector
from glofnd.objectives.averages import LOG_U, individual_temperatures, move_temperatures, moving_average
from glofnd.objectives.engine import Rows
from glofnd.objectives.objective import LearnedTemperature, Objective, Rho, Temperature, TemperatureStep
from glofnd.parameters import Range, checked

__all__ = ["FastCLIPv1", "FastCLIPv2", "FastCLIPv3"]

# Below FLOOR u counts as never seen; EPSILON guards the division by u. Both as published.
FLOOR, EPSILON = 1e-35, 1e-14
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
    contributes 0, leaves u alone and says nothing about the temperature.
    """

    modalities = ("image", "text")

    def __init__(
        self,
        num_samples: int,
        gamma_end: float,
        gamma_epochs: int,
        detector: Detector | None,
        columns: dict[str, float] | None = None,
    ) -> None:
        super().__init__(num_samples, detector, {**LOG_U, **(columns or {})})
        self.gamma_end, self.gamma_epochs = gamma_end, gamma_epochs

    def gamma(self, epoch: int) -> float:
        """Weight of the new estimate in u."""
        if epoch >= self.gamma_epochs:
            return self.gamma_end
        return self.gamma_end + (1 - self.gamma_end) * (1 + math.cos(math.pi * epoch / self.gamma_epochs)) / 2

    def ratio(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """h / stopgrad(u + 1e-14), and log stopgrad(u + 1e-14); both 0 in rows without negatives."""
        log_h = rows.log_mean - rows.alignment / rows.temperature
        log_u = moving_average(rows, log_h, self.gamma(rows.epoch), FLOOR)
        guarded = torch.logaddexp(log_u, torch.full_like(log_u, math.log(EPSILON))).masked_fill(rows.empty, 0)
        return (log_h - guarded).exp(), guarded


class FastCLIPv1(FastCLIP):
    """C with a constant tau (SogCLR for image-text pairs)."""

    @checked
    def __init__(
        self,
        num_samples: int,
        temperature: Temperature = 0.03,
        gamma_end: GammaEnd = 0.2,
        gamma_epochs: GammaEpochs = 18,
        detector: Detector | None = None,
    ) -> None:
        super().__init__(num_samples, gamma_end, gamma_epochs, detector)
        self.tau = temperature

    def shared(self) -> dict[str, Tensor]:
        """tau."""
        return {"temperature": torch.tensor(self.tau, dtype=torch.float64)}

    def values(self, rows: Rows) -> Tensor:
        """h / u."""
        return self.ratio(rows)[0]


class FastCLIPv2(FastCLIP):
    """mean_i tau_i h_i / stopgrad(u_i + 1e-14), with one learned tau_i per image and one per text (iSogCLR).

    g_i = log(u_i + 1e-14) - sum_kept w (s - s_ii) / (n_i tau_i) + rho drives them (`move_temperatures`), within
    [0.01, 1]. The defaults of rho and its step size are ours.
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
        columns = individual_temperatures(temperature, SMALLEST, 1.0)
        super().__init__(num_samples, gamma_end, gamma_epochs, detector, columns)
        self.rule = (rho, temperature_lr, SMALLEST, 1.0)

    def shared(self) -> dict[str, Tensor]:
        """Nothing: every image and text has its own temperature."""
        return {}

    def values(self, rows: Rows) -> Tensor:
        """tau_i h / u."""
        (ratio, log_u), tau = self.ratio(rows), rows.temperature
        move_temperatures(rows, log_u - ratio * (rows.mean - rows.alignment) / tau, *self.rule)
        return tau * ratio


class FastCLIPv3(FastCLIP):
    """stopgrad(tau) C + rho tau + tau/2 mean_i [log(u_image + 1e-14) + log(u_text + 1e-14)], with a learned shared tau.

    tau is a parameter with its own learning rate (`parameter_groups`); `after_step` keeps it at 0.01 or above and cuts
    the step just made to a third where it began at 0.03 or below, as a third of the learning rate would.
    """

    before: Tensor

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
        super().__init__(num_samples, gamma_end, gamma_epochs, detector)
        self.rho, self.temperature_lr = rho, temperature_lr
        self.tau = nn.Parameter(torch.tensor(float(temperature)))
        # tau before the optimiser's step.
        self.register_buffer("before", torch.tensor(float(temperature)), persistent=False)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """As in `Objective`."""
        self.before = self.tau.detach().clone()
        return super().forward(*args, **kwargs)

    def shared(self) -> dict[str, Tensor]:
        """tau."""
        return {"temperature": self.tau}

    def values(self, rows: Rows) -> Tensor:
        """stopgrad(tau) h / u + tau/2 log u."""
        ratio, log_u = self.ratio(rows)
        return rows.temperature.detach() * ratio + rows.temperature * log_u / 2

    def regulariser(self) -> Tensor:
        """rho * tau."""
        return self.rho * self.tau

    def parameter_groups(self) -> list[dict[str, Any]]:
        """tau with its own constant learning rate."""
        return [{"params": [self.tau], "lr": self.temperature_lr, "weight_decay": 0.0, "scheduled": False}]

    @torch.no_grad()
    def after_step(self) -> None:
        """A third of the step at small temperatures, and a floor under the temperature."""
        factor = torch.where(self.before <= SLOW_BELOW, SLOW_FACTOR, 1.0)
        self.tau.copy_((self.before + factor * (self.tau - self.before)).clamp_min(SMALLEST))
        self.before = self.tau.detach().clone()
