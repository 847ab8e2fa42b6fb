"""The code in docs/add-a-dataset.md is run, so that it cannot drift from the program."""

import io
import re
import textwrap
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import yaml
from PIL import Image

from glofnd.data import catalogue
from glofnd.data.sources.commands import FetchError
from glofnd.data.writer import write_shards

GUIDE = Path(__file__).parents[3] / "docs" / "add-a-dataset.md"


def blocks(language):
    text = GUIDE.read_text(encoding="utf-8")
    return [textwrap.dedent(block) for block in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)]


def test_the_example_builds_a_split_that_can_be_sharded(tmp_path, monkeypatch):
    fetch, build, entry = blocks("python")[:3]
    labels = np.arange(60) % 10
    data = np.random.default_rng(0).integers(0, 256, (60, 3, 32, 32), dtype=np.uint8)
    monkeypatch.setattr("torchvision.datasets.SVHN", lambda root, split: SimpleNamespace(labels=labels, data=data))
    example, source = {}, {}
    exec(compile(build, "svhn", "exec"), example)
    exec(compile(fetch, "svhn", "exec"), source)

    scope = {**vars(catalogue), "SOURCES": {}, "DATASETS": {}}
    exec(compile(entry, "catalogue", "exec"), scope)
    parameters = {key: schema["default"] for key, schema in scope["DATASETS"]["svhn"].parameters.items()}
    split = example["build"](tmp_path, "test", {**parameters, "test_samples": 20, "image_size": 32})
    assert Counter(split.labels["label"]) == dict.fromkeys(range(10), 2)
    with Image.open(io.BytesIO(split.encode(split.payloads[3]))) as image:
        assert (np.asarray(image).transpose(2, 0, 1) == split.payloads[3]).all()
    head = {"dataset": "svhn", "split": "test", "image_size": 32}
    assert write_shards(split, tmp_path / "out", shards=2, head=head, tail={})["samples"] == 20

    calls = []

    def fail_once(command):
        calls.append(command[-1])
        if len(calls) == 1:
            raise FetchError("down")

    source["run"] = fail_once
    monkeypatch.setattr("glofnd.data.sources.commands.PAUSE_SECONDS", 0)
    assert source["fetch"](tmp_path)["files"] == ["train_32x32.mat", "test_32x32.mat"]
    assert calls == ["train", "train", "test"]


def test_the_config_blocks_are_valid():
    for block in blocks("yaml"):
        for name, config in yaml.safe_load(block)["datasets"].items():
            if config["dataset"] in catalogue.DATASETS:
                catalogue.resolved(config, name)
            else:
                assert config["dataset"] == "svhn"
