"""Speed of a whole linear probe beside scikit-learn's, and how far its refit is from scikit-learn's optimum.

    python benchmarks/probe.py                                                  20,000 x 512 features, 100 classes
    python benchmarks/probe.py --samples 4450 --width 768 --classes 99 --overlap 0.5            classes can be separated
    python benchmarks/probe.py --npz FILE                                       arrays x [n, F], y [n], t [M, F], ty [M]

A probe is what the evaluation `linear` does: C chosen from logspace(-6, 5, 10) on folds of the training labels, then a
refit on all. scikit-learn's `LogisticRegression` (lbfgs, float64, its own tolerance, at most 1,000 iterations) fits the
same training part of the first fold at all ten C, each from zero (`plain`) or from the C before (`warm`); where we have
several folds it still has one. Its refit at our C has the largest tolerance with which it comes within 1e-4 (relative)
of the optimum, which it is given at a hundredth of its own. Both have one thread; CPU seconds are compared, so that a
busy machine does not decide. Ends with exit status 1 where our refit is more than 1e-4 above that optimum.

The synthetic features have what makes real frozen features hard to probe: a power-law spectrum (variance of principal
axis j about 1/j), classes in groups of five whose means differ along the leading axes, covariances that differ between
classes, samples of different spread, rectified and standardised.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from evaluation.probing.logistic import C_PATH, fit_probe, standardise
from evaluation.probing.subsets import fold_masks

Array = NDArray[Any]


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
    return ((features - features.mean(axis=0)) / features.std(axis=0)).astype(np.float32), labels


def objective(weights: Array, intercept: Array, features: Array, labels: Array, strength: float) -> float:
    """1/2 |W|^2 + C * sum of log-losses, in float64."""
    logits = features.astype(np.float64) @ weights.T + intercept
    top = logits.max(axis=1)
    losses = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top - logits[np.arange(len(labels)), labels]
    return float(0.5 * (weights**2).sum() + strength * losses.sum())


def path(features: Array, labels: Array, warm: bool) -> list[LogisticRegression]:
    """scikit-learn's fits at every C."""
    models: list[LogisticRegression] = []
    for strength in C_PATH:
        model = LogisticRegression(C=strength, max_iter=1000, warm_start=warm)
        if warm and models:
            model.coef_, model.intercept_ = models[-1].coef_.copy(), models[-1].intercept_.copy()
        models.append(model.fit(features, labels))
    return models


def main() -> None:
    """Run both and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--overlap", type=float, default=1.25, help="spread within a class")
    parser.add_argument("--npz", type=Path, help="features of your own")
    parser.add_argument("--skip-plain", action="store_true", help="only warm starts")
    options = parser.parse_args()
    if options.npz:
        with np.load(options.npz) as file:
            x, labels, test, truth = (file[name] for name in ("x", "y", "t", "ty"))
    else:
        drawn, classes = encoder_like(options.samples + 5000, options.width, options.classes, options.overlap)
        x, labels = drawn[: options.samples], classes[: options.samples]
        test, truth = drawn[options.samples :], classes[options.samples :]
    train, test = standardise(x, test)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    with threadpool_limits(1):
        start = time.process_time()
        probe = fit_probe(train, labels, int(labels.max()) + 1, "top1", seed=0)
        ours, strength = time.process_time() - start, probe.strength
        right = (probe.scores(test).argmax(axis=1) == truth).mean()
        print(f"ours {ours:.1f} s: C {strength:.3g} ({probe.selection}), test {right:.4f}", flush=True)
        mask, double = fold_masks(labels, seed=0)[0], train.astype(np.float64)
        exact = LogisticRegression(C=strength, max_iter=20_000, tol=1e-6).fit(double, labels)
        least = objective(exact.coef_, exact.intercept_, train, labels, strength)
        excess = objective(probe.weights, probe.intercept, train, labels, strength) / least - 1
        print(f"our refit's objective is {excess:+.1e} (relative) from scikit-learn's at tol 1e-6", flush=True)
        for tolerance in (1e-4, 3e-5, 1e-5, 3e-6, 1e-6):
            start = time.process_time()
            refit = LogisticRegression(C=strength, max_iter=20_000, tol=tolerance).fit(double, labels)
            last = time.process_time() - start
            if objective(refit.coef_, refit.intercept_, train, labels, strength) <= least * (1 + 1e-4):
                break
        right = refit.score(test.astype(np.float64), truth)
        for warm in (True, *([] if options.skip_plain else [False])):
            start = time.process_time()
            models = path(double[mask], labels[mask], warm)
            theirs = time.process_time() - start + last
            best = models[int(np.argmax([model.score(double[~mask], labels[~mask]) for model in models]))]
            print(
                f"{'warm' if warm else 'plain'} {theirs:.1f} s, {last:.1f} of them the refit (tol {tolerance:g}): "
                f"C {best.C:.3g}, test {right:.4f}; {theirs / ours:.1f} times as long",
                flush=True,
            )
    raise SystemExit(excess > 1e-4)


if __name__ == "__main__":
    main()
