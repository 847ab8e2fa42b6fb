"""A disk that fills up: one line, what was there stays whole, nothing half is left; with space the command goes on."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from glofnd.data.sources.commands import FetchError
from glofnd.files import read_json
from glofnd.registry import EXECUTION
from tests.evaluation.tiny_shards import run_config, write_split
from tests.faults.broken_places import contents, full, mounted
from tests.workflow.results_tree import write_tree

pytestmark = pytest.mark.slow
NO_SPACE = "no space left on device; free some, then run the same command again"


@pytest.fixture
def disk(tmp_path):
    with mounted(tmp_path / "disk", "16m") as folder:
        (folder / "earlier").mkdir()
        (folder / "earlier/metrics.json").write_text('{"value": 1}')
        yield folder


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    root = tmp_path_factory.mktemp("shards")
    write_split(root, "train", 28, seed=0)
    write_split(root, "test", 12, seed=1)
    return root


def fills_up(command, disk, spare, target, *arguments):
    """The command fails for lack of space with an error of `target`, leaves all else as it was, and then succeeds."""
    before = contents(disk)
    with full(disk, spare):
        assert command.refused(*arguments) == f"error: {target}: {NO_SPACE}"
        left = contents(disk)
        assert {name: left[name] for name in before} == before
        assert [name for name in left if name.endswith(".part")] == []
        assert str(target.relative_to(disk)) not in left.keys() - before.keys()
    code, said = command(*arguments)
    assert code == 0, said


def test_shards(command, disk, tmp_path):
    assert command("glofnd.data", "fetch", "--source", "digits", "--out", tmp_path / "raw")[0] == 0
    block = json.dumps({"dataset": "digits", "shards": 2, "train_samples": 200, "image_size": 16})
    arguments = ["glofnd.data", "shard", "--dataset-config", block, "--split", "train", "--raw", tmp_path / "raw"]
    out = disk / "digits"
    fills_up(command, disk, 300_000, out / "000001.tar", *arguments, "--out", out)
    assert command(*arguments, "--out", tmp_path / "undisturbed")[0] == 0
    assert contents(out) == contents(tmp_path / "undisturbed")


def test_a_source_that_comes_with_a_package(command, disk):
    fills_up(
        command,
        disk,
        2**15,
        disk / "raw/images.npy",
        "glofnd.data",
        "fetch",
        "--source",
        "digits",
        "--out",
        disk / "raw",
    )


def test_a_download_is_not_tried_again(disk, tmp_path, monkeypatch):
    from glofnd.data.sources import archives, commands

    monkeypatch.setattr(commands, "ATTEMPTS", 1)  # a second would raise FetchError
    (tmp_path / "it.bin").write_bytes(b"x" * 2**17)
    archive = archives.Archive((tmp_path / "it.bin").as_uri(), "0", "0", 2**17)
    with full(disk), pytest.raises(OSError, match="No space left on device") as caught:
        archives.download(archive, disk / "raw")
    assert not isinstance(caught.value, FetchError) and Path(caught.value.filename) == disk / "raw/it.bin"


@pytest.fixture
def pretraining(shards):
    config = run_config("sogclr", "glofnd", epochs=2)
    config["training"] = {key: value for key, value in config["training"].items() if key not in EXECUTION}
    return ["glofnd.pretraining", "--run-config", json.dumps(config), "--shards", shards / "tiny/train"]


@pytest.mark.parametrize("seconds", [0, 1000])
def test_training(command, disk, pretraining, seconds, tmp_path):
    """At its rolling checkpoint, and at its results."""
    out, earlier = disk / "run", disk / "run/features/manifest.json"
    earlier.parent.mkdir(parents=True)
    earlier.write_text("{}")
    arguments = [*pretraining, "--checkpoint-seconds", seconds, "--out"]
    before = contents(disk)
    with full(disk, 2**16):
        line = command.refused(*arguments, out)
        expected = "resume-" if seconds == 0 else "checkpoint.pt"
        assert line.startswith(f"error: {out / expected}") and line.endswith(NO_SPACE)
        left = contents(disk)
        assert {name: left[name] for name in before} == before
        assert not [name for name in left if name.endswith((".part", "checkpoint.pt"))]
    assert command(*arguments, out)[0] == 0
    assert command(*arguments, tmp_path / "undisturbed")[0] == 0
    assert (
        read_json(out / "history.json")["epochs"][-1]["loss"]
        == (read_json(tmp_path / "undisturbed/history.json")["epochs"][-1]["loss"])
    )
    assert not list(out.glob("resume-*"))


def test_training_goes_on_from_what_it_had(command, disk, pretraining):
    """The disk is full when the last rolling checkpoint is already there."""
    out, config = disk / "run", json.loads(pretraining[2])
    with full(disk, 800_000):
        line = command.refused(*pretraining, "--checkpoint-seconds", 0, "--out", out)
        (resume,) = out.glob("resume-*.pt")
        assert line == f"error: {resume}: {NO_SPACE}" and config["run"]
    code, said = command(*pretraining, "--out", out)
    assert code == 0 and "not used" not in said and (out / "checkpoint.pt").is_file()


def test_features_and_metrics(command, disk, pretraining, shards, tmp_path):
    assert command(*pretraining, "--out", tmp_path / "run")[0] == 0
    features, splits = disk / "features", ["--split", "tiny/train", "--split", "tiny/test"]
    checkpoint = ["--checkpoint", tmp_path / "run/checkpoint.pt", "--shards", shards]
    target = features / "tiny.train.npz"
    fills_up(command, disk, 0, target, "evaluation", "features", *checkpoint, *splits, "--out", features)
    task = ["--task", '{"dataset": "tiny"}']
    target = disk / "linear/predictions.npz"
    fills_up(command, disk, 0, target, "evaluation", "linear", "--features", features, *task, "--out", disk / "linear")
    target = disk / "discovery/gallery.npz"
    task = ["--task", '{"dataset": "tiny", "split": "train"}']
    fills_up(command, disk, 0, target, "evaluation", "discovery", *checkpoint, *task, "--out", disk / "discovery")


def test_tables_and_report(command, disk, tmp_path):
    write_tree(tmp_path / "results")
    benchmark = tmp_path / "results/benchmark.json"
    aggregate = ["workflow.scripts.aggregate", "--benchmark", benchmark]
    fills_up(command, disk, 0, disk / "summary.parquet", *aggregate, "--out", disk)
    significance = ["workflow.scripts.significance", "--benchmark", benchmark, "--summary", disk / "summary.parquet"]
    tables = ["--out", disk / "significance.csv", "--overall", disk / "overall.csv"]
    fills_up(command, disk, 0, disk / "significance.csv", *significance, *tables)
    for name in ("summary.parquet", "significance.csv"):
        (tmp_path / "results" / name).write_bytes((disk / name).read_bytes())
    (tmp_path / "results/significance_overall.csv").write_bytes((disk / "overall.csv").read_bytes())
    report = ["workflow.scripts.report", "--benchmark", benchmark, "--out", disk / "report.html"]
    fills_up(command, disk, 0, disk / "report.html", *report)


@pytest.mark.parametrize("spare", [0, 2**20])
def test_mlflow(command, disk, spare):
    """When its tables are made, and in the middle of an import."""
    results = disk / "results"
    config = {**write_tree(results), "seeds": [1]}
    (results / "benchmark.json").write_text(json.dumps(config))
    before = contents(disk)
    arguments = ["workflow.scripts.mlflow_import", "--benchmark", results / "benchmark.json"]
    arguments += ["--out", results / "mlflow-import.json"]
    with full(disk, spare):
        line = command.refused(*arguments)
        assert NO_SPACE in line or "database or disk is full" in line, line
        left = contents(disk)
        assert {name: left[name] for name in before} == before and "results/mlflow-import.json" not in left
    # In a process of its own: MLflow keeps the failed connection.
    again = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert len(read_json(results / "mlflow-import.json")["runs"]) == 8
