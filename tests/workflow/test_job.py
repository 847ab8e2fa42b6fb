"""The one command of all rules: errors are one line and an exit code, and a run is trained and evaluated by it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from glofnd.files import read_json, write_json
from workflow.config import read_config, resolve
from workflow.grid import Grid

ROOT = Path(__file__).parents[2]


def job(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workflow.job", "--benchmark", str(folder / "benchmark.json"), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2 and lines[-1].startswith("error: ") and "Traceback" not in done.stderr, done.stderr
    assert all(word in lines[-1] for word in words), lines


def test_a_data_set_is_fetched_sharded_trained_on_and_evaluated_by_hand(tmp_path: Path) -> None:
    config = read_config(ROOT / "config.yaml")
    config["paths"] = {key: str(tmp_path / key) for key in ("raw", "shards", "results")}
    config |= {"seeds": [1], "significance": None, "datasets": {"digits": {"image_size": 16, "shards": 1}}}
    config["experiments"] = {
        "digits": {
            "modality": "unimodal",
            "dataset": "digits",
            "encoder": {"name": "resnet10", "width": 4, "projector_hidden": 16, "projector_dim": 8},
            "training": {"epochs": 2, "batch_size": 256, "precision": "fp32"},
            "objectives": {"simclr": {}},
            "detectors": {"none": {}, "oracle": {"start_filter": 1}},
            "evaluations": {"linear": [{"dataset": "digits", "fractions": [1]}]},
        }
    }
    resolved = resolve(config)
    write_json(tmp_path / "benchmark.json", resolved)
    run = "digits/simclr/oracle/seed1"
    missing = job(tmp_path, "pretrain", "--run", run)
    refused(missing, "manifest.json")
    refused(job(tmp_path, "evaluate", "--run", "digits/simclr/orakle/seed1"), "no such run", run)
    for arguments in (
        ("fetch", "--source", "digits"),
        ("shard", "--dataset", "digits", "--split", "train"),
        ("shard", "--dataset", "digits", "--split", "test"),
        ("trunk", "--trunk", "digits/simclr/seed1", "--epoch", "1"),
        ("pretrain", "--run", run),
        ("evaluate", "--run", run),
    ):
        done = job(tmp_path, *arguments)
        assert done.returncode == 0, (arguments, done.stderr)
    folder = Path(Grid(resolved).run_folder(Grid(resolved).run(run)))
    assert read_json(folder / "evaluations.json")["evaluations"] == ["linear"]
    assert read_json(folder / "linear/metrics.json")["run"]["id"] == run


def test_a_file_that_is_no_benchmark_is_named(tmp_path: Path) -> None:
    refused(job(tmp_path, "tables"), "benchmark.json")
    (tmp_path / "benchmark.json").write_text('{"seeds": 3}')
    refused(job(tmp_path, "tables"), "benchmark.json", "resolved config")
