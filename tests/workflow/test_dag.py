"""Habits of the DAG, with commands that only write their files: what runs (again), and what a failure leaves."""

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from glofnd.encoders import ResNet10
from workflow.config import resolve
from workflow.grid import Grid

ROOT = Path(__file__).parents[2]
SNAKEMAKE = Path(sys.executable).with_name("snakemake")

DETECTORS: dict[str, Any] = {
    "none": {},
    "glofnd": {"method": "glofnd", "start_update": 2, "start_filter": 6},
    "oracle": {"method": "oracle", "start_filter": 6},
}
DEFAULT: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
SWITCHED_OFF = dict.fromkeys(DEFAULT["experiments"]["glyphs"]["detectors"], False)

CONFIG: dict[str, Any] = {
    "paths": {"raw": "raw", "shards": "shards", "results": "out"},
    "seeds": [1, 2],
    "mlflow": {"live": False},
    "datasets": {
        "digits": {},
        "mine": {"dataset": "folder", "path": "pictures"},
        "glyphs": False,
        "glyph-captions": False,
    },
    "experiments": {
        "glyph-captions": False,
        "glyphs": {
            "dataset": "digits",
            "training": {"batch_size": 32, "epochs": 20},
            "detectors": {**SWITCHED_OFF, **DETECTORS},
            "baselines": ["raw-pixels"],
            "evaluations": {"linear": [{"dataset": "digits"}], "transfer": [{"dataset": "mine"}]},
        },
    },
}
RUN = "out/runs/glyphs/sogclr"
LATER = {"tables": 1, "mlflow": 1, "report": 1, "all": 1}
FIRST_CALLS: list[list[str]] = []


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so, at most five minutes."""
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@dataclass
class Dag:
    """Runs the real Snakefile in a folder of its own, with commands that only write their files."""

    folder: Path
    config: dict[str, Any]

    def start(
        self, *arguments: str, fail: str = "", sleep: str = "", profile: str = "default"
    ) -> subprocess.Popen[str]:
        (self.folder / "preset.yaml").write_text(yaml.safe_dump(self.config), encoding="utf-8")
        (self.folder / "calls").write_text("", encoding="utf-8")
        environment = {
            **os.environ,
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "STUB_CALLS": str(self.folder / "calls"),
            "STUB_FAIL": fail,
            "STUB_SLEEP": sleep,
            "XDG_CACHE_HOME": str(self.folder / "cache"),
        }
        command = [str(SNAKEMAKE), "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
        command += ["--configfile", "preset.yaml"]
        command += ["--workflow-profile", str(ROOT / "profiles" / profile), *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=pipe, stderr=pipe, text=True)

    def run(self, *arguments: str, **options: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **options)
        stdout, stderr = process.communicate(timeout=240)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "calls").read_text(encoding="utf-8").splitlines()]

    def of(self, command: str) -> set[str]:
        """The runs (trunks, sources, ...) for which a command was called."""
        return {call[2] if len(call) > 2 else command for call in self.calls() if call[0] == command}


def _planned(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """Rule -> number of jobs, from the table of a dry-run."""
    assert done.returncode == 0, done.stdout + done.stderr
    lines = (done.stdout + done.stderr).splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith("Job stats")), None)
    if start is None:
        return {}
    words = [line.split() for line in lines[start + 3 :]]
    end = next(i for i, word in enumerate(words) if word and word[0] == "total")
    return {rule: int(count) for rule, count in words[:end]}


@pytest.fixture(scope="module")
def dag(tmp_path_factory: pytest.TempPathFactory) -> Dag:
    """A finished benchmark of stub commands; tests undo what they change."""
    folder = tmp_path_factory.mktemp("dag")
    (folder / "bin").mkdir()
    (folder / "pictures").mkdir()
    stub = folder / "bin" / "python"
    stub.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).with_name("stub_commands.py")}" "$@"\n')
    stub.chmod(0o755)
    made = Dag(folder, CONFIG)
    done = made.run(fail="oracle/seed2")
    assert done.returncode != 0
    FIRST_CALLS.extend(made.calls())
    return made


@pytest.mark.slow
def test_a_failing_job_leaves_the_others_results_and_its_resume_file(dag: Dag) -> None:
    assert (dag.folder / RUN / "oracle/seed1/evaluations.json").is_file()
    assert (dag.folder / RUN / "glofnd/seed2/evaluations.json").is_file()
    assert not (dag.folder / "out/summary.parquet").exists()
    failed = dag.folder / RUN / "oracle/seed2"
    assert (failed / "resume-1.pt").is_file() and not (failed / "checkpoint.pt").exists()
    log = dag.folder / "out/logs/pretrain/glyphs/sogclr/oracle/seed2.log"
    assert "the stub was told to fail" in log.read_text(encoding="utf-8")


@pytest.mark.slow
def test_data_are_fetched_sharded_and_checked_before_anything_is_trained(dag: Dag) -> None:
    commands = [call[0] for call in FIRST_CALLS]
    data = [place for place, command in enumerate(commands) if command in ("fetch", "shard")]
    assert max(data) < commands.index("check") < min(commands.index("trunk"), commands.index("evaluate"))
    assert commands.count("shard") == 4


@pytest.mark.slow
def test_the_next_run_does_only_what_is_missing_and_says_where_results_are(dag: Dag) -> None:
    done = dag.run()
    assert done.returncode == 0, done.stderr
    assert dag.of("pretrain") == dag.of("evaluate") == {"glyphs/sogclr/oracle/seed2"}
    assert dag.of("shard") == set() and "out/report.html" in done.stderr


@pytest.mark.slow
def test_a_second_run_does_nothing(dag: Dag) -> None:
    assert dag.run().returncode == 0
    assert dag.calls() == []


@pytest.mark.slow
def test_a_picture_more_makes_its_data_set_anew_and_what_depends_on_it(dag: Dag) -> None:
    picture = dag.folder / "pictures/ant.png"
    picture.touch()
    assert _planned(dag.run("--dry-run")) == {"shard": 2, "check": 1, "evaluate": 7, **LATER}
    picture.unlink()
    assert dag.run().returncode == 0 and dag.calls() == []


@pytest.mark.slow
def test_adding_a_seed_runs_only_that_seed(dag: Dag) -> None:
    planned = _planned(dag.run("--dry-run", "--config", "seeds=[1,2,3]"))
    assert planned == {"pretrain": 3, "trunk": 2, "evaluate": 3, **LATER}


@pytest.mark.slow
def test_changing_one_detector_reruns_only_its_runs(dag: Dag) -> None:
    change = "experiments={'glyphs': {'detectors': {'glofnd': {'alpha': 0.2}}}}"
    planned = _planned(dag.run("--dry-run", "--config", change))
    # All runs are evaluated again: what a baseline drops is held against GloFND's alpha.
    assert planned["pretrain"] == 2 and "trunk" not in planned


@pytest.mark.slow
def test_a_new_task_evaluates_every_run_again_and_trains_none(dag: Dag) -> None:
    change = "experiments={'glyphs': {'evaluations': {'discovery': false}}}"
    assert _planned(dag.run("--dry-run", "--config", change)) == {"check": 1, "evaluate": 7, **LATER}


@pytest.mark.slow
def test_how_training_is_executed_trains_and_evaluates_nothing_again(dag: Dag) -> None:
    training = {"threads": 2, "workers": 3, "checkpoint_seconds": 5, "device": "cpu", "state_layout": "sharded"}
    changes = [f"experiments={{'glyphs': {{'training': {training}}}}}"]
    changes += ["resources={'pretrain': {'nodes': 2, 'gpu': 4}}"]
    planned = _planned(dag.run("--dry-run", "--config", *changes))
    assert not {"pretrain", "trunk", "evaluate"} & planned.keys()


@pytest.mark.slow
def test_the_slurm_profile_is_understood(dag: Dag) -> None:
    apptainer = dag.folder / "bin" / "apptainer"
    apptainer.write_text("#!/bin/sh\necho apptainer version 1.3.0\n")
    apptainer.chmod(0o755)
    planned = _planned(dag.run("--dry-run", "--forceall", profile="slurm"))
    assert planned["pretrain"] == 6 and planned["trunk"] == 4


@pytest.mark.slow
def test_a_bad_config_is_one_clear_message_and_nothing_starts(dag: Dag) -> None:
    done = dag.run("--config", "seeds=[1]", "sedes=[2]")
    text = done.stdout + done.stderr
    assert done.returncode == 2 and "sedes: unknown key; did you mean 'seeds'?" in text and "\n  seeds:" in text
    assert "Traceback" not in text and 'File "' not in text
    assert dag.calls() == []


@pytest.mark.slow
def test_a_tracking_server_that_does_not_answer_is_told_before_training(dag: Dag) -> None:
    done = dag.run("--config", "seeds=[1,2,3]", "mlflow={'tracking_uri': 'http://127.0.0.1:9'}")
    assert done.returncode == 2 and dag.calls() == []
    assert "nothing was started: mlflow.tracking_uri: " in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_ctrl_c_says_that_the_same_command_goes_on(dag: Dag) -> None:
    started = dag.start("--forcerun", "report", sleep="report")
    wait_for(lambda: dag.calls() != [])
    started.send_signal(signal.SIGINT)
    os.kill(int(dag.calls()[-1][-1]), signal.SIGTERM)
    _, stderr = started.communicate(timeout=240)
    assert started.returncode != 0 and stderr.rstrip().endswith("interrupted; the same command goes on")
    assert "Exception" not in stderr and dag.run().returncode == 0


@pytest.mark.slow
def test_a_second_call_is_refused_while_the_first_is_at_work(dag: Dag) -> None:
    with (dag.folder / "out/.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = dag.run("--forcerun", "report")
        assert done.returncode != 0 and "another snakemake is at work in out" in done.stderr
        assert dag.calls() == [] and dag.run("--dry-run").returncode == 0
    assert dag.run("--forcerun", "report").returncode == 0


@pytest.mark.slow
def test_after_a_kill_its_job_ends_and_the_same_command_goes_on(dag: Dag) -> None:
    report = dag.folder / "out/report.html"
    killed = dag.start("--forcerun", "report", sleep="report")
    wait_for(lambda: dag.calls() != [])
    child = dag.calls()[-1][-1]
    killed.kill()
    killed.wait()
    wait_for(lambda: not Path(f"/proc/{child}").exists())
    assert not report.exists() or report.read_text() == "{}"
    assert dag.run().returncode == 0 and dag.of("report") and report.is_file()


def test_a_dry_run_of_the_default_benchmark_takes_seconds(tmp_path: Path) -> None:
    start = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run([SNAKEMAKE, "-n", "--directory", tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - start < 15
    planned = _planned(done)
    grid = Grid(resolve(DEFAULT))
    assert planned["pretrain"] == len(grid.runs) and planned["evaluate"] == len(list(grid.all_runs))


@pytest.mark.slow
def test_a_model_of_the_users_is_evaluated_once_its_weights_are_its_own(dag: Dag) -> None:
    model = {"model": "resnet10", "weights": "mine.pt", "mean": [0.5] * 3, "std": [0.25] * 3, "options": {"width": 4}}
    torch.save({f"net.{k}": v for k, v in ResNet10(4).backbone.state_dict().items()}, dag.folder / "mine.pt")
    before, glyphs = _planned(dag.run("--dry-run")), dag.config["experiments"]["glyphs"]
    try:
        glyphs["models"] = {"mine": {**model, "prefix": "nat."}}
        done = dag.run()
        assert done.returncode != 0 and not dag.calls(), "nothing was started"
        assert "experiments.glyphs.models.mine" in done.stderr and "mine.pt" in done.stderr
        planned = _planned(dag.run("--dry-run"))
        assert planned["evaluate"] == before.get("evaluate", 0) + 1
    finally:
        del glyphs["models"]
