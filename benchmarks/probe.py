"""Speed of the regularisation path of a linear probe beside scikit-learn's, at the same objective.

    python benchmarks/probe.py --json probe.json                                        D 512, n 20,000, 100 classes
    python benchmarks/probe.py --samples 2000 --width 128 --classes 20 --json probe.json

Both solve all ten C of logspace(-6, 5, 10) on the same standardised float32 features, scikit-learn once as a plain loop
over C (`cold`) and once with `warm_start` from strong to weak (`warm`), as ours does. Its default `tol` stops far above
the optimum at large C, so for each C `tol` is lowered tenfold until the objective is at most 1e-4 (relative) above
ours; only the fit that got there is timed. A fit of ours that is itself more than 1e-4 above scikit-learn's ends the
run with exit status 1. CPU seconds are summed over threads; they are what to compare on a busy machine. Objectives are
evaluated in float64, outside the timing.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import __version__ as peer_version
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from evaluation.logistic import C_PATH, rotate, solve_path
from glofnd.files import write_json
from glofnd.progress import Progress

Array = NDArray[Any]

CLOSE = 1e-4


def encoder_like(samples: int, width: int, classes: int, spread: float, seed: int = 0) -> tuple[Array, Array]:
    """Standardised float32 features [samples, width] like an encoder's: rectified, correlated, low rank and noise."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, samples)
    hidden = generator.normal(size=(classes, 32))[labels] + spread * generator.normal(size=(samples, 32))
    features = hidden @ generator.normal(size=(32, width)) / 6
    features += 0.3 * generator.normal(size=(samples, width)) * np.linspace(0.1, 1, width)
    features = np.maximum(features, 0)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    return features.astype(np.float32), labels


def objective(weights: Array, intercept: Array, features: Array, labels: Array, strength: float) -> float:
    """1/2 |W|^2 + C * sum of log-losses, in float64."""
    logits = features.astype(np.float64) @ weights.T.astype(np.float64) + intercept
    top = logits.max(axis=1)
    losses = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top - logits[np.arange(len(labels)), labels]
    return float(0.5 * (weights.astype(np.float64) ** 2).sum() + strength * losses.sum())


class Clock:
    """Wall and CPU seconds since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> Array:
        """[wall, CPU]."""
        return np.array([time.perf_counter() - self._wall, time.process_time() - self._cpu])


def ours(features: Array, labels: Array, classes: int) -> tuple[Array, list[float]]:
    """Seconds for the whole path, reductions included, and the objective per C."""
    clock = Clock()
    basis = rotate(features)
    path = solve_path(basis, labels, classes, np.ones((1, len(labels))), tolerance=1e-6)
    seconds = clock.read()
    values = []
    for strength, solution in zip(C_PATH, path, strict=True):
        weights = solution.parameters[0, :, :-1] @ basis.axes.T
        intercept = solution.parameters[0, :, -1] - weights @ basis.centre
        values.append(objective(weights, intercept, features, labels, strength))
    return seconds, values


def scikit_learn(features: Array, labels: Array, goals: list[float], limit: int, warm: bool) -> list[dict[str, Any]]:
    """Per C: seconds, `tol`, objective and iterations of the first fit within 1e-4 of the goal, or of the last one."""
    rows: list[dict[str, Any]] = []
    start: tuple[Array, Array] | None = None
    power = 4
    bar = Progress(len(C_PATH), f"scikit-learn, {'warm' if warm else 'cold'}", "fits")
    for strength, goal in zip(C_PATH, goals, strict=True):
        while True:
            model = LogisticRegression(C=strength, warm_start=True, tol=10.0**-power, max_iter=limit)
            if warm and start is not None:
                model.coef_, model.intercept_ = start[0].copy(), start[1].copy()
            clock = Clock()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(features, labels)
            seconds = clock.read()
            value = objective(model.coef_, model.intercept_, features, labels, strength)
            if value <= goal * (1 + CLOSE) or power == 12 or model.n_iter_[0] >= limit:
                break
            power += 1
        start = model.coef_, model.intercept_
        rows.append(
            {
                "C": strength,
                "tol": 10.0**-power,
                "iterations": int(model.n_iter_[0]),
                "objective": value,
                "seconds": seconds[0],
                "cpu_seconds": seconds[1],
            }
        )
        bar.advance(note=f"C {strength:.3g} tol 1e-{power}")
    bar.close()
    return rows


def main() -> None:
    """Run both and write the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", required=True, type=Path, help="where the figures go")
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--spread", type=float, default=1.2, help="spread within a class; larger classes overlap more")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-iterations", type=int, default=10_000, help="scikit-learn's max_iter")
    options = parser.parse_args()
    features, labels = encoder_like(options.samples, options.width, options.classes, options.spread)
    with threadpool_limits(options.threads):
        mine, goals = ours(features, labels, options.classes)
        peers = {
            name: scikit_learn(features, labels, goals, options.max_iterations, name == "warm")
            for name in ("cold", "warm")
        }
    totals = {
        name: {"seconds": mine[0], "cpu_seconds": mine[1]} if name == "ours" else _sums(peers[name])
        for name in ("ours", *peers)
    }
    for name, total in totals.items():
        times = total["cpu_seconds"] / mine[1]
        print(
            f"{name:5}  wall {total['seconds']:8.2f} s  CPU {total['cpu_seconds']:8.2f} s  {times:6.1f} times as long"
        )
    problem = {key: getattr(options, key) for key in ("samples", "width", "classes", "spread", "threads")}
    write_json(
        options.json,
        {
            "problem": problem,
            "totals": totals,
            "objective": dict(zip(map(str, C_PATH), goals, strict=True)),
            "scikit_learn": {"version": peer_version, **peers},
            "machine": platform.machine(),
        },
    )
    excess = max(goal / row["objective"] - 1 for rows in peers.values() for row, goal in zip(rows, goals, strict=True))
    if excess > CLOSE:
        print(f"error: an objective of ours is {excess:.1e} (relative) above scikit-learn's", file=sys.stderr)
        raise SystemExit(1)


def _sums(rows: list[dict[str, Any]]) -> dict[str, float]:
    return {key: sum(row[key] for row in rows) for key in ("seconds", "cpu_seconds")}


if __name__ == "__main__":
    main()
