"""The example of docs/add-a-dataset.md, copied literally and run."""

import re
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import yaml

from glofnd.data import catalogue, fetch, shard
from glofnd.data.manifest import read_manifest

GUIDE = (Path(__file__).parents[3] / "docs/add-a-dataset.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def test_the_example_is_fetched_and_sharded(tmp_path, monkeypatch):
    module, entry = blocks("python")[:2]
    monkeypatch.setattr("glofnd.data.datasets.__path__", [*sys.modules["glofnd.data.datasets"].__path__, str(tmp_path)])
    (tmp_path / "svhn.py").write_text(module)
    labels, data = np.arange(60) % 10, np.zeros((60, 3, 32, 32), np.uint8)

    def peer(root, split, download=False):
        (root / f"{split}_32x32.mat").write_bytes(b"it")
        return SimpleNamespace(labels=labels, data=data)

    monkeypatch.setattr("torchvision.datasets.SVHN", peer)
    monkeypatch.setitem(catalogue.DATASETS, "svhn", None)
    exec(compile(entry, "catalogue", "exec"), vars(catalogue))
    fetch("svhn", tmp_path / "raw")
    shard({"dataset": "svhn", "test_samples": 20}, "it", "test", tmp_path / "raw", tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    assert Counter(manifest.labels["label"].tolist()) == dict.fromkeys(range(10), 2)


def test_the_config_blocks_are_valid(tmp_path):
    for block in blocks("yaml"):
        for name, config in yaml.safe_load(block)["datasets"].items():
            if config["dataset"] in catalogue.DATASETS:
                _, options = catalogue.resolved(config, name)
                assert list(catalogue.problems(options)) == []
