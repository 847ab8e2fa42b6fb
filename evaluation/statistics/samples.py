"""Paired comparisons of two methods over test samples: would another test set show the difference?

Both are tested on the same samples at each seed. d[s, i] is the hits of the method minus those of the baseline on
sample i at seed s (1, 0 or -1; with several draws of the training labels, their sum). Seeds are held fixed: the
differences of all seeds on one sample are one observation, since they share the sample. So the answer holds for these
trained models. It is no proof for a method: with thousands of samples it calls the luck of a single training run
significant. It says how far the test set is from being the limit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, stats

from evaluation.scores import score
from glofnd.files import making_sense, read_json

__all__ = ["Hits", "SampleComparison", "compare_samples", "mcnemar_p", "read_hits"]

Array = NDArray[Any]

LEAST_P = 1e-12
"""Smaller p-values are given as this one: the accuracy of the transform that they are summed from."""

_RECALL = re.compile(r".*-recall-at-(\d+)$")


@dataclass(frozen=True)
class SampleComparison:
    """One method against the baseline over paired test samples, all seeds together.

    Attributes:
        samples: number of test samples.
        sample_low, sample_high: interval of the difference over test samples, for these trained models.
        p_mcnemar: exact McNemar test of these models, all seeds of a sample as one cluster; NaN for a mean per class,
            which is no plain mean over samples.
    """

    samples: int
    sample_low: float
    sample_high: float
    p_mcnemar: float


def mcnemar_p(differences: ArrayLike) -> float:
    """Exact McNemar test, two-sided, and its extension to several seeds or draws per sample.

    Given the sizes |d_i|, each d_i is as likely positive as negative if the two methods are exchangeable on every
    sample. For d in {-1, 0, 1} that is McNemar's exact (binomial) test of the two discordant counts; for sums over
    seeds it is the sign-flip test of clusters: a sample is flipped with all its seeds. (Pooling all pairs as if they
    were independent would count each sample several times; no library has the exact test for clusters.) The
    distribution of the sum is the inverse Fourier transform of its characteristic function prod_i cos(|d_i| t).

    Args:
        differences: whole numbers [N], one per sample.

    Returns:
        The p-value, not below `LEAST_P`.
    """
    d = np.asarray(differences).astype(np.int64)
    sizes, counts = np.unique(np.abs(d[d != 0]), return_counts=True)
    if not sizes.size:
        return 1.0
    step = np.gcd.reduce(sizes)
    sizes = sizes // step
    reach, observed = int(sizes @ counts), int(abs(d.sum()) // step)
    length = fft.next_fast_len(2 * reach + 1, real=True)
    angles = 2 * np.pi * np.arange(length // 2 + 1) / length
    transform = np.ones_like(angles)
    for size, count in zip(sizes, counts, strict=True):
        transform *= np.cos(size * angles) ** count
    chances = fft.irfft(transform, length)
    tail = 2 * chances[observed : reach + 1].sum() if observed else 1.0
    return float(np.clip(tail, LEAST_P, 1.0))


def compare_samples(
    method: ArrayLike,
    baseline: ArrayLike,
    draws: int = 1,
    classes: ArrayLike | None = None,
    confidence: float = 0.95,
) -> SampleComparison:
    """Everything said about one comparison over test samples.

    The interval is Student's over the N differences per sample (means over seeds and draws), and for a mean per class
    the stratified one, with samples drawn within their class; NaN where there is no standard error.

    Args:
        method: hits of the method [S, N], whole numbers from 0 to `draws`; row s is the s-th seed.
        baseline: the same of the baseline, at the same seeds and samples.
        draws: predictions per sample and seed (subsets of the training labels).
        classes: class of every sample [N] for a mean per class, else `None`.
        confidence: of the interval.

    Raises:
        ValueError: the two do not pair up.
    """
    one, other = np.asarray(method), np.asarray(baseline)
    if one.shape != other.shape or one.ndim != 2:
        raise ValueError(f"hits must pair up, got shapes {one.shape} and {other.shape}")
    d = (one.astype(np.int64) - other).sum(axis=0)
    truth = np.zeros(len(d)) if classes is None else np.asarray(classes)
    value, stderr = score("top1" if classes is None else "mean-per-class", d / (len(one) * draws), truth)
    half = float("nan") if stderr is None else float(stats.t.ppf(0.5 + confidence / 2, len(d) - 1)) * stderr
    return SampleComparison(len(d), value - half, value + half, mcnemar_p(d) if classes is None else float("nan"))


@dataclass(frozen=True)
class Hits:
    """What one metric counts as right.

    Attributes:
        index: int64 [N], stable index of every test sample.
        count: int64 [N], right predictions of the sample, from 0 to `draws`.
        draws: predictions per sample.
        classes: class of every sample [N] where the metric is a mean per class, else `None`.
    """

    index: Array
    count: Array
    draws: int
    classes: Array | None


def read_hits(folder: Path, dataset: str, split: str, metric: str, fraction: float | None) -> Hits | None:
    """Hits of one value in the metrics.json of a folder, from predictions.npz beside it.

    `None` where the value is no mean of stored hits (top-5, a precision), or there is no such file: tables can be kept
    without the runs they came from.

    Raises:
        ValueError: predictions.npz is missing, unreadable, or does not give the value that stands in metrics.json.
    """
    path = folder / "metrics.json"
    kind = metric.partition("@")[0].removeprefix("knn-")
    recall = _RECALL.match(kind)
    if not path.is_file() or not (recall or kind in ("top1", "mean-per-class")):
        return None
    wanted = dataset, split, metric, None if fraction is None or np.isnan(fraction) else float(fraction)
    with making_sense(path):
        rows = read_json(path)["metrics"]
        row = next((r for r in rows if (r["dataset"], r["split"], r["metric"], r["fraction"]) == wanted), None)
    if row is None or row.get("predictions") is None:
        return None
    stored, entry = folder / "predictions.npz", row["predictions"]
    advice = "delete both and run `snakemake` again"
    try:
        with np.load(stored, allow_pickle=False) as file:
            index, prediction, truth = (file[f"{entry}.{name}"] for name in ("index", "prediction", "truth"))
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise ValueError(f"{stored}: no readable predictions of {entry} ({error}); {advice}") from error
    prediction = np.atleast_2d(prediction)
    right = prediction <= int(recall[1]) if recall else prediction == truth
    count = right.sum(axis=0)
    found = score(kind, count / len(right), truth).value
    if not np.isclose(found, row["value"], atol=1e-6):
        raise ValueError(f"{stored}: gives {found:.6f} for {metric}, metrics.json has {row['value']:.6f}; {advice}")
    return Hits(index, count, len(right), truth if kind == "mean-per-class" else None)
