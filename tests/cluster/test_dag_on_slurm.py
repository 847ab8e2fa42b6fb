"""The real DAG on SLURM, each training on two nodes; one is cancelled, and a node dies under the others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_cluster import Cluster, wait_until
from snakemake_on_slurm import Call, calling

from glofnd import checkpoint
from glofnd.files import read_json
from glofnd.pretraining import pretrain
from tests.small_benchmark import DETECTORS, RUNS, small_benchmark

pytestmark = pytest.mark.slow
EPOCHS, LEAVING = 14, 4
TRUNK = f"out/trunks/small/sogclr/seed1/epoch{LEAVING}"
TRAINING = "rule_pretrain_wildcards_small"
ASKED = {"mem_mb": 1500, "runtime": 10, "partition": "both"}
CONFIG = small_benchmark(EPOCHS, LEAVING, shard=ASKED, pretrain={**ASKED, "nodes": 2}, evaluate=ASKED)


@pytest.fixture(scope="module")
def call(cluster: Cluster, failing: Call, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Call]:
    with calling(tmp_path_factory.mktemp("dag"), CONFIG, "all") as made:
        yield made


def _step(resume: Path) -> int:
    """Of a training, as its resume file has it."""
    return int(checkpoint.read(resume)["step"])


def test_a_cancelled_training_is_submitted_again(cluster: Cluster, call: Call) -> None:
    call.wait_for(f"{TRUNK}/resume-*.pt")
    (job,) = cluster.active("rule_trunk")
    assert cluster.of("rule_trunk")[0]["node"] == "n[1-2]"
    cluster.command("scancel", job)
    call.wait_for(f"{TRUNK}/checkpoint.pt")
    first, second = cluster.of("rule_trunk")
    assert (first["id"], first["state"]) == (job, "CANCELLED")
    assert (first["memory"], second["memory"]) == ("1500M", "3000M")


def test_trainings_survive_a_node(cluster: Cluster, call: Call) -> None:
    resume, _ = (call.wait_for(f"{RUNS}/{detector}/seed1/resume-*.pt") for detector in DETECTORS)
    begun = LEAVING * (1437 // 128)
    wait_until(lambda: _step(resume) >= begun + 20, "twenty steps")
    lost = cluster.active(TRAINING)
    assert len(lost) == 2
    cluster.crash("n2")
    written, reached = resume.stat().st_mtime_ns, _step(resume)
    wait_until(lambda: not cluster.active(TRAINING), "jobs that SLURM knows to be lost")
    cluster.start_node("n2")
    wait_until(lambda: {job["state"] for job in cluster.of(TRAINING)} == {"PENDING"}, "lost jobs in the queue again")
    # Not at once: after a minute SLURM tells the node again to end what ran there, and that would hit the new job. It
    # holds such jobs back for two minutes itself.
    for job in lost:
        cluster.command("scontrol", "update", f"JobId={job}", "StartTime=now+75")
    wait_until(lambda: resume.stat().st_mtime_ns > written, "a next checkpoint")
    assert _step(resume) > reached
    assert [job["id"] for job in cluster.of(TRAINING)] == lost, "waited in SLURM, no new attempt"


def test_the_dag_completes(cluster: Cluster, call: Call) -> None:
    assert call.finish() == 0, call.output[-8000:]
    for name in ("summary.parquet", "report.html", "mlflow-import.json"):
        assert (call.folder / "out" / name).stat().st_size > 0, name
    for detector in DETECTORS:
        epochs = read_json(call.folder / RUNS / detector / "seed1/history.json")["epochs"]
        assert [entry["epoch"] for entry in epochs] == list(range(EPOCHS))
    assert not list(call.folder.rglob("resume-*.pt"))
    submitted = {job["comment"].split("_wildcards")[0] for job in cluster.jobs() if job["partition"] == "both"}
    wanted = {f"rule_{name}" for name in ("shard", "check", "trunk", "pretrain", "evaluate")}
    assert submitted == wanted, "the rest runs here"


def test_two_nodes_equal_one_process(call: Call) -> None:
    assert read_json(call.folder / RUNS / "glofnd/seed1/metrics.json")["training"]["processes"] == 2
    together = checkpoint.read(call.folder / TRUNK / "checkpoint.pt")
    pretrain(json.loads(together["config"]), call.folder / "shards/digits/train", call.folder / "alone", None, LEAVING)
    alone = checkpoint.read(call.folder / "alone/checkpoint.pt")
    assert together["step"] == alone["step"]
    assert together["objective"].keys() == alone["objective"].keys()
    # Single precision; tests in double precision compare everything (tests/glofnd/pretraining/test_ranks.py).
    assert together["history"][0]["loss"] == pytest.approx(alone["history"][0]["loss"], abs=1e-5)
