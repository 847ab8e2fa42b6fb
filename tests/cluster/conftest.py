"""One cluster for all tests of this folder, and what runs on it in the background."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from failing_benchmark import RUNS, config, prepared, targets
from slurm_cluster import Cluster, missing, wait_until
from snakemake_call import Call, calling

ASKED = "GLOFND_TEST_CLUSTER"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes that take jobs."""
    if not os.environ.get(ASKED):
        pytest.skip("`make test-cluster` starts the SLURM cluster that these tests need")
    if found := missing():
        reason = f"a SLURM cluster needs {', '.join(found)}"
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    made = Cluster(tmp_path_factory.mktemp("slurm"))
    # There is one place for the configuration, so other tests of this kind wait here until it is free.
    with Path(tempfile.gettempdir(), "glofnd-test-cluster.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            made.start()
            yield made
        finally:
            made.stop()


@pytest.fixture(scope="session")
def failing(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Call]:
    """Four trainings that are lost in four ways. SLURM's time limits are minutes, so other tests run meanwhile."""
    folder = tmp_path_factory.mktemp("failing")
    labels = ("memory", "time", "cancelled", "preempted")
    with calling(folder, config(*labels), *targets(*labels), environment=prepared(folder)) as call:
        for label, command in (("cancelled", ["scancel"]), ("preempted", ["scontrol", "requeue"])):
            call.wait_for(f"{RUNS}/{label}/seed1/started")
            (job,) = cluster.active(f"sogclr_{label}_seed1")
            cluster.command(*command, job)
        wait_until(lambda: cluster.of(f"sogclr_{label}_seed1")[0]["state"] == "PENDING", "a job in the queue again")
        # SLURM holds a job back for two minutes after it took it from its node.
        cluster.command("scontrol", "update", f"JobId={job}", "StartTime=now")
        yield call
