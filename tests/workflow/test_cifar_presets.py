"""CIFAR's presets begin as they are, on a tree of the published layout with few pictures, and a narrow encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from snakemake.utils import update_config

from glofnd.data import shard
from glofnd.pretraining import pretrain
from workflow.config import merged, resolve
from workflow.data_checks import refusals
from workflow.grid import Grid
from workflow.plan import job_counts

PRESETS = Path(__file__).parents[2] / "configs"


def cifar(root: Path, classes: int) -> Path:
    """The files of the binary version, with two pictures of each class in each."""
    ten = classes == 10
    folder = root / ("cifar-10-batches-bin" if ten else "cifar-100-binary")
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for file in (*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin") if ten else ("train.bin", "test.bin"):
        labels = np.repeat(np.arange(classes), 2)[:, None]
        columns = labels if ten else np.hstack([labels // 5, labels])
        pixels = generator.integers(0, 255, (len(labels), 3072))
        np.hstack([columns, pixels]).astype(np.uint8).tofile(folder / file)
    lists = {"batches.meta.txt": 10} if ten else {"fine_label_names.txt": 100, "coarse_label_names.txt": 20}
    for name, count in lists.items():
        (folder / name).write_text("\n".join(f"name{k}" for k in range(count)) + "\n")
    return root


@pytest.mark.parametrize(("name", "run"), [("cifar10", "sogclr/glofnd"), ("cifar100", "simclr/memory-quantile")])
def test_the_first_steps(tmp_path: Path, name: str, run: str) -> None:
    config = merged(PRESETS / f"{name}.yaml")
    assert job_counts(Grid(resolve(config)))["fetch"] == 1, "it is fetched without any path"
    starts = {
        label: {key: 0 for key in block if key.startswith("start_")}
        for label, block in config["experiments"][name]["detectors"].items()
    }
    path = cifar(tmp_path / "raw", int(name.removeprefix("cifar")))
    changes = {
        "paths": {"shards": str(tmp_path / "shards")},
        "datasets": {name: {"path": str(path)}},
        "experiments": {
            name: {
                "encoder": {"width": 4, "projector_hidden": 16},
                "training": {"epochs": 1, "batch_size": 50, "warmup_epochs": 0},
                "detectors": starts,
            }
        },
    }
    update_config(config, changes)
    grid = Grid(resolve(config))
    for split in ("train", "test"):
        shard(grid.config["datasets"][name], name, split, None, tmp_path / "shards" / name / split)
    assert refusals(grid) == []
    run = f"{name}/{run}/seed1"
    pretrain(grid.run_config(grid.run(run)), Path(grid.training_shards(run)), tmp_path / "out")
    assert (tmp_path / "out/checkpoint.pt").is_file()
