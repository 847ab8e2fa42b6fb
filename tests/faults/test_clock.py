"""Clocks that jump: durations do not, nothing is made again for ever, and nothing stale is taken for fresh."""

import ast
import itertools
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient

from evaluation.feature_store import FeatureStore
from glofnd.files import none_from_the_future, read_json, sha256, write_json
from glofnd.pretraining import pretrain
from glofnd.progress import Progress
from tests.evaluation.stored import make_split, make_store
from tests.evaluation.tiny_shards import run_config, write_split
from tests.workflow.results_tree import write_tree
from workflow.scripts.aggregate import aggregate
from workflow.scripts.mlflow_claims import OWNER, abandoned
from workflow.scripts.mlflow_import import import_runs

ROOT = Path(__file__).resolve().parents[2]
YEAR = 365 * 24 * 3600.0


@pytest.fixture
def jumping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock is a year before or after the last one."""
    jumps = itertools.cycle([YEAR, -YEAR])
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))


def test_progress(jumping: None, capsys: pytest.CaptureFixture[str]) -> None:
    bar = Progress(10, "work")
    bar.advance(5)
    bar.close()
    assert re.search(r"work: 5/10 \(50%\) \S+ items/s, 0:00 gone, 0:00 left", capsys.readouterr().err)


@pytest.mark.slow
def test_training(jumping: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither are seconds negative or years, nor is a rolling checkpoint written at each step."""
    from glofnd.pretraining.run import Run

    saves: list[Path] = []
    monkeypatch.setattr(Run, "save", lambda self, path, *others: saves.append(path))
    write_split(tmp_path / "shards", "train", 16, seed=0)
    pretrain(run_config("sogclr", "none", epochs=2), tmp_path / "shards/tiny/train", tmp_path / "run")
    history = read_json(tmp_path / "run/history.json")["epochs"]
    assert saves == [] and all(0 < epoch["seconds"] < 60 for epoch in history)
    assert 0 < read_json(tmp_path / "run/metrics.json")["provenance"]["wall_seconds"] < 600


# Where the date is meant, which other machines know as well.
DATES = {"glofnd/files.py", "workflow/scripts/mlflow_claims.py"}


def test_durations_come_from_a_clock_that_cannot_jump() -> None:
    found = set()
    for path in (path for room in ("glofnd", "evaluation", "workflow") for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in (
                "time.time",
                "datetime.now",
                "datetime.datetime.now",
            ):
                found.add(str(path.relative_to(ROOT)))
    assert found <= DATES


def test_files_from_the_future_are_dated_now(tmp_path: Path) -> None:
    future, past = tmp_path / "future", tmp_path / "past"
    for path, date in ((future, time.time() + YEAR), (past, time.time() - YEAR)):
        path.touch()
        os.utime(path, (date, date))
    none_from_the_future([future, past, tmp_path / "missing"])
    assert abs(future.stat().st_mtime - time.time()) < 60
    assert past.stat().st_mtime < time.time() - YEAR / 2


def test_no_date_is_moved_forward_where_a_file_server_is_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another job has made of the file a moment ago would be older than it, and be made again."""
    (tmp_path / "file").touch()
    before, here = (tmp_path / "file").stat().st_mtime, time.time() - 100
    monkeypatch.setattr("glofnd.files.time.time", lambda: here)
    none_from_the_future([tmp_path / "file"])
    assert (tmp_path / "file").stat().st_mtime == pytest.approx(here, abs=1) and here < before


@pytest.mark.slow
@pytest.mark.parametrize("shift", [YEAR, -40 * YEAR])
def test_mlflow_starts_before_it_ends(tmp_path: Path, shift: float) -> None:
    config = {**write_tree(tmp_path), "seeds": [1]}
    date = time.time() + shift
    for path in tmp_path.rglob("metrics.json"):
        os.utime(path, (date, date))
    import_runs(config)
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("exp")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 4 and all(run.info.start_time < run.info.end_time for run in runs)
    assert {entry["state"] for entry in import_runs(config)["runs"].values()} == {"unchanged"}


def test_an_import_from_the_future_is_nobody_s() -> None:
    def run(started: float) -> Any:
        return SimpleNamespace(data=SimpleNamespace(tags={OWNER: f"elsewhere:1:{started:.0f}"}))

    assert not abandoned(run(time.time())) and not abandoned(run(time.time() + 60))
    assert abandoned(run(time.time() - YEAR)) and abandoned(run(time.time() + YEAR))


def test_a_result_of_other_features_is_not_taken(tmp_path: Path) -> None:
    """Features were made again while the clock was behind: the metrics look newer than they are."""
    config = write_tree(tmp_path)
    run = tmp_path / "runs/exp/sogclr/glofnd/seed1"
    make_store(run / "features", [make_split("digits.train", 12)])
    metrics = read_json(run / "linear/metrics.json")
    metrics["provenance"] = {**metrics["provenance"], "inputs": FeatureStore(run / "features").inputs}
    write_json(run / "linear/metrics.json", metrics)
    assert config and len(aggregate(tmp_path / "benchmark.json", tmp_path))
    before = sha256(tmp_path / "summary.csv")
    make_store(run / "features", [make_split("digits.train", 12, seed=1)])
    with pytest.raises(ValueError, match=rf"^{run}/linear/metrics.json: made from other features than those in "):
        aggregate(tmp_path / "benchmark.json", tmp_path)
    assert sha256(tmp_path / "summary.csv") == before


@pytest.mark.slow
def test_a_clock_that_was_set_back_between_two_jobs(tmp_path: Path) -> None:
    """Snakemake refuses what is older than its inputs, so they must not stay in the future."""
    command = [str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(ROOT / "Snakefile")]
    command += ["--configfile", str(ROOT / "configs/smoke.yaml"), "--cores", "2", "--directory", str(tmp_path)]
    command += ["--workflow-profile", str(ROOT / "profiles/default"), "data/shards-smoke/digits/train/manifest.json"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def snakemake(*options: str) -> str:
        done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    snakemake()
    tomorrow = time.time() + 24 * 3600
    os.utime(tmp_path / "data/raw/digits/source.json", (tomorrow, tomorrow))
    assert "Sharding digits/train" in snakemake("--forcerun", "shard")
    assert "Nothing to be done" in snakemake()
