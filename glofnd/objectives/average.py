"""Moving averages of each sample's contrastive sum (u of SogCLR and FastCLIP), kept as logarithms.

exp(s / tau) leaves the range of float32 for small temperatures; its logarithm does not.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from glofnd.objectives.temperatures import BatchTemperatures
from glofnd.state import SampleState

__all__ = ["COLUMN", "AveragedLoss", "MovingAverage"]

COLUMN = {"log_u": -math.inf}


class MovingAverage:
    """The u of one batch: u <- (1 - gamma) u + gamma * estimate, for each view; the sample stores the mean over views.

    A sample never seen (u = 0) takes the estimate itself. Rows without an estimate leave u alone and do not enter the
    mean.

    Args:
        state: table with the column `log_u`.
        index: sample index per anchor, int64 [B].
        gamma: weight of the new estimate.
        floor: below this u counts as never seen.
    """

    def __init__(self, state: SampleState, index: Tensor, gamma: float, floor: float = 0.0) -> None:
        self.state, self.index, self.gamma, self.floor = state, index, gamma, floor
        self.old = state.read(index, "log_u")["log_u"]
        # New log u of each tile, in the order of the batch; -inf where a sample has no estimate.
        self._new: list[Tensor] = []
        self._complete = True

    def update(self, rows: slice, log_estimate: Tensor, empty: Tensor | None) -> Tensor:
        """log u of the anchors `rows` after the update, [V, t].

        Args:
            rows: which anchors, t of them; those that follow on the last ones.
            log_estimate: log of this batch's estimate, [V, t].
            empty: rows without an estimate, bool [V, t]; they get the old log u. None where there are none.
        """
        old = self.old[rows].to(log_estimate.dtype)
        mixed = torch.logaddexp(old + _log(1 - self.gamma), log_estimate + _log(self.gamma))
        updated = torch.where(old <= _log(self.floor), log_estimate, mixed)
        if empty is None:
            self._new.append(_log_mean(updated))
            return updated
        updated = torch.where(empty, old, updated)
        views = (~empty).sum(0)
        total = updated.masked_fill(empty, -math.inf).logsumexp(0) - views.clamp_min(1).log()
        self._new.append(total)
        self._complete = False
        return updated

    def commit(self) -> None:
        """Write the new averages."""
        new = torch.cat(self._new)
        self.state.write(self.index, {"log_u": new}, None if self._complete else new > -math.inf)


class AveragedLoss:
    """What the row losses with a moving average have in common.

    Args:
        average: u of this batch.
        temperature: tau, a scalar or the learned ones of this batch.
    """

    def __init__(self, average: MovingAverage, temperature: Tensor | BatchTemperatures) -> None:
        self.average = average
        self.learned = temperature if isinstance(temperature, BatchTemperatures) else None
        self._temperature = temperature.tau if isinstance(temperature, BatchTemperatures) else temperature

    def temperature(self, rows: slice) -> Tensor:
        """tau, a scalar or [t]."""
        return self._temperature[rows] if self.learned is not None else self._temperature

    def commit(self) -> None:
        """Write u, and temperatures where they are learned."""
        self.average.commit()
        if self.learned is not None:
            self.learned.commit()


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf


def _log_mean(log_values: Tensor) -> Tensor:
    """log of the mean over the first dimension, [V, t] -> [t]."""
    total = log_values[0]
    for view in log_values[1:]:
        total = torch.logaddexp(total, view)
    return total - math.log(len(log_values))
