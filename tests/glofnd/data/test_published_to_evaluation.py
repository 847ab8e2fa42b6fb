"""From published files to scores by the commands a user types: CIFAR-10 by prompts, COCO captions by retrieval."""

import json
import subprocess
import sys
from pathlib import Path

import published_trees as trees
import pytest
from test_archives import archive_of, packed

from glofnd.data.__main__ import main
from glofnd.data.catalogue import DATASETS
from glofnd.data.sources import published
from glofnd.data.sources.archives import Published
from glofnd.data.stream import ShardStream
from glofnd.files import read_json
from glofnd.registry import DETECTORS, OBJECTIVES, TRAINING, VIEWS, with_defaults

ROOT = Path(__file__).parents[3]


def python(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_config():
    """The run config of an untrained bimodal model."""
    return {
        "run": "tiny/baseline/random-init/seed1",
        "experiment": "tiny",
        "modality": "bimodal",
        "seed": 1,
        "dataset": "coco",
        "label": "caption",
        "encoder": {"name": "open-clip", "model": "glofnd-test"},
        "views": {key: schema["default"] for key, schema in VIEWS.items()},
        "training": {key: schema["default"] for key, schema in TRAINING.items()},
        "objective": {"label": "baseline", "method": "clip", **with_defaults(OBJECTIVES["clip"], {})},
        "detector": {"label": "random-init", "method": "none", **with_defaults(DETECTORS["none"], {})},
    }


@pytest.mark.slow
def test_from_published_files_to_scores(tmp_path, monkeypatch):
    trees.cifar10(tmp_path / "tree", per_batch=10)
    archive = archive_of(packed(tmp_path / "tree", tmp_path / "cifar-10-binary.tar.gz"))
    monkeypatch.setattr(published, "cifar10", Published((archive,), "here"))
    raw, shards = tmp_path / "raw", tmp_path / "shards"
    assert main(["fetch", "--source", "cifar10", "--out", str(raw)]) == 0
    block = json.dumps({"train_samples": 50, "test_samples": 10, "shards": 2})
    for split in ("train", "test"):
        out = shards / "cifar10" / split
        python(
            *("glofnd.data", "shard", "--dataset-config", block, "--name", "cifar10", "--split", split),
            *("--raw", raw, "--out", out),
        )

    trees.coco(tmp_path / "coco")
    block = json.dumps({"dataset": "coco-captions", "path": str(tmp_path / "coco"), "image_size": 32, "shards": 1})
    for split in ("train", "test"):
        out = shards / "coco" / split
        python("glofnd.data", "shard", "--dataset-config", block, "--name", "coco", "--split", split, "--out", out)

    stream = ShardStream(shards / "coco/train", batch_size=2, seed=1)
    drawn = {text for epoch in range(40) for batch in stream.epoch(epoch) for text in batch.captions}
    assert drawn == {text for texts in stream.captions() for text in texts} and len(drawn) == 10
    batch = next(ShardStream(shards / "cifar10/train", batch_size=50, seed=1).epoch(0))
    assert (batch.labels["label"] == batch.index % 10).all() and batch.images.shape == (50, 3, 32, 32)

    features = tmp_path / "features"
    zero_shot = json.dumps({"dataset": "cifar10", "templates": DATASETS["cifar10"].templates})
    python(
        *("evaluation", "features", "--baseline", "random-init", "--run-config", json.dumps(run_config())),
        *("--shards", shards, "--split", "cifar10/test", "--split", "coco/test", "--zero-shot", zero_shot),
        *("--out", features),
    )
    python("evaluation", "zero-shot", "--features", features, "--task", zero_shot, "--out", tmp_path / "zero-shot")
    (top1, *_) = read_json(tmp_path / "zero-shot/metrics.json")["metrics"]
    assert (top1["metric"], top1["classes"], top1["templates"], top1["n"]) == ("top1", 10, "cifar", 10)

    task = json.dumps({"dataset": "coco"})
    python("evaluation", "retrieval", "--features", features, "--task", task, "--out", tmp_path / "retrieval")
    recalls = {metric["metric"]: metric for metric in read_json(tmp_path / "retrieval/metrics.json")["metrics"]}
    to_text, to_image = recalls["image-to-text-recall-at-1"], recalls["text-to-image-recall-at-1"]
    assert (to_text["n"], to_text["candidates"]) == (2, 10), "five captions of each of two pictures"
    assert (to_image["n"], to_image["candidates"]) == (10, 2)
    assert to_text["chance"] == pytest.approx(0.5) and recalls["image-to-text-recall-at-10"]["value"] == 1
