"""scikit-learn's side of benchmarks/probe.py: each fit stopped as soon as it is within 1e-4 of the minimum."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from glofnd.progress import Progress

__all__ = ["CLOSE", "Clock", "best_threads", "fit_until", "objective", "run_path"]

Array = NDArray[Any]

CLOSE = 1e-4
_ITERATIONS = 5000
_TRIES = 12


def objective(weights: Array, intercept: Array, features: Array, labels: Array, strength: float) -> float:
    """1/2 |W|^2 + C * sum of log-losses, in float64."""
    weights = weights.astype(np.float64)
    logits = features.astype(np.float64) @ weights.T + intercept
    top = logits.max(axis=1)
    losses = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top - logits[np.arange(len(labels)), labels]
    return float(0.5 * (weights**2).sum() + strength * losses.sum())


class Clock:
    """Wall and CPU seconds since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """CPU seconds are summed over threads."""
        return {"seconds": time.perf_counter() - self._wall, "cpu_seconds": time.process_time() - self._cpu}


@dataclass
class Fit:
    """A fitted model and what its fit took."""

    model: LogisticRegression
    row: dict[str, Any]


def _fit(features: Array, labels: Array, strength: float, tol: float, limit: int, start: Any) -> Fit:
    model = LogisticRegression(C=strength, tol=tol, max_iter=limit, warm_start=start is not None)
    if start is not None:
        model.coef_, model.intercept_ = start.coef_.copy(), start.intercept_.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clock = Clock()
        model.fit(features, labels)
        return Fit(model, clock.read())


def best_threads(features: Array, labels: Array, available: int) -> int:
    """Number of BLAS threads with which a few iterations are fastest."""
    seconds = {}
    for threads in range(1, available + 1):
        with threadpool_limits(threads):
            seconds[threads] = min(_fit(features, labels, 1.0, 1e-12, 5, None).row["seconds"] for _ in range(3))
    return min(seconds, key=seconds.__getitem__)


def fit_until(features: Array, labels: Array, strength: float, goal: float, tol: float, start: Any = None) -> Fit:
    """The first fit that comes within 1e-4 of `goal` as `tol` is halved.

    If lowering it changes nothing any more (the precision is exhausted), that is the last one.
    """
    before = np.inf
    for _ in range(_TRIES):
        fit = _fit(features, labels, strength, tol, _ITERATIONS, start)
        value = objective(fit.model.coef_, fit.model.intercept_, features, labels, strength)
        reached = value <= goal * (1 + CLOSE)
        fit.row |= {
            "C": strength,
            "tol": tol,
            "iterations": int(fit.model.n_iter_[0]),
            "excess": value / goal - 1,
            "reached": reached,
        }
        if reached or value == before:
            break
        before, tol = value, tol / 2
    return fit


def run_path(
    name: str, features: Array, labels: Array, strengths: Array, goals: list[float], tols: list[float], warm: bool
) -> list[Fit]:
    """A fit per C, from weak to strong C, each from zero or from the one before."""
    fits: list[Fit] = []
    bar = Progress(len(strengths), f"scikit-learn, {name}", "fits")
    for strength, goal, tol in zip(strengths, goals, tols, strict=True):
        fits.append(fit_until(features, labels, strength, goal, tol, fits[-1].model if warm and fits else None))
        row = fits[-1].row
        bar.advance(note=f"C {strength:.3g}, {row['iterations']} iterations")
    bar.close()
    return fits
