"""A run on W processes equals that of one process with the same global batch; their checkpoints are of one kind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.glofnd.pretraining.ranks_worker import CASES, LAYOUTS, QUICK, RESUMED

pytestmark = pytest.mark.slow

WORKER = Path(__file__).with_name("ranks_worker.py")
WRITTEN = ["checkpoint.pt", "history.json", "metrics.json"]
SETS = [pytest.param((2, QUICK), id="2"), pytest.param((4, CASES), id="4-all", marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=SETS)
def run(request, shards, tmp_path_factory):
    """Number of ranks, cases trained, and how far they are from one process."""
    ranks, cases = request.param
    folder = tmp_path_factory.mktemp("ranks")
    environment = {**os.environ, "PYTHONPATH": str(WORKER.parents[3]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(WORKER), str(ranks), str(shards), str(folder), str(folder / "result.json"), *cases]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr[:8000]
    return ranks, cases, json.loads((folder / "result.json").read_text())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_equals_one_process(run, layout):
    _, cases, found = run
    for case in cases:
        far, single = found[f"{case} {layout}"]["distances"], case.startswith("float32")
        assert any("detection" in key for key in far) == ("none" not in case and not single)
        if single:
            far = {key: value for key, value in far.items() if key.startswith((".model", ".history"))}
        assert max(far.values()) < (3e-5 if single else 1e-7), (case, far)
        assert found[f"{case} {layout}"]["files"] == WRITTEN


@pytest.mark.parametrize("case", RESUMED)
def test_a_run_goes_on_with_another_number_of_processes(run, case):
    ranks, _, found = run
    assert found[f"{case} together until"] == 5
    for change in (f"from one to {ranks}", f"from {ranks} to one"):
        compared = found[f"{case} {change}"]
        assert max(compared["distances"].values()) < 1e-7, compared
        assert compared["files"] == WRITTEN


@pytest.mark.parametrize("case", RESUMED)
def test_a_signal_to_one_process_stops_all_and_changes_no_number(run, case):
    """DistributedDataParallel may add in another order after a start, which only more than two ranks can notice."""
    ranks, _, found = run
    far = max(found[f"{case} from {ranks} to {ranks}"]["distances"].values())
    assert far == 0 if ranks == 2 else far < 1e-12
