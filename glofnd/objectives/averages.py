"""Per-sample state of the global objectives: the moving average u, and temperatures of their own.

u is kept as its logarithm: exp(s / tau) leaves the range of float32 for small temperatures.
"""

from __future__ import annotations

import math

from torch import Tensor, logaddexp, where

from glofnd.objectives.engine import Rows

__all__ = ["LOG_U", "individual_temperatures", "move_temperatures", "moving_average", "reported"]

LOG_U = {"log_u": -math.inf}
"""Column of the state table; u is 0 for a sample never seen."""

MOMENTUM = 0.9


def moving_average(rows: Rows, log_estimate: Tensor, gamma: float, floor: float = 0.0) -> Tensor:
    """log u of every row, [V, t], for u <- (1 - gamma) u + gamma * estimate; not differentiated.

    A sample never seen (u <= floor) takes the estimate itself. It stores the mean of u over its views. Rows without
    negatives give 0 here and do not enter that mean.

    Args:
        rows: the rows.
        log_estimate: log of this batch's estimate, [V, t].
        gamma: weight of the estimate.
        floor: below this u counts as never seen.
    """
    old, estimate = rows.state["log_u"], log_estimate.detach()
    mixed = logaddexp(old + _log(1 - gamma), estimate + _log(gamma))
    log_u = where(old <= _log(floor), estimate, mixed)
    # Never larger than the largest view, so that the mean of small and large u stays in range.
    largest = log_u.masked_fill(rows.empty, -math.inf).amax(0).clamp_min(-1e30)
    rows.store(log_u=rows.mean_over_views((log_u - largest).exp()).log() + largest)
    return log_u.masked_fill(rows.empty, 0)


def individual_temperatures(temperature: float, low: float, high: float) -> dict[str, float]:
    """Columns of the state table: one temperature per sample within [low, high] and its velocity."""
    if not low < high:
        raise ValueError(f"temperature_min must be below temperature_max; got {low} and {high}")
    if not low <= temperature <= high:
        raise ValueError(f"temperature {temperature} lies outside [{low}, {high}]")
    return {"temperature": temperature, "velocity": 0.0}


def move_temperatures(rows: Rows, slope: Tensor, rho: float, lr: float, low: float, high: float) -> None:
    """Store temperatures after one step of momentum descent on tau_i (log u_i + rho) (iSogCLR, arXiv 2305.11965).

    g = mean over views of `slope` + rho;  velocity = .9 velocity + .1 g;  tau = clamp(tau - lr velocity, low, high).
    They are state and no parameters of the optimiser, so the cost of a step does not grow with the data set.
    """
    g = rows.mean_over_views(slope.detach()) + rho
    velocity = MOMENTUM * rows.state["velocity"] + (1 - MOMENTUM) * g
    rows.store(temperature=(rows.state["temperature"] - lr * velocity).clamp(low, high), velocity=velocity)


def reported(value: Tensor, surrogate: Tensor) -> Tensor:
    """`value`, with the gradient of `surrogate`: for published losses with stop-gradients."""
    return surrogate + (value - surrogate).detach()


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf
