import math

import pytest

from glofnd.pretraining.schedule import rate


def test_warm_up_is_linear_and_starts_above_zero():
    assert [rate(step, 100, 4) for step in range(4)] == pytest.approx([0.25, 0.5, 0.75, 1.0])


def test_cosine_starts_at_one_and_ends_near_zero():
    assert rate(10, 110, 10) == 1.0
    assert rate(60, 110, 10) == pytest.approx(0.5)
    assert rate(109, 110, 10) == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.99)))


def test_no_warm_up():
    assert rate(0, 10, 0) == 1.0
