"""Speed of a whole linear probe beside scikit-learn's, to the same distance from the optimum.

    python benchmarks/probe.py --json probe.json                                        D 512, n 20,000, 100 classes
    python benchmarks/probe.py --samples 5000 --width 64 --classes 10 --json probe.json             half a minute

A probe is what the evaluation `linear` does: all ten C of logspace(-6, 5, 10) fitted on four fifths of the labels, the
best one on the last fifth chosen, and refitted on all. Ours is `fit_probe` itself. scikit-learn's `LogisticRegression`
(lbfgs) is run in float32 and in float64, each C from zero (`cold`, what a plain loop over C does) and each from the C
before (`warm`), with as many BLAS threads as serve it best. Its `tol` is lowered by factors of 2 until the objective is
within 1e-4 (relative) of its minimum; only that fit is timed, the search is not. `plain` is float64 and cold: float32
may end before it is there, and then its fit is marked `reached: false`.

The minima come from our solver at a tolerance of 1e-6 and are verified: the duality gap, in float64 and from the
definition, has to be below 1e-5. Ends with exit status 1 if a path fit of ours is more than 1e-4 above the minimum, or
if fewer than 99.9 % of the test predictions of our refit equal those of scikit-learn's at its optimum.

Features are synthetic, with what makes real frozen features hard to probe: a power-law spectrum (variance of principal
axis j about 1/j), classes in groups of five whose means differ along the leading axes, covariances that differ between
classes, samples of different spread, rectified and standardised. At the default size the best test accuracy is near
that of a linear probe on 100 classes of ImageNet (75 %), and nearly all training samples can be separated at a weak
penalty.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import __version__ as peer_version
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.probe_peer import CLOSE, Clock, best_threads, fit_until, objective, run_path
from evaluation.logistic import C_PATH, rotate, solve, solve_path
from evaluation.probe import PATH_TOLERANCE, fit_probe
from evaluation.splits import HOLD_OUT_FROM, fold_masks
from glofnd.files import write_json

Array = NDArray[Any]

VERIFIED = 1e-5
EQUAL = 0.999
TESTED = 10_000
SEED = 0

TOLS = [1.8e-3, 1.3e-3, 9e-4, 3.2e-4, 4.7e-5, 4.2e-6, 3.2e-7, 2.4e-8, 2e-9, 1.7e-10]
"""`tol` to try first per C: about the largest that is enough at the default size."""


def encoder_like(samples: int, width: int, classes: int, overlap: float, seed: int = 0) -> tuple[Array, Array]:
    """Standardised float32 features [samples, width] and labels; see above for what they are like."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, samples)
    axis = np.arange(1, width + 1.0)
    groups = generator.normal(size=(-(-classes // 5), width))
    means = 0.7 * (groups[np.arange(classes) // 5] + generator.normal(size=(classes, width))) * axis**-0.75
    shape = np.exp(0.3 * generator.normal(size=(classes, width))) * axis**-0.5
    spread = np.exp(0.2 * generator.normal(size=(samples, 1)))
    latent = means[labels] + overlap * shape[labels] * spread * generator.normal(size=(samples, width))
    features = latent @ np.linalg.qr(generator.normal(size=(width, width)))[0]
    features = np.maximum(features / features.std(axis=0) + 0.3, 0)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    return features.astype(np.float32), labels


@dataclass(frozen=True)
class Problem:
    """Training and test features of one probe; `mask` [1, n] is what the fits of the path see."""

    features: Array
    labels: Array
    test: Array
    test_labels: Array
    classes: int
    mask: Array
    threads: int


def make_problem(samples: int, width: int, classes: int, overlap: float, threads: int) -> Problem:
    """A problem of `samples` training and 10,000 test samples."""
    features, labels = encoder_like(samples + TESTED, width, classes, overlap)
    train, test = slice(0, samples), slice(samples, None)
    mask = fold_masks(labels[train], 1, SEED)
    return Problem(features[train], labels[train], features[test], labels[test], classes, mask, threads)


def duality_gap(weights: Array, intercept: Array, features: Array, labels: Array, strength: float) -> float:
    """1/2 |df/dW|^2 as a share of f, in float64, with the intercept moved to its own optimum."""
    features = features.astype(np.float64)
    logits = features @ weights.T
    counts = np.bincount(labels, minlength=len(weights))
    for _ in range(50):
        shifted = logits + intercept
        p = np.exp(shifted - shifted.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        excess = p.sum(axis=0) - counts
        if np.abs(excess).max() <= 1e-9 * len(labels):
            break
        curvature = np.diag(p.sum(axis=0)) - p.T @ p
        intercept = intercept - np.linalg.lstsq(curvature, excess, rcond=1e-12)[0]
    p[np.arange(len(labels)), labels] -= 1
    slope = weights + strength * p.T @ features
    return float(0.5 * (slope**2).sum() / objective(weights, intercept, features, labels, strength))


def measure_ours(problem: Problem) -> tuple[dict[str, Any], list[float], Array]:
    """Our probe, timed; then, untimed, the minima per C (last: of the refit) and how far its fits are above them.

    Returns:
        Figures, minima, and what the probe predicts for the test samples.
    """
    clock = Clock()
    probe = fit_probe(problem.features, problem.labels, problem.classes, "top1", SEED)
    scores = probe.scores(problem.test)
    figures: dict[str, Any] = {**clock.read()}
    basis = rotate(problem.features)
    shared = (basis, problem.labels, problem.classes)
    everything = np.ones((1, len(problem.labels)), dtype=bool)
    fits = [
        *(
            (problem.mask, strength, fit)
            for strength, fit in zip(C_PATH, solve_path(*shared, problem.mask), strict=True)
        ),
        (everything, probe.strength, solve(*shared, everything, np.array([probe.strength]))),
    ]
    minima = []
    for mask, strength, fit in fits:
        weights = fit.parameters[0, :, :-1].astype(np.float64) @ basis.axes.T.astype(np.float64)
        intercept = fit.parameters[0, :, -1] - weights @ basis.centre
        rows = problem.features[mask[0]], problem.labels[mask[0]]
        minima.append(objective(weights, intercept, *rows, strength))
        gap = duality_gap(weights, intercept, *rows, strength)
        if gap > VERIFIED:
            raise SystemExit(f"error: the minimum at C {strength:.3g} is known only within {gap:.1e}")
    path = solve_path(*shared, problem.mask, tolerance=PATH_TOLERANCE)
    excess = [float(fit.objective[0]) / goal - 1 for fit, goal in zip(path, minima, strict=False)]
    figures |= {"strength": probe.strength, "gap": probe.gap, "path_excess": excess}
    return figures, minima, scores.argmax(axis=1)


def measure_peer(problem: Problem, precision: str, warm: bool, strength: float, minima: list[float]) -> dict[str, Any]:
    """scikit-learn's path and refit at `strength`, each as far as within 1e-4 of the minimum."""
    features, seen = problem.features.astype(precision), problem.mask[0]
    name = f"{precision}, {'warm' if warm else 'cold'}"
    threads = best_threads(features, problem.labels, problem.threads)
    with threadpool_limits(threads):
        fits = run_path(name, features[seen], problem.labels[seen], C_PATH, minima[:-1], TOLS, warm)
        chosen = int(np.argmin(np.abs(C_PATH - strength)))
        start = fits[chosen].model if warm else None
        last = fit_until(features, problem.labels, strength, minima[-1], TOLS[chosen], start)
    rows = [fit.row for fit in (*fits, last)]
    held_out = [(fit.model.predict(features[~seen]) == problem.labels[~seen]).mean() for fit in fits]
    return {
        "seconds": sum(row["seconds"] for row in rows),
        "cpu_seconds": sum(row["cpu_seconds"] for row in rows),
        "threads": threads,
        "strength": float(C_PATH[int(np.argmax(held_out))]),
        "reached": all(row["reached"] for row in rows),
        "path": rows[:-1],
        "refit": rows[-1],
    }


def agreement(problem: Problem, strength: float, minimum: float, predicted: Array) -> dict[str, float]:
    """Our refit beside scikit-learn's at its optimum: equal test predictions, and the difference in objective."""
    # The gap falls with the square of `tol`: to a millionth of the path's.
    tol = TOLS[int(np.argmin(np.abs(C_PATH - strength)))] / 1000
    model = LogisticRegression(C=strength, tol=tol, max_iter=5000)
    model.fit(problem.features.astype(np.float64), problem.labels)
    theirs = objective(model.coef_, model.intercept_, problem.features, problem.labels, strength)
    equal = (model.predict(problem.test.astype(np.float64)) == predicted).mean()
    return {"predictions_equal": float(equal), "objective_difference": minimum / theirs - 1}


def main() -> None:
    """Run both and write the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", required=True, type=Path, help="where the figures go")
    parser.add_argument("--samples", type=int, default=20_000, help="at least 5,000: below, C is validated by folds")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument(
        "--overlap", type=float, default=1.25, help="spread within a class; larger classes overlap more"
    )
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.samples < HOLD_OUT_FROM:
        parser.error(f"--samples: at least {HOLD_OUT_FROM}")
    problem = make_problem(options.samples, options.width, options.classes, options.overlap, options.threads)
    with threadpool_limits(options.threads):
        mine, minima, predicted = measure_ours(problem)
        print(f"{'ours':14} {mine['seconds']:7.1f} s  CPU {mine['cpu_seconds']:7.1f} s", flush=True)
        strength = mine["strength"]
        alike = agreement(problem, strength, minima[-1], predicted)
    peers = {}
    for precision, start in (("float64", "cold"), ("float64", "warm"), ("float32", "cold"), ("float32", "warm")):
        name = f"{precision}, {start}"
        found = peers[name] = measure_peer(problem, precision, start == "warm", strength, minima)
        found["times_as_long"] = found["seconds"] / mine["seconds"]
        print(
            f"{name:14} {found['seconds']:7.1f} s  CPU {found['cpu_seconds']:7.1f} s  "
            f"{found['times_as_long']:5.1f} times as long{'' if found['reached'] else ', not within 1e-4 everywhere'}",
            flush=True,
        )
    settings = {key: value for key, value in vars(options).items() if key != "json"}
    write_json(
        options.json,
        {
            "problem": settings | {"accuracy": float((predicted == problem.test_labels).mean())},
            "ours": mine,
            "minima": minima,
            "agreement": alike,
            "scikit_learn": {"version": peer_version, **peers},
            "plain": "float64, cold",
            "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        },
    )
    print(
        f"equal predictions {alike['predictions_equal']:.2%}, objective {alike['objective_difference']:+.1e} (relative)"
    )
    if max(mine["path_excess"]) > CLOSE or alike["objective_difference"] > CLOSE or alike["predictions_equal"] < EQUAL:
        print("error: our fits are not where scikit-learn's are", file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    main()
