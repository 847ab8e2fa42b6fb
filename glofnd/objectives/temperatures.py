"""One learned temperature per sample (iSogCLR, Qiu et al., ICML 2023, arXiv 2305.11965).

They are per-sample state and not parameters of the optimiser: a step moves the temperatures of its batch alone, so its
cost does not grow with the data set.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from glofnd.state import SampleState

__all__ = ["BatchTemperatures", "TemperatureRule"]


@dataclass(frozen=True)
class TemperatureRule:
    """Momentum descent on tau_i * (log u_i + rho) within [low, high].

    velocity = 0.9 velocity + 0.1 g,   tau = clamp(tau - lr * velocity, low, high).
    """

    lr: float
    rho: float
    low: float
    high: float
    momentum: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high:
            raise ValueError(f"0 < temperature_min < temperature_max must hold; got {self.low} and {self.high}")

    def columns(self, temperature: float) -> dict[str, float]:
        """State per sample, with initial values."""
        if not self.low <= temperature <= self.high:
            raise ValueError(f"temperature {temperature} lies outside [{self.low}, {self.high}]")
        return {"temperature": temperature, "velocity": 0.0}


class BatchTemperatures:
    """The temperatures of one batch.

    Args:
        rule: how they move.
        state: table with the columns of the rule.
        index: sample index per anchor, int64 [B].
    """

    def __init__(self, rule: TemperatureRule, state: SampleState, index: Tensor) -> None:
        self.rule, self.state, self.index = rule, state, index
        rows = state.read(index, "temperature", "velocity")
        self.tau, self.velocity = rows["temperature"], rows["velocity"]
        self.new = self.tau.clone()
        self.valid = torch.zeros_like(index, dtype=torch.bool)

    def update(self, rows: slice, gradient: Tensor, empty: Tensor | None) -> None:
        """Take in the derivative of the row loss without rho, [V, t]; empty rows do not count."""
        if empty is None:
            g, valid = gradient.mean(0) + self.rule.rho, torch.ones_like(self.valid[rows])
        else:
            views = (~empty).sum(0)
            g, valid = gradient.masked_fill(empty, 0).sum(0) / views.clamp_min(1) + self.rule.rho, views > 0
        velocity = torch.lerp(g.to(self.velocity.dtype), self.velocity[rows], self.rule.momentum)
        moved = (self.tau[rows] - self.rule.lr * velocity).clamp(self.rule.low, self.rule.high)
        self.velocity[rows], self.new[rows], self.valid[rows] = velocity, moved, valid

    def commit(self) -> None:
        """Write the new temperatures."""
        self.state.write(self.index, {"temperature": self.new, "velocity": self.velocity}, self.valid)
