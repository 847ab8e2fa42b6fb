"""Several processes started by the launcher: what ends them, and how it says so."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from launched import LAUNCH, ROOT, Launched, environment
from tiny_run import assert_same

from glofnd import checkpoint
from glofnd.pretraining.launch import verdict
from glofnd.pretraining.preemption import EXIT_CODE
from glofnd.pretraining.team import LOST_RANK


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ({0: EXIT_CODE, 1: EXIT_CODE}, (EXIT_CODE, "")),
        ({0: EXIT_CODE, 1: -signal.SIGTERM}, (EXIT_CODE, "")),
        ({0: -signal.SIGUSR1}, (EXIT_CODE, "")),
        ({0: 2, 1: -signal.SIGTERM}, (2, "")),
        ({0: LOST_RANK, 1: 2}, (2, "")),
        ({0: LOST_RANK, 1: 1}, (1, "rank 1 ended with exit code 1; the other ranks were stopped")),
        ({0: 1, 3: -signal.SIGKILL}, (1, "rank 3 ended with SIGKILL; the other ranks were stopped")),
        ({0: LOST_RANK, 1: LOST_RANK}, (1, "")),
    ],
)
def test_what_failed_ranks_mean(codes, expected):
    assert verdict(codes) == expected


def test_several_nodes_are_started_by_srun(tmp_path):
    """A stand-in for srun writes what it is called with, and ends as the step does."""
    stub = tmp_path / "srun"
    stub.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path / "called"}\nexit 75\n')
    stub.chmod(0o755)
    variables = environment(PATH=f"{tmp_path}:{os.environ['PATH']}", SLURM_JOB_ID="7")
    options = ["--nodes", "2", "--processes", "4", "--threads", "3", "--"]
    odd = ["--out", "a folder; with $(odd) 'name'"]
    done = subprocess.run([*LAUNCH, *options, *odd], env=variables, capture_output=True, text=True)
    assert done.returncode == EXIT_CODE, done.stderr
    called = (tmp_path / "called").read_text().splitlines()
    assert called[:5] == [
        "--nodes=2",
        "--ntasks=2",
        "--ntasks-per-node=1",
        "--kill-on-bad-exit=1",
        "--cpus-per-task=12",
    ]
    assert called[5:8] == [sys.executable, "-m", "glofnd.pretraining.launch"]
    (place,) = (word for word in called if word.startswith("--rendezvous="))
    assert int(place.rpartition(":")[2]) > 0
    assert called[called.index("--") + 1 :] == [*odd, "--threads=3"]


def test_several_nodes_without_slurm_need_a_place_to_meet():
    variables = {key: value for key, value in environment().items() if key != "SLURM_JOB_ID"}
    done = subprocess.run([*LAUNCH, "--nodes", "2", "--", "x"], env=variables, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: --nodes 2: there is no SLURM allocation; call this on every node with --rende"
    )


@pytest.mark.slow
def test_a_signal_stops_all_ranks_and_the_same_command_goes_on(shards, tmp_path):
    undisturbed = Launched(shards, tmp_path / "undisturbed")
    stopped = Launched(shards, tmp_path / "stopped").under_way()
    stopped.process.send_signal(signal.SIGUSR1)
    code, messages = stopped.ended()
    assert code == EXIT_CODE, messages
    assert messages.count("stopped on request after step") == 1
    assert "Traceback" not in messages and "error" not in messages
    done = subprocess.run(stopped.command, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    undisturbed.process.communicate(timeout=300)
    left, right = (checkpoint.read(tmp_path / name / "checkpoint.pt") for name in ("undisturbed", "stopped"))
    assert_same(left, right)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_ends_the_others(shards, tmp_path, victim):
    launched = Launched(shards, tmp_path / "out").under_way()
    ranks = launched.ranks()
    os.kill(ranks[victim], signal.SIGKILL)
    code, messages = launched.ended()
    assert code == 1
    assert f"error: rank {victim} ended with SIGKILL; the other ranks were stopped" in messages
    assert not any(Path(f"/proc/{rank}").exists() for rank in ranks)


FAULT = """
import os
if os.environ.get("RANK") == "1":
    from glofnd.data.stream import ShardStream
    original = ShardStream.epoch
    def epoch(self, number, **options):
        if number == 2:
            raise RuntimeError("the disk of this node is gone")
        return original(self, number, **options)
    ShardStream.epoch = epoch
"""


@pytest.mark.slow
def test_a_rank_that_raises_ends_the_others_with_its_error(shards, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(FAULT)
    launched = Launched(shards, tmp_path / "out", PYTHONPATH=f"{tmp_path}:{ROOT}")
    code, messages = launched.ended()
    assert code == 1
    assert "RuntimeError: the disk of this node is gone" in messages
    assert "error: rank 1 ended with exit code 1; the other ranks were stopped" in messages


@pytest.mark.slow
def test_bad_input_is_said_by_the_ranks_and_keeps_its_code(shards, tmp_path):
    code, messages = Launched(shards / "nowhere", tmp_path / "out").ended()
    assert code == 2
    assert "error (rank 0 of 2): " in messages and "Traceback" not in messages


@pytest.mark.slow
def test_ranks_whose_launcher_is_killed_save_and_end(shards, tmp_path):
    launched = Launched(shards, tmp_path / "out").under_way()
    ranks = launched.ranks()
    launched.process.kill()
    began = time.monotonic()
    while any(Path(f"/proc/{rank}").exists() for rank in ranks):
        assert time.monotonic() - began < 60
        time.sleep(0.1)
    assert "stopped on request after step" in launched.process.stderr.read()


@pytest.mark.slow
def test_two_nodes_that_meet_at_a_given_place(shards, tmp_path):
    """What srun starts on two nodes, here both on this one."""
    import socket

    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    options = ["--nodes", "2", "--rendezvous", f"{socket.gethostname()}:{port}"]
    nodes = [Launched(shards, tmp_path / "out", *options) for _ in range(2)]
    nodes[0].under_way()
    nodes[1].process.terminate()
    for node in nodes:
        code, messages = node.ended()
        assert code == EXIT_CODE, messages
    assert len(list((tmp_path / "out").glob("resume-*.pt"))) == 1
