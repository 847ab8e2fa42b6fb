"""`kill -9` at any time: the next call goes on from the last rolling checkpoint and ends up the same, bit for bit."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_run import assert_same, make_config, run

from glofnd import checkpoint

ROOT = Path(__file__).parents[3]

# One process imports everything and forks a child per attempt, since the import takes longer than the whole run.
KILLER = """
import json, os, signal, sys, time
from pathlib import Path
from glofnd.pretraining import pretrain
config, shards, out, waits = json.loads(sys.argv[1])
killed = 0
for wait in [*waits, None]:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            pretrain(config, Path(shards), Path(out))
            status = 0
        finally:
            os._exit(status)
    if wait is not None:
        time.sleep(wait)
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    killed += status == -signal.SIGKILL
    assert status in (0, -signal.SIGKILL), status
print(killed)
"""


@pytest.mark.parametrize("modality", ["unimodal", pytest.param("bimodal", marks=pytest.mark.slow)])
def test_killed_at_random_times(shards, tmp_path, modality):
    objective = "sogclr" if modality == "unimodal" else "fastclip-v2"
    config = make_config(
        objective, "location-scale", modality, epochs=8, training={"checkpoint_seconds": 0}, start_filter=2
    )
    began = time.monotonic()
    whole = run(config, shards, tmp_path / "whole")
    length = time.monotonic() - began
    chance = random.Random(1)
    waits = [chance.uniform(0, length / 2) for _ in range(8)]
    plan = json.dumps([config, str(shards), str(tmp_path / "out"), waits])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", KILLER, plan], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 2
    assert_same(whole, checkpoint.read(tmp_path / "out" / "checkpoint.pt"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "checkpoint.pt",
        "history.json",
        "metrics.json",
    ]
