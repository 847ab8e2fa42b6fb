"""Interrupted after every single step, a run of any method ends up where an undisturbed one does, bit for bit.

The methods come from the registry, so that a new one is tested by being there.
"""

import pytest
import torch

from glofnd.detectors import build_detector
from glofnd.pretraining import run as run_module
from glofnd.registry import DETECTORS, EXECUTION, OBJECTIVES, TRAINING, first_touch
from tests.faults.tiny_training import (
    BATCH,
    STEPS,
    modality_of,
    register,
    tiny_config,
    train_in_single_steps,
)
from tests.glofnd.pretraining.tiny_run import SAMPLES, assert_same, numbers, run, write_tiny


def choices(schema):
    """Values of a parameter other than its default, where they can be listed."""
    values = schema.get("enum", [False, True] if schema["type"] == "boolean" else [])
    return [value for value in values if value != schema["default"]]


def accepted(name, options):
    try:
        build_detector(name, SAMPLES, **options)
    except ValueError:
        return False
    return True


def learners(name):
    """Options of a detector, one set per learner it has."""
    schema = DETECTORS[name].parameters.get("learner")
    return [{"learner": learner} for learner in schema["enum"]] if schema else [{}]


def further(name):
    """Each learner with each listed value of each further parameter that it accepts."""
    others = {key: schema for key, schema in DETECTORS[name].parameters.items() if key != "learner"}
    sets = [
        {**learner, key: value}
        for learner in learners(name)
        for key, schema in others.items()
        for value in choices(schema)
    ]
    return [options for options in sets if accepted(name, options)]


def named(objective, detector, options):
    return pytest.param(objective, detector, options, id="-".join([objective, detector, *map(str, options.values())]))


EVERY_METHOD = [named(o, d, options) for o in OBJECTIVES for d in DETECTORS for options in learners(d)]
ONE_PER_MODALITY = {modality_of(objective): objective for objective in OBJECTIVES}.values()
EVERY_OPTION = [named(o, d, options) for o in ONE_PER_MODALITY for d in DETECTORS for options in further(d)]


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    register(monkeypatch)
    # Asking git for the state of the tree takes longer than a step.
    monkeypatch.setattr(run_module, "provenance", lambda config, inputs, watch, device: {"inputs": inputs})
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("shards"), shards=3)


@pytest.fixture(scope="module")
def trunks(shards, tmp_path_factory):
    """Trains the trunk of an objective up to epoch 1, asked for once each."""
    made = {}

    def trunk(objective):
        if objective not in made:
            made[objective] = tmp_path_factory.mktemp("trunk")
            run(tiny_config(objective), shards, made[objective], until_epoch=1)
        return made[objective] / "checkpoint.pt"

    return trunk


def test_the_matrix_is_whole():
    cases = {(case.values[0], case.values[1]) for case in EVERY_METHOD}
    assert cases == {(objective, detector) for objective in OBJECTIVES for detector in DETECTORS}
    tried = [case.values[2] for case in (*EVERY_METHOD, *EVERY_OPTION) if case.values[1] == "glofnd"]
    assert {options["learner"] for options in tried} == {"adam", "sgd"}
    assert {"learner": "adam", "init": "quantile"} in tried and {"learner": "sgd", "treatment": "attract"} in tried


@pytest.mark.parametrize(("objective", "detector", "options"), EVERY_METHOD)
def test_every_method(monkeypatch, shards, trunks, tmp_path, objective, detector, options):
    config = tiny_config(objective, detector, **options)
    whole = run(config, shards, tmp_path / "whole")
    if detector != "none":
        assert whole["history"][-1]["detection"]["image"]["dropped_share"] > 0
    assert train_in_single_steps(monkeypatch, config, shards, tmp_path / "steps") == STEPS + 1
    steps = torch.load(tmp_path / "steps" / "checkpoint.pt", weights_only=True)
    assert_same(whole, steps)
    assert (steps["epoch"], steps["step"]) == (whole["epoch"], whole["step"])
    if first_touch(detector, config["detector"]) is None:
        return
    trunk = trunks(objective)
    calls = train_in_single_steps(monkeypatch, config, shards, tmp_path / "branch", trunk=trunk)
    assert calls == STEPS - SAMPLES // BATCH + 1
    assert_same(whole, torch.load(tmp_path / "branch" / "checkpoint.pt", weights_only=True))


@pytest.mark.slow
@pytest.mark.parametrize(("objective", "detector", "options"), EVERY_OPTION)
def test_every_option_of_a_detector(monkeypatch, shards, tmp_path, objective, detector, options):
    config = tiny_config(objective, detector, **options)
    whole = run(config, shards, tmp_path / "whole")
    train_in_single_steps(monkeypatch, config, shards, tmp_path / "steps")
    assert_same(whole, torch.load(tmp_path / "steps" / "checkpoint.pt", weights_only=True))


@pytest.mark.parametrize(
    ("key", "value"),
    [(key, v) for key, schema in TRAINING.items() if key not in EXECUTION for v in choices(schema)],
)
def test_every_choice_of_training(monkeypatch, shards, tmp_path, key, value):
    config = tiny_config("isogclr", "glofnd", training={key: value})
    whole = run(config, shards, tmp_path / "whole")
    train_in_single_steps(monkeypatch, config, shards, tmp_path / "steps")
    assert_same(whole, torch.load(tmp_path / "steps" / "checkpoint.pt", weights_only=True))


@pytest.mark.parametrize("detector", [name for name in DETECTORS if name != "none"])
def test_a_detector_at_work_from_the_first_step(monkeypatch, shards, tmp_path, detector):
    starts = {key: 0 for key in ("start_update", "start_filter") if key in DETECTORS[detector].parameters}
    for objective in ONE_PER_MODALITY:
        config = tiny_config(objective, detector, **starts)
        whole = run(config, shards, tmp_path / objective / "whole")
        train_in_single_steps(monkeypatch, config, shards, tmp_path / objective / "steps")
        assert_same(whole, torch.load(tmp_path / objective / "steps" / "checkpoint.pt", weights_only=True))


def test_what_is_compared_holds_all_state(shards, tmp_path):
    """Weights, buffers, moments of the optimiser, per-sample state of both modalities, temperatures, the history."""
    found = numbers(run(tiny_config("fastclip-v2", "glofnd"), shards, tmp_path))
    for part in (
        ".model.image.2.running_mean",
        ".objective.state.text.log_u",
        ".objective.state.image.velocity",
        ".objective.detectors.text.state.residual",
        ".objective.detectors.image.tail",
        ".optimizer.state.0.exp_avg",
        "history[2].loss",
    ):
        assert any(key.endswith(part) for key in found), part
