"""A rank that is neither dead nor alive ends the run within a minute, wherever it is; called again, the run goes on."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.glofnd.pretraining.launched import ROOT, Launched, environment
from tests.glofnd.pretraining.tiny_run import write_tiny

# Rank 1 stops itself while the other waits for it to have decoded its pictures.
FROZEN_AT_THE_START = """
import os, signal
if os.environ.get("RANK") == "1":
    from glofnd.data.stream import ShardStream
    ShardStream.load = lambda self: os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("shards"), shards=3)


def seconds_until_ended(launched, began):
    code, messages = launched.ended()
    assert code == 1, messages
    return time.monotonic() - began, messages


@pytest.mark.slow
def test_a_frozen_rank_ends_the_run_within_a_minute(shards, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(FROZEN_AT_THE_START)
    waiting = Launched(shards, tmp_path / "waiting", PYTHONPATH=f"{tmp_path}:{ROOT}")
    working = Launched(shards, tmp_path / "working").under_way()
    ranks = working.ranks()
    os.kill(ranks[0], signal.SIGSTOP)
    began = time.monotonic()
    seconds, messages = seconds_until_ended(working, began)
    assert 35 < seconds < 90, messages  # about 45 on an idle machine
    assert "error (rank 1 of 2): another rank is gone (" in messages and "Traceback" not in messages
    assert not any(Path(f"/proc/{rank}").exists() for rank in ranks)
    _, messages = seconds_until_ended(waiting, began)
    assert "error (rank 0 of 2): another rank is gone (rank 1 has given no sign of life for 30 s)" in messages
    assert "Traceback" not in messages
    done = subprocess.run(working.command, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
