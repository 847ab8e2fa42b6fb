"""SogCLR (Yuan et al., ICML 2022, arXiv 2202.12387): the contrastive sum over the whole data set, in small batches;
iSogCLR (Qiu et al., ICML 2023, arXiv 2305.11965): the same with one learned temperature per sample.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from glofnd.detectors import Detector
from glofnd.objectives.averages import LOG_U, individual_temperatures, move_temperatures, moving_average, reported
from glofnd.objectives.engine import Rows
from glofnd.objectives.objective import Gamma, Objective, Rho, Temperature, TemperatureStep
from glofnd.parameters import Range, checked

__all__ = ["ISogCLR", "SogCLR"]


class SogCLR(Objective):
    """sum over views k of mean_i [ -p_i + sum_kept w s / n_k ], with w = stopgrad(e^{s/tau} / u_k).

    G_k is the mean of e^{s/tau} over the kept negatives of view k, u_k = (1 - gamma) u_i + gamma G_k its moving
    average, and the sample stores the mean of u_1 and u_2. At its first visit u_k = G_k. A row with no negative left
    contributes -p_i and leaves u alone.
    """

    @checked
    def __init__(
        self, num_samples: int, temperature: Temperature = 0.1, gamma: Gamma = 0.9, detector: Detector | None = None
    ) -> None:
        super().__init__(num_samples, detector, LOG_U)
        self.tau, self.gamma = temperature, gamma

    def shared(self) -> dict[str, Tensor]:
        """tau."""
        return {"temperature": torch.tensor(self.tau, dtype=torch.float64)}

    def values(self, rows: Rows) -> Tensor:
        """-p + sum w s / n. Its gradient, w / n for each s, is that of tau G / stopgrad(u)."""
        log_u = moving_average(rows, rows.log_mean, self.gamma)
        ratio = (rows.log_mean - log_u).exp()
        return reported(ratio * rows.mean, rows.temperature.detach() * ratio) - rows.alignment


class ISogCLR(Objective):
    """SogCLR with temperatures tau_i that minimise tau_i * (log u_i + rho): a sample in a dense neighbourhood gets a
    high one and keeps its neighbours, a rare one a low one.

    g_i = mean over views of [ log u_k - sum_kept w s / (n_k tau_i) ] + rho drives them (`move_temperatures`); the loss
    of the batch uses the temperatures from before it.
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
        columns = individual_temperatures(temperature, temperature_min, temperature_max)
        super().__init__(num_samples, detector, {**LOG_U, **columns})
        self.gamma, self.rule = gamma, (rho, temperature_lr, temperature_min, temperature_max)

    def shared(self) -> dict[str, Tensor]:
        """Nothing: every sample has its own temperature."""
        return {}

    def values(self, rows: Rows) -> Tensor:
        """As in SogCLR."""
        log_u, tau = moving_average(rows, rows.log_mean, self.gamma), rows.temperature
        ratio = (rows.log_mean - log_u).exp()
        move_temperatures(rows, log_u - ratio * rows.mean / tau, *self.rule)
        return reported(ratio * rows.mean, tau * ratio) - rows.alignment
