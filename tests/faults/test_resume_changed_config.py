"""Which keys of a run config may change between a checkpoint and going on from it: every key there is, tried."""

import copy
import json

import pytest

from glofnd.pretraining import loop, pretrain
from glofnd.pretraining import run as run_module
from glofnd.pretraining.preemption import Preempted, Preemption
from glofnd.registry import DETECTORS, ENCODERS, EXECUTION, OBJECTIVES, TRAINING, VIEWS
from tests.glofnd.pretraining.tiny_run import make_config, run, write_tiny

CONFIG = make_config("isogclr", "glofnd", learner="adam", lr=0.1, start_update=1, start_filter=2, epochs=4)
CONFIG["training"]["lr"] = 0.01

FREE = {"run", *(f"training.{key}" for key in EXECUTION)}
SCHEMAS = {
    "training": TRAINING,
    "views": VIEWS,
    "encoder": ENCODERS["resnet18"].parameters,
    "objective": OBJECTIVES["isogclr"].parameters,
    "detector": DETECTORS["glofnd"].parameters,
}
# What names a method is changed to one with the same parameters.
METHODS = {"encoder.name": "resnet10", "objective.method": "sogclr", "detector.method": "global-threshold"}
GONE = {"objective.method": ("rho", "temperature_lr", "temperature_min", "temperature_max")}


def keys(config, prefix=""):
    for key, value in config.items():
        if isinstance(value, dict):
            yield from keys(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def other_value(key, value):
    """A valid value of the key that is not the present one."""
    block, _, name = key.partition(".")
    schema = SCHEMAS.get(block, {}).get(name, {})
    if key in METHODS:
        return METHODS[key]
    if "enum" in schema:
        # Not `cuda`, which not every machine has.
        return next(choice for choice in schema["enum"] if choice not in (value, "cuda"))
    if isinstance(value, bool):
        return not value
    if value is None:
        return 0.5
    if isinstance(value, list):
        return [value[0] * 0.9, *value[1:]]
    if isinstance(value, str):
        return value + "-2"
    return value + 1 if schema.get("type", "integer") == "integer" else value * 0.9 or 0.1


def changed(key):
    """The config with that key changed, and its old and new value."""
    config = copy.deepcopy(CONFIG)
    block, _, name = key.rpartition(".")
    place = config[block] if block else config
    old, place[name] = place[name], other_value(key, place[name])
    for gone in GONE.get(key, ()):
        del place[gone]
    return config, old, place[name]


KEYS = list(keys(CONFIG))


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("shards"), shards=3)


@pytest.fixture(scope="module")
def stopped(shards, tmp_path_factory):
    """Folder of a run that was stopped after its first step."""
    out = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Preemption, "requested", True)
        with pytest.raises(Preempted):
            pretrain(CONFIG, shards, out)
    return out


@pytest.fixture(scope="module")
def trunk(shards, tmp_path_factory):
    out = tmp_path_factory.mktemp("trunk")
    run({**CONFIG, "detector": {"label": "none", "method": "none"}}, shards, out, until_epoch=1)
    return out / "checkpoint.pt"


class StartedError(Exception):
    """Training would begin now."""


@pytest.fixture
def first_step(monkeypatch, shards):
    """The step at which a run would begin."""
    monkeypatch.setattr(run_module, "provenance", lambda config, inputs, watch, device: {"inputs": inputs})

    def train(run, *_):
        raise StartedError(run.step)

    monkeypatch.setattr(loop, "_train", train)

    def ask(config, out, **options):
        with pytest.raises(StartedError) as started:
            pretrain(config, shards, out, **options)
        return started.value.args[0]

    return ask


def test_every_parameter_there_is_is_in_the_table():
    found = set(KEYS)
    for block, schema in SCHEMAS.items():
        assert {f"{block}.{key}" for key in schema} <= found
    assert found >= FREE | set(METHODS)


@pytest.mark.parametrize("key", KEYS)
def test_resuming_with_another(key, stopped, first_step, capsys):
    assert first_step(CONFIG, stopped) == 1
    capsys.readouterr()
    config, old, new = changed(key)
    step, said = first_step(config, stopped), capsys.readouterr().err
    assert step == (1 if key in FREE else 0)
    (line,) = [line for line in said.splitlines() if "is not used" in line] or [None]
    if key in FREE:
        assert line is None
    else:
        assert "is not used: these keys differ: " in line and line.endswith("; training starts anew")
        assert f"{key} ({json.dumps(old)}, now {json.dumps(new)})" in line


@pytest.mark.parametrize("key", KEYS)
def test_branching_with_another(key, trunk, first_step, shards, tmp_path):
    config, old, new = changed(key)
    if key in FREE or key.startswith("detector."):
        assert first_step(config, tmp_path, trunk=trunk) == 3
        return
    with pytest.raises(ValueError, match="made with another config; these keys differ: ") as refused:
        pretrain(config, shards, tmp_path, trunk=trunk)
    assert f"{key} ({json.dumps(old)}, now {json.dumps(new)})" in str(refused.value)
    assert str(refused.value).startswith(f"{trunk}: ")


def test_the_order_of_the_keys_does_not_count(stopped, first_step):
    backwards = {k: dict(reversed(v.items())) if isinstance(v, dict) else v for k, v in reversed(CONFIG.items())}
    assert first_step(backwards, stopped) == 1


def test_a_branch_may_not_have_been_at_work_within_the_trunk(trunk, shards, tmp_path):
    early = make_config("isogclr", "oracle", start_filter=0, epochs=4, training={"lr": 0.01})
    expected = r"this run's detector 'oracle' is at work from epoch 0 on, and this trunk has 1 epochs behind it"
    with pytest.raises(ValueError, match=expected):
        pretrain(early, shards, tmp_path, trunk=trunk)


def test_a_run_whose_detector_was_at_work_is_no_trunk(shards, tmp_path):
    """A detector without state of its own leaves no trace in the checkpoint but in the weights."""
    options = {"epochs": 2, "training": {"precision": "fp32"}}
    run(make_config("sogclr", "oracle", start_filter=0, **options), shards, tmp_path / "oracle", until_epoch=1)
    late = make_config("sogclr", "batch-quantile", start_filter=1, **options)
    with pytest.raises(ValueError, match=r"its own detector 'oracle' is at work from epoch 0 on"):
        pretrain(late, shards, tmp_path / "out", trunk=tmp_path / "oracle" / "checkpoint.pt")


def test_a_rolling_checkpoint_in_mid_epoch_is_no_trunk_for_a_detector_of_that_epoch(monkeypatch, shards, tmp_path):
    plain = make_config("sogclr", "none", epochs=2)
    with monkeypatch.context() as patch:
        patch.setattr(Preemption, "requested", True)
        with pytest.raises(Preempted):
            pretrain(plain, shards, tmp_path / "plain")
    (rolling,) = (tmp_path / "plain").glob("resume-*.pt")
    with pytest.raises(ValueError, match=r"at work from epoch 0 on, and this trunk has 0\.333333 epochs behind it"):
        pretrain(make_config("sogclr", "oracle", epochs=2), shards, tmp_path / "out", trunk=rolling)


def test_a_trunk_beyond_the_end_is_refused(trunk, shards, tmp_path):
    out = tmp_path / "longer"
    run({**CONFIG, "detector": {"label": "none", "method": "none"}}, shards, out, until_epoch=2)
    with pytest.raises(ValueError, match="already at epoch 2, beyond epoch 1"):
        pretrain(
            {**CONFIG, "detector": {"label": "none", "method": "none"}},
            shards,
            tmp_path / "out",
            trunk=out / "checkpoint.pt",
            until_epoch=1,
        )
