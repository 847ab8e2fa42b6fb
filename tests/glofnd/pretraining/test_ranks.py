"""A run on W processes equals that of one process with the same global batch; their checkpoints are of one kind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ranks_worker import CASES, LAYOUTS, QUICK, RESUMED
from tiny_run import make_config

from glofnd.pretraining import pretrain
from glofnd.pretraining.team import Team

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
WRITTEN = ["checkpoint.pt", "history.json", "metrics.json"]


SETS = [
    pytest.param((2, QUICK), id="2"),
    pytest.param((2, CASES), id="2-all", marks=pytest.mark.slow),
    pytest.param((4, CASES), id="4-all", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=SETS)
def run(request, shards, tmp_path_factory):
    """Number of ranks, cases trained, and how far they are from one process."""
    ranks, cases = request.param
    folder = tmp_path_factory.mktemp("ranks")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{HERE}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "ranks_worker.py"), str(ranks)]
    command += [str(shards), str(folder), str(folder / "result.json"), *cases]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
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
    assert found[f"{case} alone until"] == 4
    assert found[f"{case} together until"] == 5
    for change in (f"from one to {ranks}", f"from {ranks} to one"):
        compared = found[f"{case} {change}"]
        assert max(compared["distances"].values()) < 1e-7, compared
        assert compared["files"] == WRITTEN


@pytest.mark.parametrize("case", RESUMED)
def test_a_signal_to_one_process_stops_all_and_changes_nothing(run, case):
    ranks, _, found = run
    assert max(found[f"{case} from {ranks} to {ranks}"]["distances"].values()) == 0


def test_a_batch_that_cannot_be_split_evenly_is_refused(shards, tmp_path):
    team = Team()
    team.size = 3
    with pytest.raises(ValueError, match="8 pictures cannot be split evenly among 3 processes; take a multiple"):
        pretrain(make_config(), shards, tmp_path, team=team)
