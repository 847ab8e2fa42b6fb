"""Ended by signals at random steps, a run ends up where an undisturbed one does, bit for bit."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_run import assert_same, make_config, run

from glofnd import checkpoint
from glofnd.data.stream import ShardStream
from glofnd.pretraining import pretrain
from glofnd.pretraining.preemption import EXIT_CODE, SIGNALS, Preempted, Preemption

STEPS = 9  # 24 pictures, batches of 8, 3 epochs


def signal_at(monkeypatch, step, number):
    """The process gets a signal while it works on a step, counted from the start of this call."""
    original, given = ShardStream.epoch, [0]

    def epoch(self, *args, **kwargs):
        for batch in original(self, *args, **kwargs):
            given[0] += 1
            if given[0] == step:
                os.kill(os.getpid(), number)
            yield batch

    monkeypatch.setattr(ShardStream, "epoch", epoch)


@pytest.mark.parametrize(
    ("modality", "objective", "detector", "options"),
    [
        ("unimodal", "isogclr", "glofnd", {"learner": "adam", "start_update": 1}),
        ("unimodal", "sogclr", "location-scale", {}),
        ("bimodal", "fastclip-v3", "glofnd", {"learner": "sgd"}),
    ],
)
def test_signals_at_random_steps_change_nothing(shards, tmp_path, monkeypatch, modality, objective, detector, options):
    config = make_config(objective, detector, modality, start_filter=1, **options)
    whole = run(config, shards, tmp_path / "whole")
    out, done, chance = tmp_path / "preempted", 0, random.Random(objective)
    for number in SIGNALS:
        done += (step := chance.randint(1, 3))
        with monkeypatch.context() as patch:
            signal_at(patch, step, number)
            with pytest.raises(Preempted, match=f"after step {done}; the same command goes on from"):
                pretrain(config, shards, out)
        assert not (out / "checkpoint.pt").exists()
        assert checkpoint.read(next(out.glob("resume-*.pt")))["step"] == done
    assert done <= STEPS
    assert_same(whole, run(config, shards, out))
    assert sorted(path.name for path in out.iterdir()) == ["checkpoint.pt", "history.json", "metrics.json"]


def test_the_handlers_of_before_are_back(shards, tmp_path):
    before = [signal.getsignal(number) for number in SIGNALS]
    run(make_config(epochs=1), shards, tmp_path)
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_process_without_its_parent_is_to_stop(monkeypatch):
    with Preemption(follow_parent=True) as preemption:
        assert not preemption.requested
        monkeypatch.setattr(os, "getppid", lambda: 1)
        assert preemption.requested


def test_options_of_execution_win_on_resume(shards, tmp_path, monkeypatch):
    config = make_config(training={"threads": 1, "workers": 0, "checkpoint_seconds": 60})
    whole = run(config, shards, tmp_path / "whole")
    with monkeypatch.context() as patch:
        signal_at(patch, 4, signal.SIGTERM)
        with pytest.raises(Preempted):
            pretrain(config, shards, tmp_path / "out")
    changed = make_config(training={"threads": 2, "workers": 2, "checkpoint_seconds": 0, "state_layout": "sharded"})
    threads = []
    with monkeypatch.context() as patch:
        patch.setattr("torch.set_num_threads", threads.append)
        given = []
        original = ShardStream.epoch
        patch.setattr(ShardStream, "epoch", lambda self, *a, **k: given.append((a, k)) or original(self, *a, **k))
        resumed = run(changed, shards, tmp_path / "out")
    assert threads[0] == 2  # the views set it, too, for their own threads, and put it back
    assert given[0] == ((1,), {"start_batch": 1})
    assert_same(whole, resumed)
    assert whole["config"] == resumed["config"]


def test_a_resume_file_of_another_config_is_refused_with_the_keys(shards, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        signal_at(patch, 2, signal.SIGTERM)
        with pytest.raises(Preempted):
            pretrain(make_config(), shards, tmp_path)
    (resume,) = tmp_path.glob("resume-*.pt")
    changed = make_config("sogclr", "oracle", training={"lr": 0.01})
    with monkeypatch.context() as patch:
        signal_at(patch, 1, signal.SIGTERM)
        with pytest.raises(Preempted, match="after step 1;"):
            pretrain(changed, shards, tmp_path)
    message = capsys.readouterr().err
    assert f'{resume.name} is not used: these keys differ: detector.label ("none", now "oracle"), ' in message
    assert "training.lr (0.001, now 0.01); training starts anew" in message
    assert resume.is_file()


def latest(folder):
    """When the rolling checkpoint was last written."""
    return max((path.stat().st_mtime_ns for path in folder.glob("resume-*.pt")), default=0)


@pytest.mark.slow
def test_the_command_ends_with_its_own_code_and_goes_on(shards, tmp_path):
    config, out = json.dumps(make_config(epochs=40)), tmp_path / "out"
    command = [sys.executable, "-m", "glofnd.pretraining", "--run-config", config, "--shards", str(shards)]
    command += ["--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    often = [*command, "--checkpoint-seconds", "0"]
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGKILL):
        before = latest(out)
        process = subprocess.Popen(often, env=environment, stderr=subprocess.PIPE, text=True)
        while latest(out) == before:
            assert process.poll() is None
        process.send_signal(number)
        _, message = process.communicate(timeout=60)
        assert process.returncode == (-number if number == signal.SIGKILL else EXIT_CODE), message
        assert ("stopped on request after step" in message) == (number != signal.SIGKILL)
        assert "Traceback" not in message
    subprocess.run(command, env=environment, check=True, capture_output=True)
    undisturbed = run(json.loads(config), shards, tmp_path / "whole")
    assert_same(undisturbed, checkpoint.read(out / "checkpoint.pt"))
