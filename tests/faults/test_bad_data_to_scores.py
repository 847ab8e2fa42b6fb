"""A set with samples left out is trained on and evaluated; what is kept per sample keeps its place."""

import numpy as np
import pytest
import torch
from bad_data import changed, members, shard, webdataset

from evaluation import evaluate
from evaluation.probing.encoder_views import crop_and_flip
from glofnd import checkpoint
from glofnd.data.stream import ShardStream
from glofnd.files import read_json
from glofnd.pretraining import objective_from, pretrain
from tests.evaluation.tiny_shards import run_config

COUNT, TEST = 36, 16
VACANT, TEST_VACANT = [0, 7, 20], [5]
KEPT = [n for n in range(COUNT) if n not in VACANT]
TEST_KEPT = [n for n in range(TEST) if n not in TEST_VACANT]
FIRST_TEST = 1000  # numbers of the test pictures begin here


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    root = tmp_path_factory.mktemp("damaged")
    content = members(range(COUNT))
    for n in VACANT:
        content = changed(content, f"s{n:03d}.png", b"no picture")
    webdataset(root / "set", content)
    content = changed(members(range(FIRST_TEST, FIRST_TEST + TEST)), f"s{FIRST_TEST + TEST_VACANT[0]}.txt", b" ")
    webdataset(root / "set", content, "test")
    for split in ("train", "test"):
        out = root / "shards/tiny" / split
        assert shard(root / "set", out, split=split, bad_samples="skip", max_skipped=0.1) == 0
    return root / "shards"


@pytest.fixture(scope="module")
def trained(shards, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    config = run_config("sogclr", "glofnd", epochs=2, alpha=0.2, start_update=0, start_filter=1)
    pretrain(config, shards / "tiny/train", out)
    return out / "checkpoint.pt"


def done(path, shards, out, name, **task):
    """metrics.json by metric, and the predictions, of one evaluation."""
    evaluate(checkpoint.config_of(checkpoint.read(path)), {name: [{"dataset": "tiny", **task}]}, path, shards, out)
    with np.load(out / name / "predictions.npz") as arrays:
        found = {m["metric"]: m for m in reversed(read_json(out / name / "metrics.json")["metrics"])}
        return found, {key: arrays[key] for key in arrays.files}


def test_state_has_a_place_for_every_index_and_the_vacant_learn_nothing(trained, shards):
    state = checkpoint.read(trained)["objective"]
    seen = set()
    stream = ShardStream(shards / "tiny/train", batch_size=8, seed=1)
    for epoch in range(2):
        seen |= {n for batch in stream.epoch(epoch) for n in batch.index.tolist()}
    assert seen <= set(KEPT) and len(seen) == len(KEPT), "33 samples in 2 x 4 batches of 8, each seen in this case"
    columns = {name: values for name, values in state.items() if values.shape[:1] == (COUNT,)}
    assert len(columns) > 1 and not any(values.shape[:1] == (len(KEPT),) for values in state.values())
    for name, values in columns.items():
        assert len(torch.unique(values[VACANT])) == 1, name
    learned = [name for name, values in columns.items() if (values[KEPT] != values[VACANT[0]]).all()]
    assert any(name.startswith("state.") for name in learned), "u of SogCLR"
    assert any(name.startswith("detectors.") for name in learned), "what GloFND's thresholds are made of"


def test_history_and_metrics_speak_of_what_is_there(trained):
    metrics = read_json(trained.parent / "metrics.json")["training"]
    assert (metrics["samples"], metrics["skipped"]) == (len(KEPT), len(VACANT))
    objective = objective_from(checkpoint.read(trained), COUNT)
    thresholds = objective.detectors["image"].thresholds
    assert (thresholds[VACANT] == 1).all()
    stated = read_json(trained.parent / "history.json")["epochs"][-1]["threshold"]["image"]["q95"]
    assert stated == pytest.approx(torch.quantile(thresholds[KEPT], 0.95).item(), abs=1e-5)


def test_linear_evaluation(trained, shards, tmp_path):
    found, predictions = done(trained, shards, tmp_path, "linear", fractions=[1.0, 0.5], draws=[1, 2])
    top1 = found["top1"]
    assert (top1["n"], top1["labels_used"]) == (len(TEST_KEPT), len(KEPT))
    assert predictions[f"{top1['predictions']}.index"].tolist() == TEST_KEPT
    assert predictions[f"{top1['predictions']}.truth"].tolist() == [(FIRST_TEST + n) % 4 for n in TEST_KEPT]
    assert top1["value"] > 0.5, "colours are easy; labels beside the wrong pictures would give a quarter"
    with np.load(tmp_path / "features/tiny.train.npz") as file:
        assert len(file["features"]) == len(KEPT)


class Recorder:
    """Random views that note of which samples they are."""

    def __init__(self):
        self.views, self.seen = crop_and_flip(1), []

    def one(self, images, index, *arguments, **options):
        self.seen += index.tolist()
        return self.views.one(images, index, *arguments, **options)


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("linear-paper", {"epochs": [30]}),
        ("fine-tuning", {"epochs": [15], "draws": [1], "learning_rates": [3e-3], "batch_size": 11}),
    ],
)
def test_classifiers_on_pictures(trained, shards, tmp_path, monkeypatch, name, task):
    recorder = Recorder()
    monkeypatch.setattr(f"evaluation.probing.{name.replace('-', '_')}.crop_and_flip", lambda seed: recorder)
    found, predictions = done(trained, shards, tmp_path, name, fractions=[1.0], **task)
    top1 = found["top1"]
    assert (top1["n"], top1["labels_used"]) == (len(TEST_KEPT), len(KEPT)) and top1["value"] > 0.5
    assert predictions[f"{top1['predictions']}.index"].tolist() == TEST_KEPT
    assert sorted(recorder.seen) == sorted(KEPT * task["epochs"][0]), "draws hang on the index"


def test_discovery(trained, shards, tmp_path):
    found, arrays = done(trained, shards, tmp_path, "discovery", anchors=6, found=2)
    index = arrays["tiny.train.image.index"]
    assert len(index) == 32 and set(index.tolist()) <= set(KEPT)
    assert arrays["tiny.train.image.label.class"].tolist() == ["red", "green", "blue", "grey"]
    sizes = np.bincount([n % 4 for n in index], minlength=4)
    np.testing.assert_array_equal(arrays["tiny.train.image.label.class_pairs"], sizes * 28)
    with np.load(tmp_path / "discovery/gallery.npz") as gallery:
        finds = gallery["found"][gallery["found"] >= 0]
        assert not set(VACANT) & {*gallery["anchor"].tolist(), *finds.tolist()}
        assert gallery["anchor_label"].tolist() == [n % 4 for n in gallery["anchor"]]
    assert found["precision"]["n"] == 32


def test_retrieval_and_pairs(shards, tmp_path):
    config = run_config("fastclip-v1", "glofnd", "bimodal", epochs=1, alpha=0.2)
    pretrain(config, shards / "tiny/train", tmp_path / "run")
    found, predictions = done(tmp_path / "run/checkpoint.pt", shards, tmp_path, "retrieval", ks=[1, 10])
    to_text, to_image = (found[f"{way}-recall-at-1"] for way in ("image-to-text", "text-to-image"))
    assert (to_text["n"], to_text["candidates"]) == (len(TEST_KEPT), len(TEST_KEPT) + 4)
    assert (to_image["n"], to_image["candidates"]) == (len(TEST_KEPT) + 4, len(TEST_KEPT))
    assert predictions[f"{to_text['predictions']}.index"].tolist() == TEST_KEPT
