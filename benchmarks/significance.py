"""False-positive rates, coverage and power of every test and interval that the benchmark reports, by simulation.

    python benchmarks/significance.py --json significance.json           all findings, under two minutes on one core
    python benchmarks/significance.py --trials 500 --json quick.json     the same with fewer trials

Differences over seeds are drawn in percentage points with the spreads that the default benchmark had (`SPREAD`), true
gains are those of the paper's Table of ImageNet-100 (`GAIN`, docs/significance.md). Trials are solved together, as
arrays; before that every array formula is compared with the function of `evaluation` that it stands for, and a
disagreement ends the run with exit status 1. A rate from T trials has a standard error of at most .5 / sqrt(T).
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from evaluation import significance
from evaluation.overall import interquartile_mean
from evaluation.sample_tests import crossed_interval, mcnemar_p, sample_interval
from glofnd.files import write_json
from glofnd.progress import Progress

Array = NDArray[Any]
Row = dict[str, Any]

LEVEL = 0.05
SEEDS = (3, 5, 10)
FAMILY = 14
"""Comparisons that Holm's correction takes together in the default Fashion-MNIST experiment."""

GAIN = {1.0: 1.04, 0.1: 1.15, 0.01: 1.86, 0.001: 2.57}
"""Share of the labels -> points that GloFND gains over SogCLR in the paper (ImageNet-100, ResNet-50)."""

SPREAD = {1.0: 0.36, 0.1: 0.30, 0.01: 0.93, 0.001: 1.1}
"""Share of the labels -> standard deviation over seeds of GloFND minus none in the default run, in points."""

SHAPES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "normal": lambda draw, size: draw.normal(size=size),
    "heavy tails (Student, 3 df)": lambda draw, size: draw.standard_t(3, size) / 3**0.5,
    "skewed (exponential)": lambda draw, size: draw.exponential(size=size) - 1,
}


def t_p(d: Array) -> Array:
    """Paired t-test of differences [T, n]."""
    return np.asarray(stats.ttest_1samp(d, 0.0, axis=1).pvalue)


def flip_p(d: Array) -> Array:
    """Exact sign-flip test of [T, n]."""
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=d.shape[1])))
    sums = np.abs(np.abs(d) @ signs.T)
    return np.asarray((sums >= np.abs(d.sum(axis=1, keepdims=True)) - 1e-9).mean(axis=1))


def wilcoxon_p(d: Array) -> Array:
    """Exact Wilcoxon signed-rank test of [T, n] without ties."""
    return flip_p(np.sign(d) * stats.rankdata(np.abs(d), axis=1))


TESTS = {"paired t": t_p, "sign-flip": flip_p, "Wilcoxon": wilcoxon_p}


def bootstrap(d: Array, draw: np.random.Generator, tail: float, resamples: int = 2000) -> Array:
    """Ends [2, T] of percentile bootstrap intervals of [T, n]; the same resamples for all trials."""
    n = d.shape[1]
    if n <= significance.ENUMERATED:
        drawn = np.indices((n,) * n).reshape(n, -1).T
    else:
        drawn = draw.integers(n, size=(resamples, n))
    weights = (drawn[:, :, None] == np.arange(n)).mean(axis=1)
    ends = [np.quantile(part @ weights.T, [tail, 1 - tail], axis=1) for part in np.array_split(d, len(d) // 2000 + 1)]
    return np.concatenate(ends, axis=1)


def student(d: Array) -> Array:
    """Ends [2, T] of t intervals."""
    half = stats.t.ppf(1 - LEVEL / 2, d.shape[1] - 1) * d.std(axis=1, ddof=1) / d.shape[1] ** 0.5
    return np.stack([d.mean(axis=1) - half, d.mean(axis=1) + half])


def covers(ends: Array, truth: float = 0.0) -> float:
    """Share of intervals [2, T] that hold the truth."""
    return float(np.mean((ends[0] <= truth) & (truth <= ends[1])))


def check(draw: np.random.Generator) -> None:
    """Array formulas against the functions that the benchmark calls."""
    for n in SEEDS:
        d = draw.normal(0.5, 1, (6, n))
        offered = (significance.t_p, significance.sign_flip_p, significance.wilcoxon_p)
        for (name, vectorised), single in zip(TESTS.items(), offered, strict=True):
            if not np.allclose(vectorised(d), [single(row) for row in d]):
                raise SystemExit(f"error: {name} at n = {n}: the simulated test is not the offered one")
        if not np.allclose(student(d).T, [significance.t_interval(row) for row in d]):
            raise SystemExit(f"error: t interval at n = {n}: the simulated one is not the offered one")
        ends = bootstrap(d, draw, significance.expanded_tail(n))
        single_ends = np.array([significance.bootstrap_interval(row) for row in d]).T
        if not np.allclose(ends, single_ends, atol=0.15 * float(d.std())):
            raise SystemExit(f"error: bootstrap interval at n = {n}: the simulated one is not the offered one")


def over_seeds(draw: np.random.Generator, trials: int) -> Iterator[Row]:
    """Under no effect: how often each test rejects, and how often each interval holds the true zero."""
    for n, (shape, make) in itertools.product(SEEDS, SHAPES.items()):
        d = make(draw, (trials, n))
        row: Row = {"seeds": n, "differences": shape}
        row |= {f"{name} rejects": float(np.mean(test(d) <= LEVEL)) for name, test in TESTS.items()}
        row["t interval covers"] = covers(student(d))
        row["bootstrap interval covers"] = covers(bootstrap(d, draw, significance.expanded_tail(n)))
        row["plain percentile bootstrap covers"] = covers(bootstrap(d, draw, LEVEL / 2))
        yield row


def families(draw: np.random.Generator, trials: int) -> Iterator[Row]:
    """Under no effect in a whole family: how often at least one comparison is called significant."""
    for n, shared in itertools.product(SEEDS, (0.0, 0.5)):
        d = shared**0.5 * draw.normal(size=(trials, 1, n)) + (1 - shared) ** 0.5 * draw.normal(size=(trials, FAMILY, n))
        p = t_p(d.reshape(-1, n)).reshape(trials, FAMILY)
        corrected = np.array([significance.holm(row) for row in p])
        yield {
            "seeds": n,
            "correlation of comparisons": shared,
            "any p below .05": float(np.mean(p.min(axis=1) <= LEVEL)),
            "any Holm p below .05": float(np.mean(corrected.min(axis=1) <= LEVEL)),
        }


def power(draw: np.random.Generator, trials: int) -> Iterator[Row]:
    """How often a gain of the paper's size is found."""
    for fraction, n in itertools.product(GAIN, SEEDS):
        d = draw.normal(GAIN[fraction], SPREAD[fraction], (trials, n))
        yield {
            "labels": fraction,
            "gain": GAIN[fraction],
            "spread": SPREAD[fraction],
            "seeds": n,
            **{name: float(np.mean(test(d) <= LEVEL)) for name, test in TESTS.items()},
            f"t after Holm over {FAMILY}, first step": float(np.mean(t_p(d) <= LEVEL / FAMILY)),
        }


SAMPLES = 2000
DIFFICULTY, NOISE = 0.8, 0.35
"""A test sample's distance from the decision is N(.8, 1), a trained model's own noise on it has this spread."""


def models(draw: np.random.Generator, seeds: int, spread: float, gain: float = 0.0) -> tuple[Array, float]:
    """Differences of hits [S, N] of two methods, and these trained models' true difference.

    Args:
        draw: generator.
        seeds: trained models of each method.
        spread: standard deviation over seeds of the true difference of a pair, in points.
        gain: true difference of the methods, in points.
    """
    width = (1 + NOISE**2) ** 0.5
    slope = stats.norm.pdf(DIFFICULTY / width) / width  # accuracy gained per unit of shift
    shift = draw.normal(size=(2, seeds, 1)) * spread / 100 / slope / 2**0.5
    shift[0] += gain / 100 / slope
    sample = draw.normal(DIFFICULTY, 1, SAMPLES)
    hits = sample + shift + NOISE * draw.normal(size=(2, seeds, SAMPLES)) > 0
    truth = stats.norm.cdf((DIFFICULTY + shift) / width).mean(axis=1)
    return hits[0].astype(np.int64) - hits[1], float((truth[0] - truth[1])[0])


def pigeonhole(d: Array, draw: np.random.Generator, resamples: int = 200) -> Array:
    """Percentile interval when rows and columns of [S, N] are resampled independently (Owen 2007)."""
    seeds, samples = d.shape
    rows = draw.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)
    columns = draw.integers(samples, size=(resamples, samples))
    means = np.array([(row @ d)[column].mean() for row, column in zip(rows, columns, strict=True)]) / seeds
    return np.quantile(means, [LEVEL / 2, 1 - LEVEL / 2])


def over_samples(draw: np.random.Generator, trials: int) -> Iterator[Row]:
    """Two equally good methods: what tests over samples say of these models, and what they must not be read as."""
    for spread, seeds in itertools.product((0.0, 1.1, 3.0), SEEDS):
        found: dict[str, list[bool]] = {}

        def note(name: str, value: bool, found: dict[str, list[bool]] = found) -> None:
            found.setdefault(name, []).append(bool(value))

        for _ in range(trials):
            d, own = models(draw, seeds, spread)
            note("McNemar of one seed rejects", mcnemar_p(d[0]) <= LEVEL)
            note("McNemar of all seeds rejects", mcnemar_p(d.sum(axis=0)) <= LEVEL)
            low, high = sample_interval(d, resamples=500)
            note("sample interval covers these models' difference", low <= own <= high)
            note("sample interval covers the methods' difference", low <= 0 <= high)
            low, high = student(d.mean(axis=1)[None])[:, 0]
            note("seed interval covers the methods' difference", low <= 0 <= high)
            low, high = crossed_interval(d)
            note("crossed interval covers the methods' difference", low <= 0 <= high)
            low, high = pigeonhole(d, draw)
            note("pigeonhole bootstrap covers the methods' difference", low <= 0 <= high)
        yield {"spread over seeds": spread, "seeds": seeds} | {k: float(np.mean(v)) for k, v in found.items()}


def power_over_samples(draw: np.random.Generator, trials: int) -> Iterator[Row]:
    """How often a gain of the paper's size is found, by seeds alone, by these models' samples, and by both."""
    for fraction, seeds in itertools.product((1.0, 0.001), SEEDS):
        found = []
        for _ in range(trials):
            d, _ = models(draw, seeds, SPREAD[fraction], GAIN[fraction])
            by_seed, crossed = student(d.mean(axis=1)[None])[:, 0], crossed_interval(d)
            found.append([by_seed[0] > 0, crossed[0] > 0, mcnemar_p(d.sum(axis=0)) <= LEVEL])
        names = ("seed interval above 0", "crossed interval above 0", "McNemar of all seeds (these models)")
        rates = dict(zip(names, np.mean(found, axis=0).tolist(), strict=True))
        yield {"labels": fraction, "gain": GAIN[fraction], "spread": SPREAD[fraction], "seeds": seeds, **rates}


def over_tasks(draw: np.random.Generator, trials: int, resamples: int = 200) -> Iterator[Row]:
    """Interquartile mean (IQM) and probability of improvement over tasks: resampling runs per task, or whole runs.

    A run's scores on all tasks come from one model, so they are correlated (here .5); rliable's bootstrap takes them
    for separate trainings.
    """
    levels, shared = np.linspace(0, 30, FAMILY), 0.5
    for n in SEEDS:

        def scores(count: int, n: int = n) -> Array:
            own = (1 - shared) ** 0.5 * draw.normal(size=(count, n, FAMILY))
            return levels + shared**0.5 * draw.normal(size=(count, n, 1)) + own

        truth = float(np.mean([interquartile_mean(table) for table in scores(3000)]))
        found: dict[str, list[bool]] = {}
        for one, other in zip(scores(trials), scores(trials), strict=True):
            tasks = np.arange(FAMILY)
            separate = [draw.integers(n, size=(resamples, n, FAMILY)) for _ in range(2)]
            together = [np.broadcast_to(draw.integers(n, size=(resamples, n, 1)), separate[0].shape) for _ in range(2)]
            plain, expanded = LEVEL / 2, significance.expanded_tail(n)
            for way, rows, others, tail in (
                ("runs per task", *separate, plain),
                ("whole runs", *together, plain),
                ("whole runs, expanded", *together, expanded),
            ):
                x, y = one[rows, tasks], other[others, tasks]
                trimmed = np.sort(x.reshape(resamples, -1), axis=1)
                cut = trimmed.shape[1] // 4
                middle = trimmed[:, cut : trimmed.shape[1] - cut].mean(axis=1)
                better = (x[:, :, None] > y[:, None]).mean(axis=(1, 2, 3))
                for name, values, target in (("IQM", middle, truth), ("improvement", better, 0.5)):
                    low, high = np.quantile(values, [tail, 1 - tail])
                    found.setdefault(f"{name}, {way}, covers", []).append(low <= target <= high)
        yield {"seeds": n} | {name: float(np.mean(values)) for name, values in found.items()}


PARTS: dict[str, tuple[Callable[[np.random.Generator, int], Iterator[Row]], float]] = {
    "tests and intervals over seeds, no effect": (over_seeds, 1.0),
    "families of comparisons, no effect": (families, 0.5),
    "power for the paper's gains": (power, 1.0),
    "two equally good methods, over test samples": (over_samples, 0.06),
    "power for the paper's gains, over test samples": (power_over_samples, 0.03),
    "intervals over many tasks, no effect": (over_tasks, 0.03),
}
"""What is simulated, and its share of `--trials`."""


def table(rows: list[Row]) -> str:
    """Rows as a table of Markdown."""
    lines = [list(rows[0]), ["---"] * len(rows[0])]
    lines += [[f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", required=True, type=Path, help="where to write the findings")
    parser.add_argument("--trials", type=int, default=10_000, help="simulated comparisons per setting (default 10000)")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation")
    arguments = parser.parse_args()
    draw = np.random.default_rng(arguments.seed)
    check(draw)
    start = time.process_time()
    found: dict[str, Any] = {}
    bar = Progress(len(PARTS), "simulation", "parts")
    for name, (simulate, share) in PARTS.items():
        trials = max(1, round(arguments.trials * share))
        found[name] = {"trials": trials, "rows": list(simulate(draw, trials))}
        bar.advance(note=name)
        print(f"\n{name} ({trials} trials)\n\n{table(found[name]['rows'])}", flush=True)
    bar.close()
    seconds = time.process_time() - start
    setting = {"level": LEVEL, "family": FAMILY, "gain": GAIN, "spread": SPREAD, "samples": SAMPLES}
    write_json(arguments.json, {"setting": setting, "cpu_seconds": seconds, "parts": found})
    print(f"\n{seconds:.0f} CPU seconds; findings in {arguments.json}")


if __name__ == "__main__":
    main()
