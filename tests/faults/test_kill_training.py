"""A training that writes its resume file after every step, killed before any line, ends as if undisturbed."""

import os
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from kill_at_line import killed_before_line, lines_of
from kill_comparison import timeless

import glofnd.files
import glofnd.pretraining.loop as loop
from glofnd import checkpoint
from glofnd.pretraining import pretrain
from tests.glofnd.pretraining.tiny_run import make_config, write_tiny

pytestmark = pytest.mark.slow

MODULES, POINTS = (glofnd.files, checkpoint, loop), 12


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of it is of any matter here, and each takes longer than a step."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr("glofnd.provenance._git", lambda *arguments: None)
    monkeypatch.setattr("glofnd.provenance._installed", lambda package: None)


def final(out: Path) -> Any:
    return timeless(torch.load(out / "checkpoint.pt", weights_only=True))


def test_killed_before_any_line_it_ends_as_if_undisturbed(tmp_path: Path) -> None:
    config = make_config("fastclip-v1", "glofnd", training={"checkpoint_seconds": 0, "threads": 1})
    shards = write_tiny(tmp_path / "shards", shards=2)
    lines = lines_of(lambda: pretrain(config, shards, tmp_path / "whole"), *MODULES)
    whole, out = final(tmp_path / "whole"), tmp_path / "killed"
    draw, kills = random.Random(7), 0
    # Each time killed at another point of what is left, the last times close to the end.
    for point in [*(draw.randrange(lines // 4) for _ in range(POINTS)), 10**9]:
        kills += killed_before_line(lambda: pretrain(config, shards, out), point, *MODULES)
    assert kills >= POINTS // 3
    assert final(out) == whole
    assert sorted(path.name for path in out.iterdir()) == ["checkpoint.pt", "history.json", "metrics.json"]
