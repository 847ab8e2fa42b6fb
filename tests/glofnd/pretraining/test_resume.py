"""An interrupted or branched run ends up where an undisturbed one does, bit for bit; what does not fit is refused."""

import copy
import json
import logging
import os
import random
import signal

import pytest
import torch

from glofnd import checkpoint
from glofnd.data.stream import ShardStream
from glofnd.detectors import DETECTORS
from glofnd.objectives import OBJECTIVES
from glofnd.pretraining import Preempted, loop, pretrain
from glofnd.pretraining.options import EXECUTION
from glofnd.pretraining.signals import SIGNALS
from tests.glofnd.pretraining.tiny_run import assert_same, make_config, numbers, run, run_step_by_step
from tests.glofnd.pretraining.tiny_run import write_tiny as write

pytestmark = pytest.mark.slow

WRITTEN = ["checkpoint.pt", "history.json", "metrics.json"]
STEPS = 9

# Every objective with a detector that keeps state, and every detector with an objective of each modality.
METHODS = [(name, "glofnd" if kind.uses_negatives else "none", {}) for name, kind in OBJECTIVES.items()]
METHODS += [(objective, detector, {}) for objective in ("sogclr", "fastclip-v2") for detector in DETECTORS]
METHODS += [("sogclr", "glofnd", {"learner": "sgd", "treatment": "attract"}), ("clip", "glofnd", {"init": "quantile"})]


@pytest.mark.parametrize(("objective", "detector", "options"), METHODS)
def test_stopped_after_every_step(monkeypatch, no_git, shards, tmp_path, objective, detector, options):
    config = make_config(objective, detector, **options)
    whole = run(config, shards, tmp_path / "whole")
    if detector != "none":
        assert whole["history"][-1]["detection"]["image"]["dropped_share"] > 0
    resumed, calls = run_step_by_step(monkeypatch, config, shards, tmp_path / "steps")
    assert calls == STEPS + 1
    assert_same(whole, resumed)
    assert sorted(path.name for path in (tmp_path / "steps").iterdir()) == WRITTEN


@pytest.mark.parametrize(
    ("objective", "detector"), [("sogclr", "glofnd"), ("clip", "oracle"), ("fastclip-v3", "glofnd")]
)
def test_a_branch_equals_an_unbranched_run(monkeypatch, no_git, shards, tmp_path, objective, detector):
    config = make_config(objective, detector)
    run(make_config(objective), shards, tmp_path / "trunk", until_epoch=1)
    trunk = tmp_path / "trunk" / "checkpoint.pt"
    branched, calls = run_step_by_step(monkeypatch, config, shards, tmp_path / "branch", trunk=trunk)
    assert calls == STEPS - 3 + 1
    assert_same(run(config, shards, tmp_path / "straight"), branched)


def test_what_is_compared_holds_all_state(shards, tmp_path):
    found = numbers(run(make_config("fastclip-v2", "glofnd"), shards, tmp_path))
    parts = [".model.image.2.running_mean", ".objective.state.text.log_u", ".optimizer.state.0.exp_avg"]
    for part in [*parts, ".objective.detectors.text.state.", "history[2].loss"]:
        assert any(part in key for key in found), part


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_real_encoders_and_signals(monkeypatch, no_git, shards, tmp_path, precision):
    """Signals at random steps; the handlers of before are back afterwards."""
    config = make_config("isogclr", "glofnd", encoder="resnet18", training={"precision": precision})
    whole, before = run(config, shards, tmp_path / "whole"), [signal.getsignal(number) for number in SIGNALS]
    original, done, chance = ShardStream.epoch, 0, random.Random(precision)
    for number in SIGNALS:
        at, given = chance.randint(1, 3), [0]
        done += at

        def epoch(self, *args, number=number, at=at, given=given, **kwargs):
            for batch in original(self, *args, **kwargs):
                given[0] += 1
                if given[0] == at:
                    os.kill(os.getpid(), number)
                yield batch

        with monkeypatch.context() as patch:
            patch.setattr(ShardStream, "epoch", epoch)
            with pytest.raises(Preempted, match=f"after step {done}; the same call goes on from"):
                pretrain(config, shards, tmp_path / "out")
        assert [signal.getsignal(number) for number in SIGNALS] == before
    assert_same(whole, run(config, shards, tmp_path / "out"))


class StartedError(Exception):
    """Training would begin now, at the step that is the argument."""


@pytest.fixture
def first_step(monkeypatch, no_git, shards):
    def train(trainer, *_):
        raise StartedError(trainer.step)

    def ask(config, out, **options):
        with monkeypatch.context() as patch, pytest.raises(StartedError) as started:
            patch.setattr(loop, "_train", train)
            pretrain(config, shards, out, **options)
        return started.value.args[0]

    return ask


@pytest.fixture
def stopped(monkeypatch, no_git, shards, tmp_path):
    """The rolling checkpoint of `CONFIG` after its first step."""

    def train(trainer, last, out, resume, state_now, stop):
        trainer.train_step(next(trainer.stream.epoch(0)))
        trainer.batch += 1
        checkpoint.write(resume, state_now())
        raise StartedError

    with monkeypatch.context() as patch, pytest.raises(StartedError):
        patch.setattr(loop, "_train", train)
        pretrain(CONFIG, shards, tmp_path / "out")
    return next((tmp_path / "out").glob("resume-*.pt"))


CONFIG = make_config("sogclr", "glofnd")
CHANGES = {
    "seed": 2,
    "label": "other",
    "training.lr": 0.5,
    "training.precision": "bf16",
    "views.flip": 0.1,
    "objective.gamma": 0.5,
    "detector.alpha": 0.2,
}
FREE = {
    "run": "renamed",
    "training.threads": 2,
    "training.workers": 2,
    "training.checkpoint_seconds": 0,
    "training.state_layout": "sharded",
    "training.device": "cpu",
}


def changed(key, value):
    config = copy.deepcopy(CONFIG)
    block, _, name = key.rpartition(".")
    (config[block] if block else config)[name] = value
    return config


def test_execution_may_change_on_resume(stopped, first_step):
    assert {key.removeprefix("training.") for key in FREE} == {"run", *EXECUTION}
    assert all(first_step(changed(key, value), stopped.parent) == 1 for key, value in FREE.items())
    backwards = {k: dict(reversed(v.items())) if isinstance(v, dict) else v for k, v in reversed(CONFIG.items())}
    assert first_step(backwards, stopped.parent) == 1


@pytest.mark.parametrize("key", [key for key in CHANGES if key != "label"])
def test_a_changed_config_starts_anew_and_says_why(stopped, first_step, caplog, key):
    old = CONFIG
    for part in key.split("."):
        old = old[part]
    assert first_step(changed(key, CHANGES[key]), stopped.parent) == 0
    assert f"{stopped.name} is not used: these keys differ: {key} ({json.dumps(old)}, now " in caplog.text
    assert stopped.is_file()


def flip_a_bit(path):
    """In the weights."""
    content = path.read_bytes()
    at = content.index(checkpoint.read(path)["model"]["image.1.weight"].numpy().tobytes()) + 100
    path.write_bytes(content[:at] + bytes([content[at] ^ 8]) + content[at + 1 :])


DAMAGE = {
    "a bit flipped": (flip_a_bit, "does not match its checksum"),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:-1000]), "damaged checkpoint"),
    "text": (lambda path: path.write_text("not today\n"), "damaged checkpoint"),
    "another format": (lambda path: checkpoint.write(path, {**checkpoint.read(path), "format": 99}), "format 99"),
    "something else": (lambda path: torch.save({"a": 1}, path), "not a checkpoint of this project"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_rolling_checkpoint_is_not_used(stopped, first_step, caplog, kind):
    damage, reason = DAMAGE[kind]
    damage(stopped)
    assert first_step(CONFIG, stopped.parent) == 0
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert f"{stopped.name} is not used: " in caplog.text and reason in caplog.text


def test_a_model_of_another_version_of_the_code_is_refused(stopped, shards):
    state = checkpoint.read(stopped)
    state["model"]["head.weight"] = state["model"]["head.weight"][:, :5]
    checkpoint.write(stopped, state)
    with pytest.raises(ValueError, match=r"does not fit this version of the code \(.*head\.weight.*\); delete it"):
        pretrain(CONFIG, shards, stopped.parent)


@pytest.fixture(scope="module")
def trunk(shards, tmp_path_factory):
    out = tmp_path_factory.mktemp("trunk")
    run(make_config("sogclr"), shards, out, until_epoch=1)
    return out / "checkpoint.pt"


def test_a_trunk_of_another_config_is_refused_with_the_keys(trunk, shards, tmp_path):
    with pytest.raises(ValueError, match=r"these keys differ: training\.lr \(0\.01, now 0\.5\)$"):
        pretrain(changed("training.lr", 0.5), shards, tmp_path, trunk=trunk)


def test_a_trunk_of_other_data_is_refused(trunk, tmp_path):
    with pytest.raises(ValueError, match="trained on other shards"):
        pretrain(CONFIG, write(tmp_path / "other", shards=2), tmp_path / "out", trunk=trunk)


def test_a_damaged_trunk_is_refused(trunk, shards, tmp_path):
    damaged = tmp_path / "trunk.pt"
    damaged.write_bytes(trunk.read_bytes())
    flip_a_bit(damaged)
    with pytest.raises(ValueError, match=r"trunk\.pt: damaged checkpoint \(.+ does not match its checksum\)"):
        pretrain(CONFIG, shards, tmp_path, trunk=damaged)


def test_no_detector_may_have_been_at_work_in_a_trunk(trunk, shards, tmp_path):
    early = make_config("sogclr", "oracle", start_filter=0)
    with pytest.raises(ValueError, match="this run's detector 'oracle' is at work from epoch 0 on"):
        pretrain(early, shards, tmp_path, trunk=trunk)
    run(early, shards, tmp_path / "early", until_epoch=1)
    with pytest.raises(ValueError, match="its own detector 'oracle' is at work from epoch 0 on"):
        pretrain(CONFIG, shards, tmp_path, trunk=tmp_path / "early" / "checkpoint.pt")


def test_a_trunk_beyond_the_end_is_refused(shards, tmp_path):
    plain = make_config("sogclr")
    run(plain, shards, tmp_path, until_epoch=2)
    with pytest.raises(ValueError, match="already at epoch 2, beyond epoch 1"):
        pretrain(plain, shards, tmp_path / "out", trunk=tmp_path / "checkpoint.pt", until_epoch=1)
    with pytest.raises(ValueError, match="not between 1 and the run's 3 epochs"):
        pretrain(plain, shards, tmp_path / "out", until_epoch=4)
