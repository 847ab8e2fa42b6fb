"""False-positive rates, coverage and power of the tests and intervals in the benchmark's tables, by simulation.

    python benchmarks/significance.py                      a few minutes on one core
    python benchmarks/significance.py --trials 500         the same with fewer trials

Differences over seeds are drawn in percentage points; true gains are those of the paper's figure of ImageNet-100
(`GAIN`), spreads those of our run on Fashion-MNIST (`SPREAD`). Everything is computed by the functions that make the
tables. A rate from T trials has a standard error of at most .5 / sqrt(T).
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from evaluation.statistics.samples import compare_samples
from evaluation.statistics.seeds import compare, holm, t_test
from evaluation.statistics.tasks_together import interquartile_mean, probability_of_improvement, run_interval

Array = NDArray[Any]
Row = dict[str, Any]

LEVEL = 0.05
SEEDS = (3, 5, 10)
FAMILY = 14
"""Comparisons that Holm's correction takes together in an experiment."""

GAIN = {1.0: 1.04, 0.1: 1.15, 0.01: 1.86, 0.001: 2.57}
"""Share of the labels -> points that GloFND gains over SogCLR in the paper (ImageNet-100, ResNet-50)."""

SPREAD = {1.0: 0.36, 0.1: 0.30, 0.01: 0.93, 0.001: 1.1}
"""Share of the labels -> standard deviation over seeds of GloFND minus none, in points."""

SHAPES: dict[str, Callable[[np.random.Generator, int], Array]] = {
    "normal": lambda draw, n: draw.normal(size=n),
    "heavy tails (Student, 3 df)": lambda draw, n: draw.standard_t(3, n) / 3**0.5,
    "skewed (exponential)": lambda draw, n: draw.exponential(size=n) - 1,
}

SAMPLES = 2000
DIFFICULTY, NOISE = 0.8, 0.35
"""A test sample's distance from the decision is N(.8, 1), a trained model's own noise on it has this spread."""


def rates(found: list[Row]) -> Row:
    """The mean of every column."""
    return {name: float(np.mean([row[name] for row in found])) for name in found[0]}


def over_seeds(draw: np.random.Generator, trials: int) -> Iterator[Row]:
    """Under no effect: how often each test rejects, and how often the interval holds the true zero."""
    for n, (shape, make) in itertools.product(SEEDS, SHAPES.items()):
        each = [compare(make(draw, n)) for _ in range(trials)]
        found = [
            {"t": c.p_value <= LEVEL, "sign-flip": c.p_sign_flip <= LEVEL, "covered": c.ci_low <= 0 <= c.ci_high}
            for c in each
        ]
        yield {"seeds": n, "differences": shape, **rates(found)}


def families(draw: np.random.Generator, trials: int) -> Iterator[Row]:
    """Under no effect in a whole family: how often at least one comparison is called significant."""
    for n, shared in itertools.product(SEEDS, (0.0, 0.5)):
        found = []
        for _ in range(trials):
            d = shared**0.5 * draw.normal(size=(1, n)) + (1 - shared) ** 0.5 * draw.normal(size=(FAMILY, n))
            p = [t_test(row)[0] for row in d]
            found.append({"uncorrected": min(p) <= LEVEL, "Holm": holm(p).min() <= LEVEL})
        yield {"seeds": n, "correlation": shared, **rates(found)}


def power(draw: np.random.Generator, trials: int) -> Iterator[Row]:
    """How often a gain of the paper's size is found, alone and at the first step of Holm's correction."""
    for fraction, n in itertools.product(GAIN, SEEDS):
        each = [compare(draw.normal(GAIN[fraction], SPREAD[fraction], n)) for _ in range(trials)]
        found = [
            {"t": c.p_value <= LEVEL, "sign-flip": c.p_sign_flip <= LEVEL, "Holm": c.p_value <= LEVEL / FAMILY}
            for c in each
        ]
        yield {"labels": fraction, "gain": GAIN[fraction], "spread": SPREAD[fraction], "seeds": n, **rates(found)}


def models(draw: np.random.Generator, seeds: int, spread: float) -> tuple[Array, float]:
    """Hits [2, S, N] of two equally good methods, and these trained models' true difference.

    Args:
        draw: generator.
        seeds: trained models of each method.
        spread: standard deviation over seeds of the true difference of a pair, in points.
    """
    width = (1 + NOISE**2) ** 0.5
    slope = stats.norm.pdf(DIFFICULTY / width) / width  # accuracy gained per unit of shift
    shift = draw.normal(size=(2, seeds, 1)) * spread / 100 / slope / 2**0.5
    sample = draw.normal(DIFFICULTY, 1, SAMPLES)
    hits = sample + shift + NOISE * draw.normal(size=(2, seeds, SAMPLES)) > 0
    truth = stats.norm.cdf((DIFFICULTY + shift) / width).mean(axis=1)
    return hits.astype(np.int64), float((truth[0] - truth[1])[0])


def over_samples(draw: np.random.Generator, trials: int) -> Iterator[Row]:
    """Two equally good methods: what tests over samples say of these models, and what they must not be read as."""
    for spread, seeds in itertools.product((0.0, 1.1, 3.0), SEEDS):
        found = []
        for _ in range(trials):
            (method, baseline), own = models(draw, seeds, spread)
            c = compare_samples(method, baseline)
            low, high = t_test((method - baseline).mean(axis=1))[1:]
            found.append(
                {
                    "McNemar rejects": c.p_mcnemar <= LEVEL,
                    "sample interval holds the models'": c.sample_low <= own <= c.sample_high,
                    "sample interval holds the methods'": c.sample_low <= 0 <= c.sample_high,
                    "seed interval holds the methods'": low <= 0 <= high,
                }
            )
        yield {"spread": spread, "seeds": seeds, **rates(found)}


def over_tasks(draw: np.random.Generator, trials: int) -> Iterator[Row]:
    """Coverage over many tasks; the scores of one training are correlated (here .5)."""
    levels, shared = np.linspace(0, 30, FAMILY), 0.5
    for n in SEEDS:

        def scores(n: int = n) -> Array:
            own = (1 - shared) ** 0.5 * draw.normal(size=(n, FAMILY))
            return levels + shared**0.5 * draw.normal(size=(n, 1)) + own

        truth = float(np.mean([interquartile_mean(scores()) for _ in range(5 * trials)]))
        found = []
        for _ in range(trials):
            one, other = scores(), scores()
            mean = run_interval(interquartile_mean, one, resamples=200)
            chance = run_interval(probability_of_improvement, one, other, resamples=200)
            found.append(
                {"interquartile mean": mean[0] <= truth <= mean[1], "improvement": chance[0] <= 0.5 <= chance[1]}
            )
        yield {"seeds": n, **rates(found)}


PARTS: dict[str, tuple[Callable[[np.random.Generator, int], Iterator[Row]], float]] = {
    "tests and intervals over seeds, no effect": (over_seeds, 1.0),
    "families of comparisons, no effect": (families, 0.5),
    "power for the paper's gains": (power, 0.5),
    "two equally good methods, over test samples": (over_samples, 0.3),
    "intervals over many tasks, no effect": (over_tasks, 0.2),
}
"""What is simulated, and its share of `--trials`."""


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000, help="simulated comparisons per setting (default 2000)")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation")
    options = parser.parse_args()
    draw = np.random.default_rng(options.seed)
    for name, (simulate, share) in PARTS.items():
        trials = max(1, round(options.trials * share))
        rows = list(simulate(draw, trials))
        lines = [list(rows[0]), ["---"] * len(rows[0])]
        lines += [[f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
        print(f"\n{name} ({trials} trials)\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines), flush=True)


if __name__ == "__main__":
    main()
