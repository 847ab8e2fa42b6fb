"""Jobs that SLURM ends before they are done; their commands are stand-ins, everything around them is real."""

import os
import signal
from pathlib import Path

import pytest
from conftest import FAILING, failing_benchmark
from slurm_cluster import Cluster
from snakemake_on_slurm import Call, calling

pytestmark = pytest.mark.slow


def test_sigint_cancels_the_jobs(cluster: Cluster, tmp_path: Path) -> None:
    config, targets, environment = failing_benchmark(tmp_path, "waiting")
    with calling(tmp_path, config, *targets, **environment) as call:
        call.wait_for(f"{FAILING}/waiting/seed1/started")
        os.kill(call.process.pid, signal.SIGINT)
        assert call.finish() != 0
    (job,) = cluster.of("sogclr_waiting_seed1")
    assert job["state"] in ("CANCELLED", "COMPLETING")


def test_jobs_out_of_memory_or_time_get_more_and_a_preempted_one_waits(cluster: Cluster, failing: Call) -> None:
    assert failing.finish() == 0, failing.output[-6000:]
    first, second = cluster.of("sogclr_memory_seed1")
    assert first["state"] in ("FAILED", "OUT_OF_MEMORY") and second["state"] == "COMPLETED"
    assert (first["memory"], second["memory"]) == ("600M", "1200M")
    first, second = cluster.of("sogclr_time_seed1")
    assert (first["state"], second["state"]) == ("TIMEOUT", "COMPLETED")
    assert (first["time"], second["time"]) == ("1:00", "2:00")
    (job,) = cluster.of("sogclr_preempted_seed1")
    assert (job["state"], job["memory"], job["time"]) == ("COMPLETED", "600M", "1:00")
