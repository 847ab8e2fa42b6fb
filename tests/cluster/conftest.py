"""One cluster for all tests of this folder, and the jobs that SLURM ends in minutes, started in the background."""

import fcntl
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from slurm_cluster import Cluster, missing, wait_until
from snakemake_on_slurm import Call, calling

ASKED = "GLOFND_TEST_CLUSTER"
FAILING = "out/runs/glyphs/sogclr"


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


def failing_benchmark(folder: Path, *labels: str) -> tuple[dict[str, Any], list[str], dict[str, str]]:
    """Trainings that `failing_jobs.py` stands in for: config, targets, environment. The data is there already."""
    for name in ("raw/typefaces/source.json", "shards/glyphs/train/manifest.json", "out/data-checked.json"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("{}")
    (folder / "bin").mkdir()
    stand_in = folder / "bin" / "python"
    stand_in.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).with_name("failing_jobs.py")}" "$@"\n')
    stand_in.chmod(0o755)
    detectors = {"none": False, "glofnd": False} | {label: {"method": "none"} for label in labels}
    config = {
        "paths": {"raw": "raw", "shards": "shards", "results": "out"},
        "seeds": [1],
        "significance": None,
        # One minute and 600 MB for the first attempt.
        "resources": {"pretrain": {"mem_mb": 600, "runtime": 1, "gpu": 1, "partition": "left"}},
        "experiments": {
            "glyph-captions": False,
            "glyphs": {"detectors": detectors, "evaluations": {"linear": False, "transfer": False}},
        },
    }
    targets = [f"{FAILING}/{label}/seed1/checkpoint.pt" for label in labels]
    return config, targets, {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture(scope="session")
def failing(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Call]:
    """Three trainings that are lost in three ways. SLURM's time limits are minutes, so other tests run meanwhile."""
    folder = tmp_path_factory.mktemp("failing")
    config, targets, environment = failing_benchmark(folder, "memory", "time", "preempted")
    with calling(folder, config, *targets, **environment) as call:
        call.wait_for(f"{FAILING}/preempted/seed1/started")
        (job,) = cluster.active("sogclr_preempted_seed1")
        cluster.command("scontrol", "requeue", job)
        wait_until(lambda: cluster.of("sogclr_preempted_seed1")[0]["state"] == "PENDING", "a job in the queue again")
        # SLURM holds a job back for two minutes after it took it from its node.
        cluster.command("scontrol", "update", f"JobId={job}", "StartTime=now")
        yield call
