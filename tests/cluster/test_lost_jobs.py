"""Jobs that SLURM ends before they are done; their commands are stand-ins, everything around them is real."""

import json
import os
import signal
from pathlib import Path

import pytest
from failing_benchmark import RUNS, config, prepared, targets
from slurm_cluster import Cluster
from snakemake_call import Call, calling

pytestmark = pytest.mark.slow


def _attempts(cluster: Cluster, label: str) -> list[dict[str, str]]:
    return cluster.of(f"sogclr_{label}_seed1")


def test_sigint_cancels_the_jobs(cluster: Cluster, failing: Call, tmp_path: Path) -> None:
    with calling(tmp_path, config("waiting"), *targets("waiting"), environment=prepared(tmp_path)) as call:
        call.wait_for(f"{RUNS}/waiting/seed1/started")
        os.kill(call.process.pid, signal.SIGINT)
        assert call.finish() != 0
    (job,) = _attempts(cluster, "waiting")
    assert job["state"] in ("CANCELLED", "COMPLETING")


def test_the_call_ends_well_whatever_happened(failing: Call) -> None:
    assert failing.finish() == 0, failing.output[-6000:]


def test_a_cancelled_job_goes_on_from_its_checkpoint(cluster: Cluster, failing: Call) -> None:
    first, second = _attempts(cluster, "cancelled")
    assert (first["state"], second["state"]) == ("CANCELLED", "COMPLETED")
    resumed = (failing.folder / RUNS / "cancelled/seed1/resumed").read_text()
    assert resumed == f"signal [{signal.SIGTERM.value}]"


def test_a_preempted_job_waits_in_slurm_and_is_no_new_attempt(cluster: Cluster, failing: Call) -> None:
    (job,) = _attempts(cluster, "preempted")
    assert (job["state"], job["memory"], job["time"]) == ("COMPLETED", "600M", "1:00")
    assert (failing.folder / RUNS / "preempted/seed1/resumed").exists()


def test_a_job_out_of_memory_gets_more(cluster: Cluster, failing: Call) -> None:
    first, second = _attempts(cluster, "memory")
    assert first["state"] in ("FAILED", "OUT_OF_MEMORY") and second["state"] == "COMPLETED"
    assert (first["memory"], second["memory"]) == ("600M", "1200M")


def test_a_job_out_of_time_gets_more(cluster: Cluster, failing: Call) -> None:
    first, second = _attempts(cluster, "time")
    assert (first["state"], second["state"]) == ("TIMEOUT", "COMPLETED")
    assert (first["time"], second["time"]) == ("1:00", "2:00")


def test_jobs_say_what_they_are(cluster: Cluster, failing: Call) -> None:
    (job, _) = _attempts(cluster, "time")
    assert job["comment"] == "rule_pretrain_wildcards_fashion-mnist_sogclr_time_seed1"
    assert job["name"].startswith("glofnd_") and job["partition"] == "left"
    gpus = cluster.command("squeue", "--noheader", "--states=all", "--jobs", job["id"], "--Format", "tres-per-job")
    assert gpus.strip().endswith("gpu:1")


def test_the_log_of_a_failed_attempt_is_kept(cluster: Cluster, failing: Call) -> None:
    (job, _) = _attempts(cluster, "time")
    logs = failing.folder / ".snakemake/slurm_logs/rule_pretrain/fashion-mnist_sogclr_time_seed1"
    assert [path.name for path in logs.iterdir()] == [f"{job['id']}.log"]


def test_only_what_was_asked_for_was_trained(failing: Call) -> None:
    calls = [json.loads(line) for line in (failing.folder / "calls").read_text().splitlines()]
    assert [call[0] for call in calls] == ["glofnd.pretraining"] * 4
