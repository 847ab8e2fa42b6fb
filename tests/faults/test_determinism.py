"""The same config and seed give the same bits, whatever does not belong to them (docs/determinism.md)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glofnd.data.stream import ShardStream
from glofnd.pretraining import trainer
from tests.glofnd.pretraining.tiny_run import assert_same, make_config, run, write_tiny

ROOT = Path(__file__).parents[2]
METHODS = [("isogclr", "glofnd"), ("fastclip-v3", "global-threshold")]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("shards"), shards=3)


@pytest.mark.parametrize(("objective", "detector"), METHODS)
@pytest.mark.parametrize("cache", [True, False])
def test_workers_and_the_cache_change_nothing(monkeypatch, shards, tmp_path, objective, detector, cache):
    # Six batches an epoch: more than one or two workers read ahead.
    small = {"batch_size": 4}
    whole = run(make_config(objective, detector, training=small), shards, tmp_path / "whole")
    read = []
    original = ShardStream._batch
    monkeypatch.setattr(ShardStream, "_batch", lambda self, *given: read.append(self) or original(self, *given))
    if not cache:
        monkeypatch.setattr(trainer, "_CACHE_BYTES", 0)
    for workers in (0, 1, 2, 4):
        config = make_config(objective, detector, training={**small, "workers": workers})
        assert_same(whole, run(config, shards, tmp_path / str(workers)))
        assert read[-1].workers == workers and read[-1]._reader.cached == cache


@pytest.mark.slow
def test_two_worlds(tmp_path):
    """Shards, training, features, probe and discovery where everything around them differs."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 4)):
        for label in ("Äpfel", "birnen", "Citrus", "10", "9"):
            (tmp_path / "pictures" / split / label).mkdir(parents=True)
            for number in range(count):
                noise = generator.integers(0, 256, (20, 18, 3), dtype=np.uint8)
                Image.fromarray(noise).save(tmp_path / "pictures" / split / label / f"{number} ü.png")
    worlds = {
        "forwards": {"PYTHONHASHSEED": "1", "TZ": "Asia/Kolkata", "LC_ALL": "C"},
        "backwards": {"PYTHONHASHSEED": "4242", "TZ": "America/St_Johns", "LC_ALL": "C.utf8", "HOME": str(tmp_path)},
    }
    found = {}
    for order, variables in worlds.items():
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **variables}
        out, here = tmp_path / order, tmp_path / f"started in {order}"
        here.mkdir()
        worker = str(Path(__file__).with_name("determinism_worker.py"))
        command = [sys.executable, worker, str(tmp_path / "pictures"), str(out), order]
        done = subprocess.run(command, env=environment, cwd=here, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found[order] = json.loads(done.stdout.splitlines()[-1])
    left, right = found.values()
    assert left.keys() == right.keys()
    assert [key for key in left if left[key] != right[key]] == []
    for part in ("shards/mine/train/000000.tar", "checkpoint.history[2].loss", "run/features/mine.test.npz/features"):
        assert part in left
    assert "top1" in left["linear/metrics"] and "precision" in left["discovery/metrics"]
