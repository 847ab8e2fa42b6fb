"""What a run begins with, records and refuses."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from glofnd.data import shard
from glofnd.objectives import OBJECTIVES
from glofnd.parameters import parameters
from glofnd.pretraining import TrainingOptions, objective_from, pretrain
from glofnd.pretraining.history import EpochRecord, detection_scores, threshold_quantiles
from glofnd.pretraining.options import EXECUTION
from glofnd.pretraining.processes import Processes
from glofnd.pretraining.trainer import Trainer
from tests.glofnd.pretraining.tiny_run import make_config, run

INDEX = torch.arange(8)


class Start:
    """Weights, order of the first epoch, views of the same pictures, loss of the first step."""

    def __init__(self, shards, *method, **options):
        config = make_config(*method, encoder="resnet18", **options)
        trainer = Trainer(config, TrainingOptions(**config["training"]), shards, Processes())
        trainer.start()
        self.weights = torch.cat([p.detach().flatten() for p in trainer.model.parameters() if p.dim() > 1])
        batches = list(trainer.stream.epoch(0))
        self.order = torch.cat([batch.index for batch in batches])
        pictures = torch.full((len(INDEX), 3, 16, 16), 128, dtype=torch.uint8)
        pictures[:, :, :8] = torch.arange(0, 256, 16, dtype=torch.uint8)
        self.views = torch.stack(list(trainer.views(pictures, INDEX, 0)))
        self.loss = trainer.train_step(batches[0])


@pytest.fixture(scope="module")
def first(shards):
    return Start(shards)


def test_two_seeds_share_neither_weights_nor_order_nor_views(shards, first):
    other = Start(shards, seed=2)
    # Weights drawn independently are uncorrelated, up to their number.
    correlation = torch.corrcoef(torch.stack([first.weights, other.weights]))[0, 1]
    assert abs(correlation) < 4 / len(first.weights) ** 0.5
    assert not torch.equal(first.order, other.order)
    assert sorted(first.order.tolist()) == sorted(other.order.tolist())
    same = [torch.equal(a, b) for a, b in zip(first.views.flatten(0, 1), other.views.flatten(0, 1), strict=True)]
    assert not any(same)
    assert first.loss != other.loss


@pytest.mark.parametrize("detector", ["none", "glofnd", "location-scale", "batch-quantile", "oracle"])
def test_methods_at_one_seed_are_paired_whatever_was_drawn_before(shards, first, detector):
    torch.manual_seed(99)
    torch.rand(5)
    np.random.seed(99)
    paired = Start(shards, "sogclr", detector)
    for part in ("weights", "order", "views"):
        assert torch.equal(getattr(first, part), getattr(paired, part)), part
    # Until a detector drops something, its first step is that of the run without one.
    assert first.loss == paired.loss


def test_history_and_metrics_are_written(shards, tmp_path):
    state = run(make_config("sogclr", "location-scale", alpha=0.2, start_filter=1), shards, tmp_path)
    epochs = json.loads((tmp_path / "history.json").read_text())["epochs"]
    assert [entry["epoch"] for entry in epochs] == [0, 1, 2]
    assert "detection" not in epochs[0]
    assert set(epochs[2]["detection"]) == set(epochs[2]["threshold"]) == {"image"}
    assert epochs[2]["detection"]["image"]["true_share"] == pytest.approx(5 / 23, abs=0.1)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["run"]["detector"] == "location-scale" and metrics["training"]["processes"] == 1
    assert metrics["provenance"]["inputs"]["shards"]
    thresholds = objective_from(state, 24, 4).detectors["image"].thresholds
    assert thresholds.shape == (24,) and thresholds.mean() < 0.95


@pytest.mark.parametrize("name", ["dcl", "hcl", "sce", "barlow-twins", "vicreg"])
def test_rivals_train_in_half_precision(shards, tmp_path, no_git, name):
    """The first three beside a detector that drops something from the second epoch on."""
    detector = "batch-quantile" if OBJECTIVES[name].uses_negatives else "none"
    run(make_config(name, detector, epochs=3, start_filter=1, training={"precision": "bf16"}), shards, tmp_path)
    epochs = json.loads((tmp_path / "history.json").read_text())["epochs"]
    assert epochs[2]["loss"] < epochs[0]["loss"] < np.inf
    assert ["detection" in entry for entry in epochs] == [False, detector != "none", detector != "none"]


REFUSED = [
    ({"training": {"batch_size": 64}}, "batch_size 64 exceeds the 24 samples"),
    ({"training": {"lr": 1e30}}, "not finite|lower training.lr"),
    ({"training": {"precision": "fp16"}}, "precision must be one of fp32, bf16, not 'fp16'"),
    ({"training": {"device": "cuda"}}, "no GPU is visible; use cpu or auto"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_refused(shards, tmp_path, options, message):
    if "GPU" in message and torch.cuda.is_available():
        pytest.skip("a GPU is visible")
    with pytest.raises(ValueError, match=message):
        pretrain(make_config(encoder="resnet10", **options), shards, tmp_path)


def test_pictures_without_labels_are_trained_on(tmp_path, no_git):
    for seed in (1, 2):
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)).save(
            tmp_path / f"{seed}.png"
        )
    shard(
        {"dataset": "folder", "path": str(tmp_path), "train": ".", "image_size": 16},
        "own",
        "train",
        None,
        tmp_path / "s",
    )
    config = make_config(detector="glofnd", start_update=0, start_filter=0, training={"batch_size": 2})
    run(config, tmp_path / "s", tmp_path / "out")
    epochs = json.loads((tmp_path / "out" / "history.json").read_text())["epochs"]
    assert len(epochs) == 3 and not {"detection", "knn"} & epochs[2].keys() and epochs[2]["threshold"]
    config = make_config(detector="oracle", training={"batch_size": 2})
    with pytest.raises(ValueError, match="the oracle needs labels"):
        run(config, tmp_path / "s", tmp_path / "other")


def test_unknown_label(shards, tmp_path):
    with pytest.raises(ValueError, match="no field 'colour'; choose from label"):
        pretrain({**make_config(), "label": "colour"}, shards, tmp_path)


def test_a_batch_that_cannot_be_split_evenly_is_refused(shards):
    processes, config = Processes(), make_config()
    processes.size = 3
    with pytest.raises(ValueError, match="8 samples cannot be split evenly among 3 processes; take a multiple"):
        Trainer(config, TrainingOptions(**config["training"]), shards, processes)


def test_every_option_is_declared():
    assert list(parameters(TrainingOptions)) == list(TrainingOptions.__dataclass_fields__)
    assert set(EXECUTION) < set(parameters(TrainingOptions))


def test_detection_scores():
    assert detection_scores(pairs=100, dropped=8, true=10, correct=6) == pytest.approx(
        {"dropped_share": 0.08, "true_share": 0.1, "precision": 0.75, "recall": 0.6, "f1": 2 * 0.75 * 0.6 / 1.35}
    )
    nothing = detection_scores(pairs=100, dropped=0, true=10, correct=0)
    assert (nothing["precision"], nothing["recall"], nothing["f1"]) == (None, 0.0, 0.0)


def test_inspection_counts_pairs_of_both_views():
    labels, size = torch.tensor([0, 0, 1]), 6
    negative = ~(torch.eye(3, dtype=torch.bool).repeat(2, 2))
    dropped = torch.zeros(size, size, dtype=torch.bool)
    dropped[0, 1] = dropped[0, 2] = True
    seen = SimpleNamespace(anchor=torch.arange(size), candidate=torch.arange(size), negative=negative, dropped=dropped)
    record = EpochRecord()
    record.add_inspection({"image": seen}, labels)
    record.settle()
    assert record.sums["detection"]["image"] == {"pairs": 24, "dropped": 2, "true": 8, "correct": 1}


def test_threshold_quantiles():
    found = threshold_quantiles(torch.linspace(-1, 1, 101))
    assert found == pytest.approx({"q05": -0.9, "q25": -0.5, "q50": 0.0, "q75": 0.5, "q95": 0.9}, abs=1e-6)
    assert threshold_quantiles(torch.tensor(0.5))["q05"] == 0.5
    assert threshold_quantiles(None) is None
