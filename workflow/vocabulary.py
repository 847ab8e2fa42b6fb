"""The config's JSON schema: a fixed shape, and the parameters of everything the config names, from the registries."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from evaluation.registry import EVALUATIONS
from glofnd.data.catalogue import DATASETS, Dataset, configured
from glofnd.registry import DETECTORS, ENCODERS, OBJECTIVES, TRAINING, VIEWS, Entry
from workflow.schema import Schema, nearest
from workflow.values import shown

__all__ = ["PAPER", "PROTOCOLS", "RULES", "schema_for"]

RULES: dict[str, dict[str, int]] = {
    "fetch": {"mem_mb": 1000},
    "shard": {"mem_mb": 2000},
    "pretrain": {"mem_mb": 2000},
    "features": {"mem_mb": 2000},
    "discovery": {"mem_mb": 2000},
    "evaluate": {"mem_mb": 2000},
    "tune": {"mem_mb": 3000},
    "collect": {"mem_mb": 2000},
}
"""What can be given resources of its own, with what differs from the defaults."""

PAPER = {"linear": "linear-paper", "transfer": "transfer-paper"}
"""Evaluations that the paper does in its own way, and what they are then called."""

PROTOCOLS = ("validated", "paper")
"""What `protocol` may say in a task of those."""

# Nodes of one training, and processes on each: one per GPU where nothing is said.
_RANKS: dict[str, Schema] = {
    "nodes": {"type": "integer", "minimum": 1, "maximum": 4096, "default": 1},
    "processes": {"type": ["integer", "null"], "minimum": 1, "maximum": 4096, "default": None},
}

_PATHS = ("path", "class_list")
"""Parameters of data sets that name a file or folder of the user's."""

_LABEL = {
    "pattern": r"^[a-z0-9][a-z0-9.-]{0,79}\Z",
    "description": "a name is made of at most 80 lower-case letters, digits, dots and dashes",
}


@cache
def _base() -> Schema:
    path = Path(__file__).with_name("schemas") / "config.schema.yaml"
    schema: Schema = yaml.safe_load(path.read_text(encoding="utf-8"))
    return schema


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _parameters(parameters: dict[str, Schema]) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": dict(parameters),
        "required": [key for key, schema in parameters.items() if "default" not in schema],
    }


def _named(
    where: str, label: str, value: object, registry: dict[str, Entry], modality: object, unknown: list[str], key: str
) -> Schema:
    """Schema of an entry that names a method by `key`, or by its label where it does not."""
    named = _mapping(value).get(key, label)
    fitting = [name for name, entry in registry.items() if modality in entry.modalities]
    at = f"{where}.{key}" if key in _mapping(value) or not label else where
    if not isinstance(named, str):
        return {"type": "object", "properties": {key: {"type": "string"}}}
    if named not in registry:
        unknown.append(f"{at}: unknown {shown(named)}; {nearest(named, fitting or list(registry))}")
        return {"type": "object"}
    if modality in ("unimodal", "bimodal") and named not in fitting:
        unknown.append(f"{at}: {shown(named)} is not for {modality} experiments; {nearest(named, fitting)}")
        return {"type": "object"}
    schema = _parameters(registry[named].parameters)
    schema["properties"] = {key: {"type": "string", "default": named}, **schema["properties"]}
    return schema


def _dataset(where: str, label: str, value: object, unknown: list[str]) -> Schema:
    """Schema of a block of `datasets`: the parameters of its catalogue entry, which `dataset` or else its key names."""
    named = _mapping(value).get("dataset", label)
    if not isinstance(named, str):
        return {"type": "object", "properties": {"dataset": {"type": "string"}}}
    if named not in DATASETS:
        at = f"{where}.dataset" if "dataset" in _mapping(value) else where
        unknown.append(f"{at}: unknown data set {shown(named)}; {nearest(named, list(DATASETS))}")
        return {"type": "object"}
    schema = _parameters(DATASETS[named].parameters)
    paths = {key: {**fragment, "format": "path"} for key, fragment in schema["properties"].items() if key in _PATHS}
    schema["properties"] = {"dataset": {"type": "string", "default": named}, **schema["properties"], **paths}
    # An empty text as default means that the user has to say it.
    schema["required"] = [key for key, fragment in schema["properties"].items() if fragment.get("default") == ""]
    return schema


def _catalogued(datasets: dict[str, Any], dataset: object) -> Dataset | None:
    """The catalogue's entry of a data set of the config, if there is one."""
    block = _mapping(datasets.get(dataset)) if isinstance(dataset, str) else {}
    named = block.get("dataset", dataset)
    return configured(DATASETS[named], block) if isinstance(named, str) and named in DATASETS else None


def _usual_alpha(experiment: dict[str, Any]) -> float | None:
    """The share that an experiment's detectors drop, GloFND's if there is one: baselines are held against it."""
    found: dict[str, float] = {}
    for label, given in _mapping(experiment.get("detectors")).items():
        method = _mapping(given).get("method", label)
        schema = DETECTORS[method].parameters.get("alpha") if isinstance(method, str) and method in DETECTORS else None
        alpha = _mapping(given).get("alpha", schema["default"] if schema else None)
        if schema and isinstance(alpha, (int, float)) and 0 < alpha < 1:
            found.setdefault(method, alpha)
    return found.get("glofnd", next(iter(found.values()), None))


def _task(name: str, task: object, experiment: dict[str, Any], datasets: dict[str, Any]) -> Schema:
    """Schema of one task; what it leaves out is what its data set usually has, or what the experiment trains on."""
    schema = _parameters(EVALUATIONS[name].parameters)
    if name in PAPER:
        schema["properties"]["protocol"] = {"type": "string", "enum": list(PROTOCOLS)}
    usual: dict[str, Any] = {}
    if name == "discovery":
        usual = {"dataset": experiment.get("dataset"), "split": experiment.get("split", "train")}
        usual["alpha"] = _usual_alpha(experiment)
    entry = _catalogued(datasets, _mapping(task).get("dataset", usual.get("dataset")))
    if entry is not None:
        label = entry.class_names if name == "zero-shot" else entry.label
        usual |= {"label": label, "metric": entry.metric, "templates": entry.templates}
    for key in usual.keys() & schema["properties"].keys():
        schema["properties"][key] = {**schema["properties"][key], "default": usual[key]}
    schema["required"] = [key for key in schema["required"] if key not in usual]
    return schema


def _tasks(name: str, tasks: object, experiment: dict[str, Any], datasets: dict[str, Any]) -> Schema:
    """Schema of one evaluation's list of tasks."""
    each = [_task(name, task, experiment, datasets) for task in (tasks if isinstance(tasks, list) else [])]
    hint = "give a list of tasks, such as `- dataset: NAME`, or false for none"
    return {"type": "array", "minItems": 1, "description": hint} | ({"prefixItems": each} if each else {})


def _experiment(where: str, value: object, datasets: dict[str, Any], unknown: list[str]) -> Schema:
    schema: Schema = deepcopy(_base()["$defs"]["experiment"])
    experiment, properties = _mapping(value), schema["properties"]
    modality = experiment.get("modality")
    properties["training"]["properties"], properties["views"]["properties"] = TRAINING, VIEWS
    entry = _catalogued(datasets, experiment.get("dataset"))
    properties["label"]["default"] = entry.label if entry else "label"
    for group, registry in (("objectives", OBJECTIVES), ("detectors", DETECTORS)):
        entries = _mapping(experiment.get(group))
        properties[group]["propertyNames"] = _LABEL
        properties[group]["properties"] = {
            label: _named(f"{where}.{group}.{label}", label, entry, registry, modality, unknown, "method")
            for label, entry in entries.items()
        }
    if isinstance(experiment.get("encoder"), dict):
        encoder = experiment["encoder"]
        if "name" in encoder:
            properties["encoder"] = _named(f"{where}.encoder", "", encoder, ENCODERS, modality, unknown, "name")
        else:
            properties["encoder"] = {"type": "object", "required": ["name"]}
    fitting = [name for name, entry in EVALUATIONS.items() if modality in entry.modalities]
    for name, tasks in _mapping(experiment.get("evaluations")).items():
        if name not in EVALUATIONS:
            unknown.append(f"{where}.evaluations.{name}: unknown evaluation; {nearest(name, fitting)}")
        elif modality in ("unimodal", "bimodal") and name not in fitting:
            unknown.append(f"{where}.evaluations.{name}: not for {modality} experiments; {nearest(name, fitting)}")
        else:
            properties["evaluations"].setdefault("properties", {})[name] = _tasks(name, tasks, experiment, datasets)
    return schema


def schema_for(config: dict[str, Any]) -> tuple[Schema, list[str]]:
    """The schema of this config, and one line for every name in it that no registry knows."""
    schema, unknown = deepcopy(_base()), list[str]()
    properties = schema["properties"]
    datasets = _mapping(config.get("datasets"))
    properties["datasets"]["propertyNames"] = _LABEL
    properties["datasets"]["properties"] = {
        name: _dataset(f"datasets.{name}", name, value, unknown) for name, value in datasets.items()
    }
    properties["experiments"]["propertyNames"] = _LABEL
    properties["experiments"]["properties"] = {
        name: _experiment(f"experiments.{name}", value, datasets, unknown)
        for name, value in _mapping(config.get("experiments")).items()
    }
    properties["significance"]["properties"]["primary"]["items"]["enum"] = list(EVALUATIONS)
    resources = schema["$defs"]["resources"]
    properties["resources"]["properties"] = {
        rule: {
            **resources,
            "properties": {
                key: {**fragment, "default": special.get(key, fragment["default"])}
                for key, fragment in resources["properties"].items()
                if (rule, key) != ("pretrain", "threads")
            },
        }
        for rule, special in RULES.items()
    }
    properties["resources"]["properties"]["pretrain"]["properties"] |= _RANKS
    return schema, unknown
