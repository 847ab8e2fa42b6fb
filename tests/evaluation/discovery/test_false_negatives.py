import copy

import numpy as np
import pytest
import torch

from evaluation import evaluate
from evaluation.discovery.false_negatives import finds_of
from evaluation.discovery.observation import Observation, observe
from glofnd import checkpoint
from glofnd.data.stream import ShardStream
from glofnd.encoders import load_model
from glofnd.files import read_json
from glofnd.pretraining import embed_pair, objective_from
from glofnd.views import TwoViews
from tests.evaluation.tiny_shards import baseline_config, write_split


def opened(path, shards):
    state = checkpoint.read(path)
    config = checkpoint.config_of(state)
    stream = ShardStream(shards / "tiny" / "train", batch_size=8, seed=config["seed"])
    model = load_model(path)
    return state, config, model, objective_from(state, stream.samples, model.dim), stream


def discovered(path, shards, out, **task):
    """Metrics of discovery by name, and the arrays beside them."""
    config = checkpoint.config_of(checkpoint.read(path))
    evaluate(config, {"discovery": [{"dataset": "tiny", **task}]}, path, shards, out)
    arrays = {}
    for name in ("predictions.npz", "gallery.npz"):
        with np.load(out / "discovery" / name) as file:
            arrays |= {key: file[key] for key in file.files}
    return {metric["metric"]: metric for metric in read_json(out / "discovery/metrics.json")["metrics"]}, arrays


def test_observing_changes_nothing_that_was_learned(trained, shards):
    state, config, model, objective, stream = opened(trained("sogclr", "glofnd", alpha=0.2), shards)
    before = copy.deepcopy(objective.state_dict())
    observe(model, objective, stream, config, state["epoch"])
    assert not model.training
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, state["model"][name], rtol=0, atol=0)
    for name, value in objective.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_counts_equal_a_plain_loop(trained, shards):
    path = trained("sogclr", "batch-quantile", alpha=0.2)
    state, config, model, objective, stream = opened(path, shards)
    side = observe(model, objective, stream, config, state["epoch"])["image"]
    model.train()
    views = TwoViews(**config["views"], seed=config["seed"])
    dropped, correct, true, seen = (np.zeros(28, int) for _ in range(4))
    with torch.no_grad():
        for batch in stream.epoch(state["epoch"]):
            both = torch.cat(embed_pair(model, views, batch, state["epoch"], "fp32"))
            both = torch.nn.functional.normalize(both, dim=1)
            similarity, labels = (both @ both.T).numpy(), batch.labels["label"].numpy()
            for row in range(16):
                anchor = int(batch.index[row % 8])
                seen[anchor] = 1
                for columns in (range(8), range(8, 16)):
                    negatives = [c for c in columns if c % 8 != row % 8]
                    limit = np.quantile(similarity[row, [c for c in range(16) if c % 8 != row % 8]], 0.8)
                    for column in negatives:
                        same = labels[row % 8] == labels[column % 8]
                        above = similarity[row, column] > limit
                        dropped[anchor] += above
                        correct[anchor] += above and same
                        true[anchor] += same
    counts = side.counts["label"]
    np.testing.assert_array_equal(counts.dropped, dropped)
    np.testing.assert_array_equal(counts.correct, correct)
    np.testing.assert_array_equal(counts.true, true)
    np.testing.assert_array_equal(counts.pairs, seen * 28)


@pytest.mark.parametrize("detector", ["glofnd", "global-threshold"])
def test_findings_of_a_detector(trained, shards, tmp_path, detector):
    found, arrays = discovered(trained("sogclr", detector, alpha=0.2), shards, tmp_path)
    for name in ("precision", "recall", "f1", "precision_per_anchor", "f1_per_class", "exact_f1", "f1@warm"):
        assert 0 <= found[name]["value"] <= 1
    assert found["precision"]["chance"] == found["base_rate"]["value"]
    assert found["recall"]["chance"] == found["dropped_share"]["value"]
    assert [name for name, metric in found.items() if metric.get("primary")] == ["f1"]
    error = np.abs(arrays["tiny.train.image.threshold"] - arrays["tiny.train.image.exact"])
    assert error.mean() == pytest.approx(found["threshold_error"]["value"])
    assert not found["threshold_error"]["higher_is_better"]
    for field, classes in (("label", 4), ("warm", 2)):
        entry = f"tiny.train.image.{field}"
        curve, shifted = arrays[f"{entry}.curve"], arrays[f"{entry}.curve_shifted"]
        assert curve.shape == (38, 3) and (np.diff(curve[:, [0, 2]], axis=0) >= 0).all()
        assert (np.diff(shifted[:, 1]) <= 0).all(), "a higher threshold drops less"
        assert len(arrays[f"{entry}.class"]) == classes
    correct, dropped = (arrays[f"tiny.train.image.label.class_{key}"] for key in ("correct", "dropped"))
    assert found["precision"]["value"] == pytest.approx(correct.sum() / dropped.sum())
    assert found["precision_per_class"]["value"] == pytest.approx((correct[dropped > 0] / dropped[dropped > 0]).mean())


def test_oracle_is_right_and_complete(trained, shards, tmp_path):
    found, arrays = discovered(trained("sogclr", "oracle"), shards, tmp_path)
    assert (found["precision"]["value"], found["recall"]["value"], found["precision@warm"]["value"]) == (1, 1, 1)
    assert found["dropped_share"]["value"] == found["base_rate"]["value"]
    assert "threshold_error" not in found
    assert 0 < found["exact_f1"]["value"] < 1, "what exact quantiles would find in the oracle's embedding"
    assert arrays["correct"][arrays["found"] >= 0].all() and set(arrays["anchor_label"]) == {0, 1, 2, 3}


def test_bimodal_has_both_sides_and_a_gallery(trained, shards, tmp_path):
    path = trained("fastclip-v1", "glofnd", "bimodal", alpha=0.2)
    found, arrays = discovered(path, shards, tmp_path, anchors=3, found=2)
    assert {"f1", "text_f1", "threshold_error", "text_threshold_error", "text_f1@warm"} <= found.keys()
    real = arrays["found"] >= 0
    assert real.shape[1] == 2 and real[:, 0].all()
    assert (arrays["similarity"] > arrays["threshold"][:, None])[real].all()
    assert (arrays["found"] != arrays["anchor"][:, None]).all()
    same = arrays["found_label"] == arrays["anchor_label"][:, None]
    np.testing.assert_array_equal(arrays["correct"], same & real)


def test_other_shards_are_refused(trained, shards, tmp_path):
    with pytest.raises(ValueError, match="not the shards"):
        discovered(trained("sogclr", "none"), shards, tmp_path, split="test")


def test_raw_pixels_find_colours_but_cannot_be_compared_with_texts(shards, tmp_path):
    task = {"discovery": [{"dataset": "tiny", "alpha": 0.2}]}
    evaluate(baseline_config("raw-pixels"), task, None, shards, tmp_path)
    found = {m["metric"]: m["value"] for m in read_json(tmp_path / "discovery/metrics.json")["metrics"]}
    assert found["dropped_share"] == pytest.approx(0.2, abs=0.05)
    assert found["precision"] > 1.5 * found["base_rate"], "four colours are easily told apart"
    with pytest.raises(ValueError, match="a text has no pixels"):
        evaluate(baseline_config("raw-pixels", modality="bimodal"), task, None, shards, tmp_path / "b")


def test_data_without_labels_have_no_truth(tmp_path):
    write_split(tmp_path, "train", 28, seed=0, labelled=False)
    evaluate(
        baseline_config("random-init"), {"discovery": [{"dataset": "tiny", "alpha": 0.2}]}, None, tmp_path, tmp_path
    )
    found = read_json(tmp_path / "discovery/metrics.json")
    assert found["unlabelled"] and [m["metric"] for m in found["metrics"]] == ["dropped_share"]
    assert found["metrics"][0]["value"] == pytest.approx(0.2, abs=0.05)
    with np.load(tmp_path / "discovery/gallery.npz") as gallery:
        assert (gallery["found"][:, 0] >= 0).all() and not gallery["correct"].any()


def tiny_side(vectors, threshold, seen=None):
    anchors = np.asarray(vectors, np.float32)[None]
    anchors /= np.linalg.norm(anchors, axis=2, keepdims=True)
    samples = anchors.shape[1]
    seen = np.ones(samples, bool) if seen is None else np.array(seen, bool)
    return Observation(anchors, anchors, seen, np.full(samples, threshold), {}, [np.arange(samples)])


def test_finds_are_sorted_and_above_the_threshold():
    angles = np.array([0, 0.2, 0.1, 1.5, 0.3])
    side = tiny_side(np.stack([np.cos(angles), np.sin(angles)], axis=1), threshold=0.96, seen=[1, 1, 1, 1, 0])
    found, similarity = finds_of(side, np.array([0, 3]), None, count=3)
    assert found.tolist() == [[2, 1, -1], [-1, -1, -1]]
    np.testing.assert_allclose(similarity[0, :2], np.cos([0.1, 0.2]), rtol=1e-6)
    assert finds_of(side, np.array([0]), np.array([0, 0, 1, 0, 0]), count=3)[0].tolist() == [[1, 3, -1]]
