"""Habits of the DAG: what runs, what does not run again, and what a failure leaves."""

import json
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow.configuration import resolve
from workflow.grid import Grid

ROOT = Path(__file__).parents[2]
SNAKEMAKE = Path(sys.executable).with_name("snakemake")

DETECTORS: dict[str, Any] = {
    "none": {},
    "glofnd": {"method": "glofnd", "start_update": 2, "start_filter": 6},
    "oracle": {"method": "oracle", "start_filter": 6},
}
DEFAULT: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
SWITCHED_OFF = dict.fromkeys(DEFAULT["experiments"]["fashion-mnist"]["detectors"], False)

CONFIG: dict[str, Any] = {
    "paths": {"raw": "raw", "shards": "shards", "results": "out"},
    "seeds": [1, 2],
    "experiments": {
        "emoji": False,
        "fashion-mnist": {
            "dataset": "digits",
            "training": {"batch_size": 32, "epochs": 20},
            "detectors": {**SWITCHED_OFF, **DETECTORS},
            "baselines": ["raw-pixels"],
            "evaluations": {"linear": [{"dataset": "digits"}], "transfer": [{"dataset": "mnist"}]},
        },
    },
}
RUN = "out/runs/fashion-mnist/sogclr"


@dataclass
class Dag:
    """Runs the real Snakefile in a folder of its own, with commands that only write their files."""

    folder: Path
    config: dict[str, Any]

    def run(self, *arguments: str, fail: str = "", profile: str = "default") -> subprocess.CompletedProcess[str]:
        (self.folder / "preset.yaml").write_text(yaml.safe_dump(self.config), encoding="utf-8")
        (self.folder / "calls").write_text("", encoding="utf-8")
        environment = {
            **os.environ,
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "STUB_CALLS": str(self.folder / "calls"),
            "STUB_FAIL": fail,
            "XDG_CACHE_HOME": str(self.folder / "cache"),
        }
        command = [str(SNAKEMAKE), "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
        command += ["--configfile", "preset.yaml"]
        command += ["--workflow-profile", str(ROOT / "profiles" / profile), *arguments]
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120)

    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "calls").read_text(encoding="utf-8").splitlines()]

    def outs(self) -> set[str]:
        """What the commands of the last run wrote, as folder or file."""
        return {call[call.index("--out") + 1] for call in self.calls()}


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
    stub = folder / "bin" / "python"
    stub.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).with_name("stub_commands.py")}" "$@"\n')
    stub.chmod(0o755)
    made = Dag(folder, CONFIG)
    done = made.run(fail="oracle/seed2")
    assert done.returncode != 0
    return made


@pytest.mark.slow
def test_a_failing_job_leaves_the_others_results_and_its_resume_file(dag: Dag) -> None:
    assert (dag.folder / RUN / "oracle/seed1/linear/metrics.json").is_file()
    assert (dag.folder / RUN / "glofnd/seed2/transfer/metrics.json").is_file()
    assert not (dag.folder / "out/summary.parquet").exists()
    failed = dag.folder / RUN / "oracle/seed2"
    assert (failed / "resume-1.pt").is_file()
    assert not (failed / "checkpoint.pt").exists()
    log = dag.folder / "out/logs/pretrain/fashion-mnist/sogclr/oracle/seed2.log"
    assert "the stub was told to fail" in log.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_next_run_does_only_what_is_missing(dag: Dag) -> None:
    done = dag.run()
    assert done.returncode == 0, done.stderr
    assert all("oracle/seed2" in out or "/runs/" not in out for out in dag.outs())
    assert (dag.folder / "out/report.html").is_file()
    assert "out/report.html" in done.stdout + done.stderr


@pytest.mark.slow
def test_a_second_run_does_nothing(dag: Dag) -> None:
    assert dag.run().returncode == 0
    assert dag.calls() == []


@pytest.mark.slow
def test_commands_get_their_config_and_one_thread(dag: Dag) -> None:
    (dag.folder / RUN / "glofnd/seed1/metrics.json").unlink()
    dag.run()
    call = next(call for call in dag.calls() if call[0] == "glofnd.pretraining")
    config = json.loads(call[call.index("--run-config") + 1])
    assert config["run"] == "fashion-mnist/sogclr/glofnd/seed1"
    assert config["detector"]["label"] == "glofnd"
    assert call[call.index("--from") + 1] == "out/trunks/fashion-mnist/sogclr/seed1/epoch2/checkpoint.pt"
    assert call[-1] == "1"


@pytest.mark.slow
def test_adding_a_seed_runs_only_that_seed(dag: Dag) -> None:
    planned = _planned(dag.run("--dry-run", "--config", "seeds=[1,2,3]"))
    assert planned["pretrain"] == 3 and planned["trunk"] == 2
    assert planned["features"] == 4 and planned["evaluate"] == 8 and planned["discovery"] == 4
    assert "shard" not in planned and "fetch" not in planned


@pytest.mark.slow
def test_deleting_one_result_rebuilds_only_what_depends_on_it(dag: Dag) -> None:
    path = dag.folder / RUN / "none/seed1/linear/metrics.json"
    content = path.read_text(encoding="utf-8")
    times = path.stat()
    path.unlink()
    planned = _planned(dag.run("--dry-run"))
    path.write_text(content, encoding="utf-8")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    later = {"aggregate": 1, "significance": 1, "mlflow": 1, "report": 1, "all": 1}
    assert planned == {"evaluate": 1, **later}


@pytest.mark.slow
def test_changing_one_detector_reruns_only_its_runs(dag: Dag) -> None:
    change = "experiments={'fashion-mnist': {'detectors': {'glofnd': {'alpha': 0.2}}}}"
    planned = _planned(dag.run("--dry-run", "--config", change))
    assert planned["pretrain"] == 2 and "trunk" not in planned
    assert planned["features"] == 2 and planned["evaluate"] == 4


@pytest.mark.slow
def test_how_training_is_executed_reruns_nothing(dag: Dag) -> None:
    training = {"threads": 2, "workers": 3, "checkpoint_seconds": 5, "device": "cpu", "state_layout": "sharded"}
    changes = [f"experiments={{'fashion-mnist': {{'training': {training}}}}}"]
    changes += ["resources={'pretrain': {'nodes': 2, 'gpu': 4}}"]
    planned = _planned(dag.run("--dry-run", "--config", *changes))
    assert not {"pretrain", "trunk", "features", "evaluate", "discovery"} & planned.keys()


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
    assert done.returncode != 0
    text = done.stdout + done.stderr
    assert "error: 2 problems in the config; nothing was started" in text
    assert "sedes: unknown key; did you mean 'seeds'?" in text
    assert "Traceback" not in text and 'File "' not in text
    assert dag.calls() == []


def test_a_dry_run_of_the_default_benchmark_takes_seconds(tmp_path: Path) -> None:
    start = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run([SNAKEMAKE, "-n", "--directory", tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - start < 5
    planned = _planned(done)
    grid = Grid(resolve(DEFAULT))
    assert planned["pretrain"] == len(grid.runs) and planned["features"] == len(list(grid.all_runs))
