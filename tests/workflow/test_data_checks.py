"""What trainings and evaluations would refuse of the data is found once the shards are there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from snakemake.utils import update_config

from glofnd.data import shard
from workflow.config import read_config, resolve
from workflow.data_checks import refusals
from workflow.grid import Grid

ROOT = Path(__file__).parents[2]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for folder, number in {"train/ant": 20, "train/bee": 20, "val/ant": 6, "val/bee": 6}.items():
        (tmp_path / "pictures" / folder).mkdir(parents=True)
        for k in range(number):
            noise = generator.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / "pictures" / folder / f"{k}.png")
    return tmp_path / "pictures"


def found(pictures: Path, **changes: Any) -> list[str]:
    """What is found of an experiment on these pictures, sharded."""
    config = read_config(ROOT / "config.yaml")
    shards = pictures.parent / "shards"
    config |= {"significance": None, "paths": {"raw": "raw", "shards": str(shards), "results": "results"}}
    config["datasets"] = {"mine": {"dataset": "folder", "path": str(pictures), "image_size": 16}}
    experiment = {
        "modality": "unimodal",
        "dataset": "mine",
        "encoder": {"name": "resnet10"},
        "training": {"batch_size": 16},
        "objectives": {"simclr": {}},
        "detectors": {"none": {}, "glofnd": {"alpha": 0.1}},
        "evaluations": {"linear": [{"dataset": "mine"}], "transfer": [{"dataset": "mine"}], "discovery": [{}]},
    }
    update_config(experiment, changes)
    grid = Grid(resolve(config | {"experiments": {"mine": experiment}}))
    for split in ("train", "test"):
        shard(grid.config["datasets"]["mine"], "mine", split, None, shards / "mine" / split)
    return refusals(grid)


def test_sound_data_are_not_refused(pictures: Path) -> None:
    assert found(pictures) == []


def test_all_problems_of_the_data_are_named_at_once(pictures: Path) -> None:
    for k in range(3):
        shutil.copy(pictures / f"train/ant/{k}.png", pictures / f"val/ant/copy{k}.png")
    lines = found(pictures, training={"batch_size": 64}, detectors={"glofnd": {"alpha": 0.02}})
    assert len(lines) == 3
    assert "3 of 15 pictures are also in mine.train" in lines[0]
    assert "training.batch_size: 64" in lines[1] and "detectors.glofnd.alpha" in lines[2]
