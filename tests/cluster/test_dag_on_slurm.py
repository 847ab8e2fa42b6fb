"""The real DAG on SLURM, with a training that is cancelled and a node that dies on its way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from slurm_cluster import Cluster, wait_until
from small_benchmark import CONFIG, DETECTORS, EPOCHS, LEAVING, TRUNK
from snakemake_call import Call, calling

from glofnd.files import read_json

pytestmark = pytest.mark.slow
RUNS = "out/runs/small/sogclr"
TRAINING = "rule_pretrain_wildcards_small"


@pytest.fixture(scope="module")
def call(cluster: Cluster, failing: Call, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Call]:
    with calling(tmp_path_factory.mktemp("dag"), CONFIG, "all") as made:
        yield made


def _step(resume: Path) -> int:
    """Of a training, as its resume file has it."""
    return int(torch.load(resume, weights_only=True)["step"])


def test_a_cancelled_training_is_submitted_again(cluster: Cluster, call: Call) -> None:
    call.wait_for(f"{TRUNK}/resume-*.pt")
    (job,) = cluster.active("rule_trunk")
    cluster.command("scancel", job)
    call.wait_for(f"{TRUNK}/checkpoint.pt")
    first, second = cluster.of("rule_trunk")
    assert (first["id"], first["state"]) == (job, "CANCELLED")
    assert (first["memory"], second["memory"]) == ("1500M", "3000M")


def test_trainings_survive_their_node(cluster: Cluster, call: Call) -> None:
    resume, _ = (call.wait_for(f"{RUNS}/{detector}/seed1/resume-*.pt") for detector in DETECTORS)
    begun = LEAVING * (1437 // 128)
    wait_until(lambda: _step(resume) >= begun + 30, "thirty steps")
    lost = cluster.active(TRAINING)
    assert len(lost) == 2
    cluster.crash("n2")
    written, reached = resume.stat().st_mtime_ns, _step(resume)
    wait_until(lambda: not cluster.active(TRAINING), "jobs that SLURM knows to be lost")
    for job in lost:
        cluster.command("scontrol", "update", f"JobId={job}", "StartTime=now")
    wait_until(lambda: resume.stat().st_mtime_ns > written, "a next checkpoint")
    assert _step(resume) > reached
    again = cluster.of(TRAINING)
    assert [job["id"] for job in again] == lost, "waited in SLURM, no new attempt"
    assert {job["node"] for job in again} == {"n1"}
    cluster.start_node("n2")


def test_the_dag_completes(cluster: Cluster, call: Call) -> None:
    assert call.finish() == 0, call.output[-8000:]
    for name in ("summary.parquet", "report.html", "mlflow-import.json"):
        assert (call.folder / "out" / name).stat().st_size > 0, name
    for detector in DETECTORS:
        epochs = read_json(call.folder / RUNS / detector / "seed1/history.json")["epochs"]
        assert [entry["epoch"] for entry in epochs] == list(range(EPOCHS))
    assert not list(call.folder.rglob("resume-*.pt"))


def test_short_jobs_of_a_run_share_one(cluster: Cluster, call: Call) -> None:
    """Each of the two asks for the memory and cores of one evaluation, and for the time of both."""
    shared = [job for job in cluster.jobs() if job["comment"].startswith(("rule_observe-", "rule_evaluate-"))]
    assert sorted(job["comment"] for job in shared) == sorted(
        f"rule_{name}-small/sogclr/{detector}/seed1_{rules}"
        for detector in DETECTORS
        for name, rules in (("observe", "discovery_features"), ("evaluate", "evaluate"))
    )
    assert {(job["memory"], job["cpus"], job["time"]) for job in shared} == {("1500M", "1", "20:00")}


def test_what_needs_no_node_runs_where_snakemake_does(cluster: Cluster, call: Call) -> None:
    submitted = {job["comment"].split("_wildcards")[0] for job in cluster.jobs() if job["partition"] == "both"}
    assert not {"rule_fetch", "rule_resolve", "rule_aggregate", "rule_mlflow", "rule_report"} & submitted
