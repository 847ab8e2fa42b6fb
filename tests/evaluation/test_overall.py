"""Statistics over many tasks against rliable and scipy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from rliable import metrics  # type: ignore[import-untyped]
from scipy import stats

from evaluation.overall import interquartile_mean, probability_of_improvement, run_interval, stratified_interval

RNG = np.random.default_rng(7)


def test_interquartile_mean_drops_the_outer_quarters() -> None:
    assert interquartile_mean([[0, 1], [2, 100]]) == 1.5


def test_probability_of_improvement_counts_ties_half() -> None:
    assert probability_of_improvement([[1], [2]], [[1], [0]]) == pytest.approx((0.5 + 1 + 1 + 1) / 4)
    with pytest.raises(ValueError, match="same tasks"):
        probability_of_improvement([[1, 2]], [[1]])


def test_probability_of_improvement_is_the_mann_whitney_statistic() -> None:
    x, y = RNG.normal(size=(5, 3)), RNG.normal(size=(6, 3))
    expected = [stats.mannwhitneyu(x[:, k], y[:, k]).statistic / 30 for k in range(3)]
    assert probability_of_improvement(x, y) == pytest.approx(np.mean(expected))


def test_stratified_bootstrap_resamples_seeds_within_a_task() -> None:
    """Tasks far apart must not mix: the interval is as wide as the noise of the seeds, not as the tasks."""
    scores = np.array([0.0, 10.0, 100.0]) + RNG.normal(0, 1, (200, 3))
    low, high = stratified_interval(lambda table: float(table.mean()), scores, resamples=500)
    assert low < scores.mean() < high
    expected = 2 * 1.96 * float(np.sqrt(scores.var(axis=0).sum() / 200)) / 3
    assert high - low == pytest.approx(expected, rel=0.15)
    assert (low, high) == stratified_interval(lambda table: float(table.mean()), scores, resamples=500)


def test_whole_runs_keep_their_tasks_together() -> None:
    """Where a run is as good on all tasks, its tasks are one observation: sqrt(tasks) times as wide as if separate."""
    scores = RNG.normal(0, 1, (40, 1)) + np.zeros((1, 9))
    low, high = run_interval(lambda table: float(table.mean()), scores)
    half = float(stats.t.ppf(0.975, 39) * scores[:, 0].std(ddof=1) / 40**0.5)
    assert (low, high) == pytest.approx((scores.mean() - half, scores.mean() + half), abs=0.15 * half)
    separate = stratified_interval(lambda table: float(table.mean()), scores)
    assert (high - low) / (separate[1] - separate[0]) == pytest.approx(3, rel=0.15)
    assert (low, high) == run_interval(lambda table: float(table.mean()), scores)
    assert np.isnan(run_interval(interquartile_mean, [[1.0, 2.0]])).all()


@pytest.mark.parametrize("bad", [[0.1, 0.2], [[math.nan]], np.zeros((0, 2))])
def test_unusable_scores_are_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="scores must be finite"):
        interquartile_mean(bad)


def test_values_are_those_of_rliable() -> None:
    x, y = RNG.normal(0.1, 1, (5, 7)), RNG.normal(size=(4, 7))
    assert interquartile_mean(x) == pytest.approx(metrics.aggregate_iqm(x))
    assert probability_of_improvement(x, y) == pytest.approx(metrics.probability_of_improvement(x, y))


def test_stratified_interval_is_the_published_one() -> None:
    """Runs drawn with replacement within each task and method, percentiles of the statistic: written out as a loop.

    (rliable's own bootstrap stands on a version of arch that does not import beside pandas 3.) Two bootstraps of other
    random numbers, so equal up to the noise of their quantiles.
    """
    x, y = RNG.normal(0.3, 1, (8, 6)), RNG.normal(size=(8, 6))
    for statistic, tables in ((metrics.aggregate_iqm, [x]), (metrics.probability_of_improvement, [x, y])):
        found = []
        for _ in range(300):
            drawn = [np.column_stack([RNG.choice(column, len(column)) for column in table.T]) for table in tables]
            found.append(statistic(*drawn))
        low, high = np.quantile(found, [0.025, 0.975])
        ours = {1: interquartile_mean, 2: probability_of_improvement}[len(tables)]
        assert stratified_interval(ours, *tables, resamples=300) == pytest.approx((low, high), abs=0.2 * (high - low))
