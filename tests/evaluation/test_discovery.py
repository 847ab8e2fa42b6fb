import copy

import numpy as np
import pytest
import torch
from tiny_shards import baseline_config

from evaluation.detection import pooled
from evaluation.discovery import discover, discover_untrained
from evaluation.discovery_report import exact_counts
from evaluation.gallery import finds_of, spread_over_classes
from evaluation.observing import Observation, observe
from evaluation.tasks import DiscoveryTask
from glofnd import checkpoint
from glofnd.data.stream import ShardStream
from glofnd.encoders import build_model
from glofnd.files import read_json
from glofnd.pretraining import embed_pair, objective_from
from glofnd.views import TwoViews

TASK = DiscoveryTask("tiny")


def opened(path, shards):
    state = checkpoint.read(path)
    config = checkpoint.config_of(state)
    model = build_model(config)
    model.load_state_dict(state["model"])
    stream = ShardStream(shards / "tiny" / "train", batch_size=8, seed=config["seed"])
    return state, config, model, objective_from(state, stream.samples), stream


def test_observing_changes_nothing_that_was_learned(trained, shards):
    state, config, model, objective, stream = opened(trained("sogclr", "glofnd", alpha=0.2), shards)
    before = copy.deepcopy(objective.state_dict())
    observe(model, objective, stream, config, state["epoch"])
    for name, value in model.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(value, state["model"][name], rtol=0, atol=0)
    for name, value in objective.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_counts_equal_a_plain_loop(trained, shards):
    path = trained("sogclr", "batch-quantile", alpha=0.2)
    state, config, model, objective, stream = opened(path, shards)
    side = observe(model, objective, stream, config, state["epoch"])["image"]

    _, _, model, _, stream = opened(path, shards)
    model.train()
    views = TwoViews(**config["views"], seed=config["seed"])
    dropped, correct, true, seen = (np.zeros(28, int) for _ in range(4))
    with torch.no_grad():
        for batch in stream.epoch(state["epoch"]):
            both = torch.cat(embed_pair(model, views, batch, state["epoch"], "fp32"))
            both = torch.nn.functional.normalize(both, dim=1)
            similarity = (both @ both.T).numpy()
            labels = batch.labels["label"].numpy()
            for row in range(16):
                others = [column for column in range(16) if column % 8 != row % 8]
                threshold = np.quantile(similarity[row, others], 0.8)
                sample = int(batch.index[row % 8])
                for column in others:
                    same, drop = labels[row % 8] == labels[column % 8], similarity[row, column] > threshold
                    dropped[sample] += drop
                    true[sample] += same
                    correct[sample] += same and drop
            seen[batch.index.numpy()] = 1
    counts = side.counts["label"]
    np.testing.assert_array_equal(counts.dropped, dropped)
    np.testing.assert_array_equal(counts.correct, correct)
    np.testing.assert_array_equal(counts.true, true)
    np.testing.assert_array_equal(counts.pairs, seen * 28)
    np.testing.assert_array_equal(side.seen, seen == 1)


def by_name(out):
    return {metric["metric"]: metric for metric in read_json(out / "metrics.json")["metrics"]}


def test_glofnd_findings(trained, shards, tmp_path):
    discover(trained("sogclr", "glofnd", alpha=0.2), shards, TASK, tmp_path, threads=1)
    found = by_name(tmp_path)
    for name in ("precision", "recall", "f1", "precision_per_anchor", "average_precision", "exact_f1", "f1@warm"):
        assert 0 <= found[name]["value"] <= 1
    assert found["precision"]["chance"] == found["base_rate"]["value"]
    assert found["recall"]["chance"] == found["dropped_share"]["value"]
    assert not found["threshold_error"]["higher_is_better"]
    assert [name for name, metric in found.items() if metric.get("primary")] == ["f1"]
    with np.load(tmp_path / "predictions.npz") as arrays:
        error = np.abs(arrays["tiny.train.image.threshold"] - arrays["tiny.train.image.exact"])
        assert error.mean() == pytest.approx(found["threshold_error"]["value"])
        assert len(arrays["tiny.train.image.index"]) == 24


def test_oracle_is_right_and_complete(trained, shards, tmp_path):
    discover(trained("sogclr", "oracle"), shards, TASK, tmp_path, threads=1)
    found = by_name(tmp_path)
    assert (found["precision"]["value"], found["recall"]["value"]) == (1, 1)
    assert found["precision@warm"]["value"] == 1
    assert found["dropped_share"]["value"] == found["base_rate"]["value"]
    assert "threshold_error" not in found
    assert 0 < found["exact_f1"]["value"] < 1, "what exact quantiles would find in the oracle's embedding"
    with np.load(tmp_path / "gallery.npz") as gallery:
        assert gallery["correct"][gallery["found"] >= 0].all()
        assert np.isnan(gallery["threshold"]).all()
        assert set(gallery["anchor_label"]) == {0, 1, 2, 3}


def test_none_has_base_rate_and_average_precision_only(trained, shards, tmp_path):
    discover(trained("sogclr", "none"), shards, TASK, tmp_path, threads=1)
    found = by_name(tmp_path)
    assert found["dropped_share"]["value"] == 0
    assert found["precision"]["value"] is None
    assert found["precision_per_anchor"]["value"] is None
    assert found["recall"]["value"] == 0
    assert found["average_precision"]["value"] > 0
    with np.load(tmp_path / "gallery.npz") as gallery:
        assert gallery["anchor_image"].shape == (0, 32, 32, 3)
        assert gallery["found_image"].shape == (0, 8, 32, 32, 3)


def test_bimodal_has_both_sides(trained, shards, tmp_path):
    path = trained("fastclip-v1", "glofnd", "bimodal", alpha=0.2)
    discover(path, shards, DiscoveryTask("tiny", anchors=3, found=2), tmp_path, threads=1)
    found = by_name(tmp_path)
    assert {"f1", "text_f1", "threshold_error", "text_threshold_error", "text_f1@warm"} <= found.keys()
    with np.load(tmp_path / "gallery.npz") as gallery:
        assert gallery["found"].shape[1] == 2
        real = gallery["found"] >= 0
        assert real[:, 0].all()
        assert (gallery["similarity"] > gallery["threshold"][:, None])[real].all()
        assert (gallery["found"] != gallery["anchor"][:, None]).all()
        same = gallery["found_label"] == gallery["anchor_label"][:, None]
        np.testing.assert_array_equal(gallery["correct"], same & real)


def test_other_shards_are_refused(trained, shards, tmp_path):
    with pytest.raises(ValueError, match="not the shards"):
        discover(trained("sogclr", "none"), shards, DiscoveryTask("tiny", "test"), tmp_path, threads=1)


@pytest.mark.parametrize("detector", ["glofnd", "batch-quantile", "global-threshold"])
def test_curves_and_classes(trained, shards, tmp_path, detector):
    discover(trained("sogclr", detector, alpha=0.2), shards, TASK, tmp_path, threads=1)
    found = by_name(tmp_path)
    with np.load(tmp_path / "predictions.npz") as arrays:
        for field, classes in (("label", 4), ("warm", 2)):
            entry = f"tiny.train.image.{field}"
            curve, shifted = arrays[f"{entry}.curve"], arrays[f"{entry}.curve_shifted"]
            assert (np.diff(curve[:, 0]) >= 0).all() and (np.diff(curve[:, 2]) >= 0).all()
            assert (np.diff(shifted[:, 1]) <= 0).all(), "a higher threshold drops less"
            assert shifted[0, 1] > found["dropped_share"]["value"] > shifted[-1, 1]
            assert arrays[f"{entry}.curve_global"].shape == curve.shape == (38, 3)
            labels = read_json(shards / "tiny" / "train" / "manifest.json")["labels"][field]
            mine = np.array(labels)[arrays["tiny.train.image.index"]]
            for key in ("pairs", "dropped", "true", "correct"):
                whole = np.bincount(mine, arrays[f"{entry}.{key}"], minlength=classes)
                np.testing.assert_array_equal(arrays[f"{entry}.class_{key}"], whole)
            assert len(arrays[f"{entry}.class"]) == classes
        correct, dropped = (arrays[f"tiny.train.image.label.class_{key}"] for key in ("correct", "dropped"))
    shares = correct[dropped > 0] / dropped[dropped > 0]
    assert found["precision_per_class"]["value"] == pytest.approx(shares.mean())
    assert found["precision_per_class"]["n"] == (dropped > 0).sum()


@pytest.mark.parametrize("name", ["raw-pixels", "random-init"])
def test_a_baseline_finds_what_exact_quantiles_find(shards, tmp_path, name):
    task = DiscoveryTask("tiny", alpha=0.2)
    discover_untrained(name, baseline_config(name), {"baseline": name}, shards, task, tmp_path, threads=1)
    found = by_name(tmp_path)
    assert read_json(tmp_path / "metrics.json")["run"]["kind"] == "baseline"
    assert found["dropped_share"]["value"] == pytest.approx(0.2, abs=0.05)
    assert 0 < found["precision"]["value"] <= 1
    assert "threshold_error" not in found and "exact_f1" not in found
    if name == "raw-pixels":
        assert found["precision"]["value"] > 1.5 * found["base_rate"]["value"], "four colours are easily told apart"
    with np.load(tmp_path / "gallery.npz") as gallery:
        assert (gallery["found"][:, 0] >= 0).all()


def test_a_bimodal_baseline_compares_pictures_with_texts(shards, tmp_path):
    config = baseline_config("random-init", modality="bimodal")
    discover_untrained("random-init", config, {"baseline": "x"}, shards, TASK, tmp_path, threads=1)
    found = by_name(tmp_path)
    assert found["text_dropped_share"]["value"] == pytest.approx(found["text_base_rate"]["value"], abs=0.06)
    with pytest.raises(ValueError, match="a text has no pixels"):
        discover_untrained("raw-pixels", config, {"baseline": "x"}, shards, TASK, tmp_path, threads=1)


def tiny_side(vectors, threshold, seen=None):
    anchors = np.asarray(vectors, np.float32)[None]
    anchors /= np.linalg.norm(anchors, axis=2, keepdims=True)
    samples = anchors.shape[1]
    seen = np.ones(samples, bool) if seen is None else np.array(seen, bool)
    return Observation(anchors, anchors, seen, np.full(samples, threshold), {}, {}, [np.arange(samples)])


def test_finds_are_sorted_and_above_the_threshold():
    angles = np.array([0, 0.2, 0.1, 1.5, 0.3])
    side = tiny_side(np.stack([np.cos(angles), np.sin(angles)], axis=1), threshold=0.96, seen=[1, 1, 1, 1, 0])
    labels = np.array([0, 0, 1, 0, 0])
    found, similarity = finds_of(side, np.array([0, 3]), labels, by_label=False, count=3)
    assert found.tolist() == [[2, 1, -1], [-1, -1, -1]]
    np.testing.assert_allclose(similarity[0, :2], np.cos([0.1, 0.2]), rtol=1e-6)
    assert finds_of(side, np.array([0]), labels, by_label=True, count=3)[0].tolist() == [[1, 3, -1]]


def test_anchors_take_turns_over_classes():
    labels = np.array([0, 0, 0, 1, 1, 2])
    assert spread_over_classes(labels, np.array([0, 1, 2, 3, 4, 5]), 4).tolist() == [0, 3, 5, 1]


def test_exact_counts_use_the_given_thresholds():
    side = tiny_side([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], threshold=np.nan)
    exact = np.array([0.9, 0.9, np.nan, 0.9])
    counts = exact_counts(side, np.array([0, 0, 1, 0]), exact)
    assert counts.pairs.tolist() == [3, 3, 0, 3]
    assert counts.dropped.tolist() == [1, 1, 0, 1]
    assert pooled(counts)["precision"].value == pytest.approx(2 / 3)
