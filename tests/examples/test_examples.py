"""The examples run, and do what they say."""

import math
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


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


def test_the_tutorial_of_the_library(tmp_path, monkeypatch):
    text = (ROOT / "docs/tutorial-library.md").read_text(encoding="utf-8").replace("epochs=20", "epochs=8")
    monkeypatch.chdir(tmp_path)
    made = {}
    exec("\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)), made)
    assert made["precision"] > 0.15 and (tmp_path / "checkpoint.pt").is_file()  # a tenth would be chance
