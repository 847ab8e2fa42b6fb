"""torchrun as it is: what happens when it is told to stop, and when it loses a rank (resuming: test_ranks.py)."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from glofnd import checkpoint
from tests.glofnd.pretraining.tiny_run import make_config

pytestmark = pytest.mark.slow

WORKER = Path(__file__).with_name("torchrun_worker.py")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
# Only the signal makes the one write a checkpoint; the other writes one after every step.
EVENTS = [("SIGTERM to torchrun", 3600), pytest.param("SIGKILL to a rank", 0, marks=pytest.mark.slow)]


@pytest.mark.parametrize(("event", "checkpoint_seconds"), EVENTS)
def test_all_ranks_end_and_leave_a_checkpoint(shards, tmp_path, event, checkpoint_seconds):
    training = {"checkpoint_seconds": checkpoint_seconds}
    config = json.dumps(make_config("sogclr", "location-scale", epochs=10_000, training=training))
    environment = {**os.environ, "PYTHONPATH": str(WORKER.parents[3]), "OMP_NUM_THREADS": "1"}
    command = [*TORCHRUN, str(WORKER), config, str(shards), str(tmp_path / "out")]
    torchrun = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    said = b""
    while said.count(b"started") < 2:
        assert torchrun.poll() is None, said.decode()
        said += torchrun.stderr.read1()
    lists = Path(f"/proc/{torchrun.pid}/task").glob("*/children")
    ranks = [int(number) for path in lists for number in path.read_text().split()]
    assert len(ranks) == 2
    if event == "SIGTERM to torchrun":
        torchrun.terminate()
    else:
        while not list((tmp_path / "out").glob("resume-*.pt")):
            assert torchrun.poll() is None
        os.kill(ranks[1], signal.SIGKILL)
    torchrun.communicate(timeout=180)
    assert torchrun.returncode != 0
    assert not any(Path(f"/proc/{rank}").exists() for rank in ranks)
    (rolling,) = (tmp_path / "out").glob("resume-*.pt")
    assert checkpoint.read(rolling)["step"] > 0
