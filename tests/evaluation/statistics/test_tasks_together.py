import math

import numpy as np
import pytest
from rliable import metrics as rliable

from evaluation.statistics.tasks_together import interquartile_mean, probability_of_improvement, run_interval

RNG = np.random.default_rng(3)
METHOD, BASELINE = RNG.normal(0.72, 0.02, (5, 9)), RNG.normal(0.7, 0.02, (5, 9)).round(2)


def test_values_are_rliables():
    assert interquartile_mean(METHOD) == pytest.approx(rliable.aggregate_iqm(METHOD))
    expected = rliable.probability_of_improvement(METHOD, BASELINE)
    assert probability_of_improvement(METHOD, BASELINE) == pytest.approx(expected)


def test_whole_runs_are_resampled():
    """Runs that score alike on all tasks spread as runs do, however many tasks there are."""
    scores = RNG.normal(size=(8, 1)) * np.ones((1, 50))
    low, high = run_interval(interquartile_mean, scores)
    assert high - low > 1
    assert (low, high) == run_interval(interquartile_mean, scores)
    assert all(math.isnan(end) for end in run_interval(interquartile_mean, scores[:1]))
