import dataclasses

import numpy as np
import pytest
from stored import make_split, make_store

from evaluation.classification import LINEAR_PROTOCOL, TRANSFER_PROTOCOL, ProbeData, run_linear, run_transfer
from evaluation.feature_store import FeatureStoreError
from evaluation.logistic import LinearClassifier
from evaluation.probe import Probe
from evaluation.tasks import LinearTask, TransferTask
from glofnd.files import read_json

TASK = LinearTask("a", fractions=(1, 0.1, 0.01), draws=(1, 2, 3))


def values(findings, key):
    return [(m["metric"], m["fraction"], m[key]) for m in findings.metrics if key in m]


def store_with(folder, test):
    return make_store(folder, [make_split("a.train", 200, classes=8), test])


def test_test_labels_choose_nothing(tmp_path):
    test = make_split("a.test", 90, classes=8, seed=1)
    shuffled = np.random.default_rng(0).permutation(test.labels["label"])
    other = dataclasses.replace(test, labels={"label": shuffled})
    found, blind = (
        run_linear(store_with(tmp_path / "x", test), [TASK]),
        run_linear(store_with(tmp_path / "y", other), [TASK]),
    )
    assert values(found, "strength") == values(blind, "strength")
    for name, array in found.predictions.items():
        if name.endswith(".prediction"):
            np.testing.assert_array_equal(array, blind.predictions[name])
    assert values(found, "value") != values(blind, "value")


def test_test_pictures_choose_nothing(tmp_path):
    test = make_split("a.test", 90, classes=8, seed=1)
    other = make_split("a.test", 90, classes=8, seed=2)
    other.features[:] = 0
    found = run_linear(store_with(tmp_path / "x", test), [TASK])
    blind = run_linear(store_with(tmp_path / "y", other), [TASK])
    assert values(found, "strength") == values(blind, "strength")


def test_test_labels_choose_nothing_in_transfer(tmp_path):
    test = make_split("a.test", 90, classes=8, seed=1)
    shuffled = np.random.default_rng(0).permutation(test.labels["label"])
    other = dataclasses.replace(test, labels={"label": shuffled})
    found = run_transfer(store_with(tmp_path / "x", test), [TransferTask("a")])
    blind = run_transfer(store_with(tmp_path / "y", other), [TransferTask("a")])
    assert values(found, "strength") == values(blind, "strength")
    assert values(found, "value") != values(blind, "value")


def test_methods_at_one_seed_see_the_same_nested_labels(tmp_path, monkeypatch):
    seen = []

    def record(self, train, rows, metric, seed):
        seen.append(rows.tolist())
        width, classes = train.shape[1], len(self.side.classes)
        blank = LinearClassifier(np.zeros(width), np.zeros((width, classes)), np.zeros(classes))
        return Probe(blank, 1.0, "fixed", 0.0)

    monkeypatch.setattr(ProbeData, "fit", record)
    test = make_split("a.test", 90, classes=8, seed=1)
    splits = [make_split("a.train", 200, classes=8, seed=seed) for seed in (0, 5)]
    for name, train in zip("xy", splits, strict=True):
        run_linear(make_store(tmp_path / name, [train, test]), [TASK])
    assert not np.array_equal(splits[0].features, splits[1].features)
    first, second = seen[:6], seen[6:]
    assert first == second
    everything, tenth, hundredth = first[:1], first[1:3], first[3:]
    assert set(everything[0]) == set(range(200))
    for larger, smaller in zip(tenth, hundredth, strict=False):
        assert set(smaller) < set(larger)
    assert len({tuple(rows) for rows in hundredth}) == 3


def test_tasks_that_share_their_training_are_fitted_once(tmp_path, monkeypatch):
    tests = [make_split(f"a.{name}", 90, classes=8, seed=seed) for name, seed in (("test", 1), ("far", 2))]
    store = make_store(tmp_path, [make_split("a.train", 200, classes=8), *tests])
    far = dataclasses.replace(TASK, test="far")
    fits = []
    plain = ProbeData.fit
    monkeypatch.setattr(ProbeData, "fit", lambda self, *options: fits.append(options[1]) or plain(self, *options))
    alone = [run_linear(store, [task]) for task in (TASK, far)]
    assert len(fits) == 2 * sum(TASK.draws)
    both = run_linear(store, [TASK, far])
    assert len(fits) == 3 * sum(TASK.draws)
    run_linear(store, [TASK, dataclasses.replace(far, metric="mean-per-class")])
    assert len(fits) == 5 * sum(TASK.draws)
    for found in alone:
        for name, array in found.predictions.items():
            np.testing.assert_array_equal(array, both.predictions[name])


def test_linear_findings(tmp_path):
    store = store_with(tmp_path, make_split("a.test", 90, classes=8, seed=1))
    findings = run_linear(store, [TASK])
    findings.write(tmp_path / "out", {})
    written = read_json(tmp_path / "out" / "metrics.json")
    assert written["protocol"] == LINEAR_PROTOCOL
    assert written["run"] == store.run
    by_name = {(m["metric"], m["fraction"]): m for m in written["metrics"]}
    assert {name for name, _ in by_name} == {
        "top1", "mean-per-class", "top5", "knn-top1", "knn-mean-per-class", "knn-top5",
    }  # fmt: skip
    full, few = by_name["top1", 1], by_name["top1", 0.01]
    assert (full["chance"], by_name["top5", 1]["chance"], full["n"]) == (1 / 8, 5 / 8, 90)
    assert (full["selection"], few["selection"], few["strength"]) == ("5-fold", "fixed", [1.0] * 3)
    assert (full["labels_used"], few["labels_used"], few["draws"]) == (200, 8, 3)
    assert full["value"] > 0.6 > few["value"] > 0.125
    assert full["primary"] and not by_name["knn-top1", 1]["primary"]
    assert full["gap"] < 1e-6
    with np.load(tmp_path / "out" / "predictions.npz") as arrays:
        prediction, truth = arrays[f"{few['predictions']}.prediction"], arrays[f"{few['predictions']}.truth"]
    assert prediction.shape == (3, 90)
    assert (prediction == truth).mean() == pytest.approx(few["value"])
    assert np.std((prediction == truth).mean(axis=1), ddof=1) == pytest.approx(few["draw_std"])


def test_the_same_seed_gives_the_same_numbers(tmp_path):
    test = make_split("a.test", 90, classes=8, seed=1)
    first, second = (run_linear(store_with(tmp_path / k, test), [TASK]).metrics for k in "xy")
    assert first == second


def test_second_task_on_a_split_carries_its_label(tmp_path):
    store = store_with(tmp_path, make_split("a.test", 90, classes=8, seed=1))
    findings = run_transfer(store, [TransferTask("a"), TransferTask("a", label="parity", metric="mean-per-class")])
    assert findings.protocol == TRANSFER_PROTOCOL
    names = [metric["metric"] for metric in findings.metrics]
    assert names == ["top1", "mean-per-class", "top5", "top1@parity", "mean-per-class@parity"]
    assert [m["metric"] for m in findings.metrics if m["primary"]] == ["top1", "mean-per-class@parity"]


def test_transfer_ignores_the_length_of_a_feature(tmp_path):
    def scaled(split):
        scale = np.random.default_rng(0).uniform(0.1, 10, (len(split.index), 1)).astype(np.float32)
        return dataclasses.replace(split, features=split.features * scale)

    splits = [make_split("a.train", 200, classes=8), make_split("a.test", 90, classes=8, seed=1)]
    plain = run_transfer(make_store(tmp_path / "x", splits), [TransferTask("a")])
    other = run_transfer(make_store(tmp_path / "y", [scaled(split) for split in splits]), [TransferTask("a")])
    assert plain.metrics[0]["value"] == pytest.approx(other.metrics[0]["value"], abs=0.012)


def test_training_pictures_in_the_test_set_are_refused(tmp_path):
    test = make_split("a.test", 90, classes=8, seed=1)
    test.content[:3] = [5, 6, 7]
    with pytest.raises(FeatureStoreError, match=r"a\.test: 3 of 90 pictures are also in a\.train \(first: sample 0\)"):
        run_linear(store_with(tmp_path, test), [TASK])


def test_a_few_shared_pictures_are_counted(tmp_path):
    test = make_split("a.test", 120, classes=8, seed=1)
    test.content[4] = 5
    findings = run_transfer(store_with(tmp_path, test), [TransferTask("a")])
    metric = findings.metrics[0]
    assert (metric["shared_pictures"], metric["near_duplicates"]) == (1, 0)
    hits = findings.predictions["a.test.label.prediction"][0] == findings.predictions["a.test.label.truth"]
    assert metric["clean_value"] == pytest.approx(np.delete(hits, 4).mean())


def test_near_duplicates_are_counted_and_scored_apart(tmp_path):
    test = make_split("a.test", 120, classes=8, seed=1)
    train = make_split("a.train", 200, classes=8)
    test.thumbnail[:6] = train.thumbnail[:6]
    findings = run_transfer(make_store(tmp_path, [train, test]), [TransferTask("a")])
    metric = findings.metrics[0]
    assert (metric["shared_pictures"], metric["near_duplicates"]) == (0, 6)
    hits = findings.predictions["a.test.label.prediction"][0] == findings.predictions["a.test.label.truth"]
    assert metric["clean_value"] == pytest.approx(hits[6:].mean())


def test_labels_that_training_lacks_are_refused(tmp_path):
    test = make_split("a.test", 30, classes=9, seed=1)
    with pytest.raises(FeatureStoreError, match=r"3 samples have a label that a\.train has not \(first: sample 8\)"):
        run_linear(store_with(tmp_path, test), [TASK])


def test_a_single_class_is_refused(tmp_path):
    splits = [make_split("a.train", 20, classes=1), make_split("a.test", 20, classes=1, seed=1)]
    with pytest.raises(FeatureStoreError, match="has a single class"):
        run_linear(make_store(tmp_path, splits), [TASK])
