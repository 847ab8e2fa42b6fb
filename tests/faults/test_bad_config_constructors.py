"""What a constructor refuses, the config check has refused before: value by value and in pairs, from the registries.

Every parameter takes values at, inside and outside its bounds and of other types. What the check lets through must be
built, and an objective with its detector must then give a finite loss and gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise, product
from typing import Any

import pytest
import torch

from evaluation.old_tasks import parse_task
from evaluation.registry import EVALUATIONS
from glofnd.detectors import build_detector
from glofnd.encoders import build_model
from glofnd.objectives import build_objective
from glofnd.pretraining.optimiser import build_optimiser
from glofnd.pretraining.options import TrainingOptions
from glofnd.registry import DETECTORS, ENCODERS, OBJECTIVES, TRAINING, VIEWS
from glofnd.views import TwoViews
from workflow.configuration import ConfigError, resolve

Values = dict[str, Any]

SAMPLES, EPOCHS = 64, 2**31 - 1
DATA = {"unimodal": "digits", "bimodal": "emoji"}
ENCODER = {"unimodal": {"name": "resnet10", "width": 4}, "bimodal": {"name": "open-clip", "model": "glofnd-test"}}
OBJECTIVE = {"unimodal": "simclr", "bimodal": "clip"}


@pytest.fixture(autouse=True)
def _hundreds_of_experiments(monkeypatch: pytest.MonkeyPatch) -> None:
    """All values are tried in one config, far larger than a benchmark can have."""
    monkeypatch.setattr("workflow.checks.whole._LARGEST", 10**9)


def _around(schema: Values) -> Iterator[Any]:
    """Values of one parameter: its default, its bounds and both sides of them, choices, and what it cannot be."""
    kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    yield schema.get("default")
    yield from (None, True, "x", [])
    yield from schema.get("enum", [])
    for bound in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
        if bound in schema:
            limit, step = schema[bound], 1 if "integer" in kinds else 1e-3
            yield from (limit, limit - step, limit + step)
    if {"integer", "number"} & {*kinds}:
        yield from (-1, 0, 1, 2, 3, 1000)
    if "number" in kinds:
        yield from (0.5, 1e-29, 1e29)
    if "array" in kinds:
        inner = list(_around(schema["items"]))
        yield from ([one] for one in inner)
        yield from ([one, other] for one, other in pairwise(inner))


def _distinct(values: Iterator[Any]) -> list[Any]:
    return list({(type(value), repr(value)): value for value in values}.values())


def _choices(parameters: dict[str, Values], pairs: bool = True) -> list[Values]:
    """All parameters' values one at a time, and of two parameters a few together."""
    around = {key: _distinct(_around(schema)) for key, schema in parameters.items()}
    found = [{}, *({key: value} for key, values in around.items() for value in values)]
    few = {
        key: [value for value in values if not isinstance(value, str | list) or value in schema.get("enum", [])][:7]
        for (key, values), schema in zip(around.items(), parameters.values(), strict=True)
    }
    if pairs:
        for one, other in combinations(few, 2):
            found += [{one: first, other: second} for first, second in product(few[one], few[other])]
    return found


def _experiment(modality: str, **given: Any) -> Values:
    return {
        "modality": modality,
        "dataset": DATA[modality],
        "encoder": ENCODER[modality],
        "training": {"epochs": EPOCHS, "batch_size": 8},
        "objectives": {OBJECTIVE[modality]: {}},
        "detectors": {"none": {}},
        "evaluations": {"discovery": [{}]},
        **given,
    }


def _config(experiments: Values) -> Values:
    return {
        "paths": {"raw": "raw", "shards": "shards", "results": "results"},
        "seeds": [1],
        "significance": None,
        "datasets": {"digits": {}, "emoji": {}},
        "experiments": experiments,
    }


def _accepted(experiments: Values, places: list[str]) -> list[int]:
    """Numbers of the places (dotted keys) that the check says nothing about."""
    try:
        resolve(_config(experiments))
    except ConfigError as error:
        keys = [line.partition(": ")[0] for line in error.problems]
        bad = {key[: len(place)] for place in places for key in keys if key.startswith(place)}
        unplaced = [key for key in keys if not any(key.startswith(place) for place in places)]
        assert not unplaced, unplaced
        return [number for number, place in enumerate(places) if place not in bad]
    return list(range(len(places)))


def _step(objective: Any, labels: torch.Tensor) -> None:
    """Two steps in training: loss and gradients stay finite."""
    generator = torch.Generator().manual_seed(0)
    for epoch in range(2):
        z = torch.randn(2, 8, 6, generator=generator, requires_grad=True)
        loss = objective(z[0], z[1], torch.arange(8), epoch=epoch, labels=labels)
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(z.grad).all()
        objective.after_step()


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors(name: str) -> None:
    given = _choices(DETECTORS[name].parameters)
    labelled = {f"d{number}.": {"method": name, **values} for number, values in enumerate(given)}
    experiment = _experiment("unimodal", detectors=labelled)
    accepted = _accepted({"a": experiment}, [f"experiments.a.detectors.{label}" for label in labelled])
    assert len(accepted) > (1 if DETECTORS[name].parameters else 0)
    for number in accepted:
        detector = build_detector(name, SAMPLES, **given[number])
        if len(given[number]) < 2:
            _step(build_objective("sogclr", SAMPLES, detector), torch.arange(8) % 3)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives(name: str) -> None:
    entry = OBJECTIVES[name]
    given = _choices(entry.parameters)
    labelled = {f"o{number}.": {"method": name, **values} for number, values in enumerate(given)}
    experiment = _experiment(entry.modalities[0], objectives=labelled)
    accepted = _accepted({"a": experiment}, [f"experiments.a.objectives.{label}" for label in labelled])
    assert len(accepted) > 3
    for number in accepted:
        objective = build_objective(name, SAMPLES, build_detector("oracle", SAMPLES), **given[number])
        if len(given[number]) < 2:
            _step(objective, torch.arange(8) % 3)


def _each(modality: str, key: str, given: list[Values], **fixed: Any) -> tuple[Values, list[str]]:
    """An experiment for each of several blocks under one key, and the places of the blocks."""
    experiments = {
        f"e{number}.": _experiment(modality, **{**fixed, key: {**fixed.get(key, {}), **values}})
        for number, values in enumerate(given)
    }
    return experiments, [f"experiments.{name}.{key}" for name in experiments]


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders(name: str) -> None:
    entry = ENCODERS[name]
    given = _choices(entry.parameters, pairs=False) + [{"model": model} for model in ("RN50", "hf-hub:a/b", "../a")]
    given = [values for values in given if values.keys() <= entry.parameters.keys()]
    views = {"size": 224} if name == "open-clip" else {}
    experiments, places = _each(entry.modalities[0], "encoder", [{"name": name, **v} for v in given], views=views)
    for number in _accepted(experiments, places) if name != "open-clip" else ():
        with torch.device("meta"):
            full = {key: schema["default"] for key, schema in entry.parameters.items()} | given[number]
            build_model({"encoder": {"name": name, **full}, "seed": 1})


def test_views() -> None:
    given = _choices(VIEWS, pairs=False)
    experiments, places = _each("unimodal", "views", given)
    accepted = _accepted(experiments, places)
    assert len(accepted) > 20
    images = torch.randint(0, 256, (3, 3, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for number in accepted:
        views = TwoViews(**given[number], seed=1)
        if len(given[number]) < 2 and (views.size or 0) < 100:
            assert all(torch.isfinite(view).all() for view in views(images, torch.arange(3), epoch=0))


def test_training() -> None:
    given = _choices({key: schema for key, schema in TRAINING.items() if key != "epochs"}, pairs=False)
    experiments, places = _each("unimodal", "training", given, training={"epochs": 3, "batch_size": 8})
    for number in _accepted(experiments, places):
        full = {key: schema["default"] for key, schema in TRAINING.items()} | given[number]
        build_optimiser(torch.nn.Linear(2, 2), build_objective("simclr", SAMPLES), TrainingOptions(**full))


@pytest.mark.parametrize("name", EVALUATIONS)
def test_evaluations(name: str) -> None:
    modality = EVALUATIONS[name].modalities[-1]
    split = {"train": "train", "test": "test-vendor", "split": "test-vendor"} if modality == "bimodal" else {}
    wanted = {key: value for key, value in split.items() if key in EVALUATIONS[name].parameters}
    wanted |= {"dataset": DATA[modality]} | ({"split": "train"} if name == "discovery" else {})
    wanted |= {"label": "group"} if "label" in EVALUATIONS[name].parameters and modality == "bimodal" else {}
    given = [{**wanted, **values} for values in _choices(EVALUATIONS[name].parameters)]
    experiments = {
        f"e{number}.": _experiment(modality, evaluations={name: [values]}) for number, values in enumerate(given)
    }
    accepted = _accepted(experiments, [f"experiments.{label}.evaluations.{name}[0]" for label in experiments])
    assert accepted
    resolved = resolve(_config({key: experiments[key] for key in (f"e{number}." for number in accepted)}))
    for experiment in resolved["experiments"].values():
        for task in experiment["evaluations"][name]:
            parse_task(name, task)
