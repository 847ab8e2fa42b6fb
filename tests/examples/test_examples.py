"""The examples run, and do what they say."""

import math
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {"plain_loop", "lightly_model", "open_clip_model"}


def test_plain_loop_finds_false_negatives():
    assert load("plain_loop")(epochs=6) > 0.6  # an eighth would be chance


def test_open_clip_model():
    assert load("open_clip_model")(epochs=2) != pytest.approx(0.07, abs=1e-9)


@pytest.mark.slow
def test_lightly_model():
    assert math.isfinite(load("lightly_model")(samples=32, epochs=2))
