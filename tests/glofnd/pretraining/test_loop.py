import json
import re

import pytest
import torch
from tiny_run import assert_same, make_config, run, write_tiny

from glofnd.data.stream import ShardStream
from glofnd.pretraining import objective_from, pretrain
from glofnd.pretraining.__main__ import main


class BrokenOffError(Exception):
    pass


def interrupt_after(monkeypatch, batches):
    """The stream breaks off after so many batches; the run has saved after each."""
    original, given = ShardStream.epoch, [0]

    def epoch(self, *args, **kwargs):
        for batch in original(self, *args, **kwargs):
            if given[0] == batches:
                raise BrokenOffError
            given[0] += 1
            yield batch

    monkeypatch.setattr(ShardStream, "epoch", epoch)


METHODS = [
    ("unimodal", "sogclr", "location-scale", {}),
    ("unimodal", "simclr", "batch-quantile", {}),
    ("unimodal", "isogclr", "global-threshold", {"start_update": 1}),
    ("bimodal", "fastclip-v3", "glofnd", {"start_update": 1}),
    ("bimodal", "clip", "oracle", {}),
]


@pytest.mark.parametrize(("modality", "objective", "detector", "options"), METHODS)
def test_resumed_in_mid_epoch_equals_uninterrupted(
    shards, tmp_path, monkeypatch, modality, objective, detector, options
):
    config = make_config(objective, detector, modality, training={"checkpoint_seconds": 0}, start_filter=1, **options)
    whole = run(config, shards, tmp_path / "whole")
    out = tmp_path / "resumed"
    for stop in (2, 3):
        with monkeypatch.context() as patch:
            interrupt_after(patch, stop)
            with pytest.raises(BrokenOffError):
                pretrain(config, shards, out)
    assert not (out / "checkpoint.pt").exists()
    assert len(list(out.glob("resume-*.pt"))) == 1
    assert_same(whole, run(config, shards, out))
    assert sorted(p.name for p in out.iterdir()) == ["checkpoint.pt", "history.json", "metrics.json"]


@pytest.mark.parametrize(
    ("modality", "objective", "detector", "options"),
    [
        ("unimodal", "sogclr", "location-scale", {"start_update": 1, "start_filter": 2}),
        ("unimodal", "simclr", "global-threshold", {"start_update": 1, "start_filter": 1}),
        ("unimodal", "sogclr", "oracle", {"start_filter": 1}),
        ("bimodal", "fastclip-v1", "glofnd", {"start_update": 1, "start_filter": 2}),
    ],
)
def test_branched_equals_unbranched(shards, tmp_path, modality, objective, detector, options):
    config = make_config(objective, detector, modality, **options)
    trunk = make_config(objective, "none", modality)
    run(trunk, shards, tmp_path / "trunk", until_epoch=1)
    branched = run(config, shards, tmp_path / "branch", trunk=tmp_path / "trunk" / "checkpoint.pt")
    assert_same(run(config, shards, tmp_path / "straight"), branched)
    assert [entry["epoch"] for entry in branched["history"]] == [0, 1, 2]


def test_seeds_differ_from_the_first_step_and_the_same_seed_is_identical(shards, tmp_path):
    first = run(make_config(epochs=1), shards, tmp_path / "a")
    assert_same(first, run(make_config(epochs=1), shards, tmp_path / "b"))
    other = run(make_config(epochs=1, seed=2), shards, tmp_path / "c")
    assert first["history"][0]["loss"] != other["history"][0]["loss"]


def test_a_branch_of_another_config_is_refused_with_the_keys(shards, tmp_path):
    run(make_config(), shards, tmp_path / "trunk", until_epoch=1)
    changed = make_config(training={"lr": 0.5})
    with pytest.raises(ValueError, match=r"keys differ: training\.lr \(0\.001, now 0\.5\)$"):
        pretrain(changed, shards, tmp_path / "out", trunk=tmp_path / "trunk" / "checkpoint.pt")


def test_a_trunk_of_other_data_is_refused(shards, tmp_path):
    run(make_config(), shards, tmp_path / "trunk", until_epoch=1)
    other = write_tiny(tmp_path / "other", shards=2)
    with pytest.raises(ValueError, match="trained on other shards"):
        pretrain(make_config(), other, tmp_path / "out", trunk=tmp_path / "trunk" / "checkpoint.pt")


@pytest.mark.parametrize("epochs", [0, 4])
def test_stopping_outside_the_run_is_refused(shards, tmp_path, epochs):
    with pytest.raises(ValueError, match="not between 1 and the run's 3 epochs"):
        pretrain(make_config(), shards, tmp_path, until_epoch=epochs)


def test_a_changed_config_does_not_resume_the_old_one(shards, tmp_path, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        with pytest.raises(BrokenOffError):
            pretrain(make_config(training={"checkpoint_seconds": 0}), shards, out)
    changed = make_config(training={"lr": 0.01})
    assert_same(run(changed, shards, tmp_path / "fresh"), run(changed, shards, out))


def test_history_and_metrics_are_written(shards, tmp_path):
    config = make_config("sogclr", "location-scale", alpha=0.2, start_filter=1)
    state = run(config, shards, tmp_path)
    epochs = json.loads((tmp_path / "history.json").read_text())["epochs"]
    assert "detection" not in epochs[0]
    assert set(epochs[2]["detection"]) == set(epochs[2]["threshold"]) == {"image"}
    assert epochs[2]["detection"]["image"]["true_share"] == pytest.approx(5 / 23, abs=0.1)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["run"]["detector"] == "glofnd"
    assert metrics["provenance"]["inputs"]["shards"]
    thresholds = objective_from(state, 24).detectors["image"].thresholds
    assert thresholds.shape == (24,)
    assert (thresholds < 1).all()


def test_batch_larger_than_the_data(shards, tmp_path):
    with pytest.raises(ValueError, match="batch_size 64 exceeds the 24 samples"):
        pretrain(make_config(training={"batch_size": 64}), shards, tmp_path)


def test_unknown_truth_field(shards, tmp_path):
    with pytest.raises(ValueError, match="no field 'colour'; choose from label"):
        pretrain({**make_config(), "label": "colour"}, shards, tmp_path)


def test_missing_gpu(shards, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("a GPU is visible")
    with pytest.raises(ValueError, match="no GPU is visible"):
        pretrain(make_config(training={"device": "cuda"}), shards, tmp_path)


def test_a_loss_that_is_not_finite_stops_the_run(shards, tmp_path):
    with pytest.raises(ValueError, match=r"(?i)nan|infin|not finite|lower training.lr"):
        pretrain(make_config(training={"lr": 1e30, "precision": "fp32"}), shards, tmp_path)


def test_command_line_reports_one_line(shards, tmp_path, monkeypatch, capsys):
    config = json.dumps(make_config(training={"batch_size": 64}))
    arguments = ["pretraining", "--run-config", config, "--shards", str(shards), "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert re.fullmatch(r"error: .*batch_size 64 exceeds the 24 samples\n", capsys.readouterr().err)
