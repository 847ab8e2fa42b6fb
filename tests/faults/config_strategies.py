"""Configs for hypothesis: valid ones from the registries' own schemas, then broken in every way that YAML can say."""

from __future__ import annotations

import datetime
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from snakemake.utils import update_config

from evaluation.registry import EVALUATIONS
from glofnd.registry import DETECTORS, ENCODERS, OBJECTIVES
from workflow.config_file import read_config
from workflow.vocabulary import schema_for

__all__ = ["configs"]

ROOT = Path(__file__).parents[2]
Config = dict[str, Any]
Schema = dict[str, Any]


def _recursive() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


ODD_TEXTS = [
    *(
        "",
        " ",
        "x",
        "X",
        "é",
        "a b",
        "a\nb",
        "a\tb",
        "a\0b",
        "\ud800",
        "\u2028",
        "\x1b[31m",
        "'",
        '"',
        ";",
        "$(id)",
        "%s",
    ),
    *(
        "{x}",
        "{",
        "~",
        "~root",
        "~nobody-there/x",
        ".",
        "..",
        "../..",
        "/",
        "//",
        "-x",
        "--out",
        "a/b",
        "a//b/",
        "/dev/null",
    ),
    *(
        "1",
        "-1",
        "1e-3",
        "1e999",
        "nan",
        "0x10",
        "1_0",
        "\u0661",
        "yes",
        "no",
        "null",
        "None",
        "true",
        "false",
        "False",
    ),
    *(
        "a" * 300,
        "é" * 5000,
        "none",
        "glofnd",
        "train",
        "test",
        "label",
        "http://",
        "http://[",
        "sqlite:///x",
        "docker://x",
    ),
]
ODD_KEYS: list[Any] = [
    *(
        "",
        " ",
        "x",
        "method",
        "dataset",
        "name",
        "protocol",
        "a.b",
        "a\nb",
        "é",
        "\ud800",
        "a" * 300,
        "-x",
        "..",
        "[0]",
    ),
    *(0, 1, -1, True, False, None, 0.5, float("nan"), (1, 2), datetime.date(2026, 1, 2), b"x", 2**2000),
]
ODD = [
    *(None, True, False, 0, 1, -1, 2, 3, 2**31 - 1, 2**31, 2**63, 2**2000, -(2**2000)),
    *(0.0, 0.5, 1.0, 2.0, -0.5, 1e-320, 1e-7, 1e30, 1e300, float("nan"), float("inf"), float("-inf")),
    *(datetime.date(2026, 1, 2), datetime.datetime(2026, 1, 2, 3), b"x", (1, 2), {1, 2}, 1j),
    *([], {}, [[]], [None], [{}], [1, 1], ["x"], {"x": None}, {1: 2}, {"method": []}, {"dataset": {}}, _recursive()),
    *ODD_TEXTS,
]


NESTED = st.recursive(st.sampled_from(ODD), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


def _bases() -> list[Config]:
    default, small = read_config(ROOT / "config.yaml"), read_config(ROOT / "config.yaml")
    update_config(small, read_config(ROOT / "configs" / "smoke.yaml"))
    return [default, small, {**deepcopy(small), "significance": None}]


BASES = _bases()


def _valid(schema: Schema) -> st.SearchStrategy[Any]:
    """A value that a fragment of the schema allows (patterns apart)."""
    kind = schema.get("type", "string")
    kinds = [kind] if isinstance(kind, str) else kind
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    options: list[st.SearchStrategy[Any]] = (
        [st.builds(deepcopy, st.just(schema["default"]))] if "default" in schema else []
    )
    if "integer" in kinds:
        low, high = schema.get("minimum", 0), schema.get("maximum", 100)
        options.append(st.integers(low, min(high, low + 5)))
    if "number" in kinds:
        low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
        high = schema.get("maximum", schema.get("exclusiveMaximum", low + 10))
        options.append(st.floats(low, min(high, low + 10)))
    if "boolean" in kinds:
        options.append(st.booleans())
    if "null" in kinds:
        options.append(st.none())
    if "array" in kinds and "items" in schema:
        sizes = schema.get("minItems", 0), schema.get("maxItems", 3)
        options.append(st.lists(_valid(schema["items"]), min_size=sizes[0], max_size=min(sizes[1], 4)))
    if "object" in kinds:
        options.append(_block(schema.get("properties", {})))
    return st.one_of(options) if options else st.sampled_from(ODD_TEXTS)


def _block(parameters: dict[str, Schema]) -> st.SearchStrategy[Config]:
    return st.fixed_dictionaries({}, optional={key: _valid(schema) for key, schema in parameters.items()})


@st.composite
def _experiment(draw: st.DrawFn, modality: str, dataset: str) -> Config:
    """An experiment with some of everything that its modality has."""

    def named(registry: dict[str, Any], key: str | None = "method") -> Config:
        names = [name for name, entry in registry.items() if modality in entry.modalities]
        found = {}
        for name in draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)):
            found[name] = draw(st.none() | _block(registry[name].parameters))
            if found[name] is not None and draw(st.booleans()):
                found[f"my-{name}"] = {"method": name, **found[name]}
        return found

    names = [name for name, entry in ENCODERS.items() if modality in entry.modalities]
    encoder = draw(st.sampled_from(names))
    fitting = [name for name, entry in EVALUATIONS.items() if modality in entry.modalities]
    chosen = draw(st.lists(st.sampled_from(fitting), max_size=3, unique=True))
    return {
        "modality": modality,
        "dataset": dataset,
        "encoder": {"name": encoder, **draw(_block(ENCODERS[encoder].parameters))},
        "objectives": named(OBJECTIVES),
        "detectors": {"none": None, **named(DETECTORS)},
        "evaluations": {name: [{"dataset": dataset, **draw(_block(EVALUATIONS[name].parameters))}] for name in chosen},
    }


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested mappings and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [path] if path else []
    for key, item in items:
        if len(path) < 9:
            found += _places(item, (*path, key))
    return found


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        value = value[part]
    return value


def _fragment(schema: Schema, path: tuple[Any, ...]) -> Schema:
    """The schema of a place, {} where it says nothing."""
    for part in path:
        inner = schema.get("prefixItems", []) if isinstance(part, int) else schema.get("properties", {})
        if isinstance(part, int):
            schema = inner[part] if part < len(inner) else schema.get("items", {})
        else:
            rest = schema.get("additionalProperties")
            schema = inner.get(part, rest if isinstance(rest, dict) else {})
    return schema


def _change(draw: st.DrawFn, config: Config, path: tuple[Any, ...], places: list[tuple[Any, ...]]) -> None:
    """Break something at one place."""
    holder, key = _at(config, path[:-1]), path[-1]
    match draw(st.integers(0, 6)):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[draw(st.sampled_from(ODD_KEYS))] = deepcopy(draw(st.sampled_from([holder[key], *ODD])))
        case 2:
            holder[key] = deepcopy(_at(config, draw(st.sampled_from(places))))
        case 3 if isinstance(key, str) and isinstance(holder, dict):
            holder[key[:-1] if len(key) > 1 else "q"] = holder.pop(key)
        case 4 if isinstance(holder, list):
            holder.append(deepcopy(holder[key]))
        case 5:
            holder[key] = deepcopy(draw(NESTED))
        case _:
            holder[key] = deepcopy(draw(st.sampled_from(ODD)))


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """A config: the default one or the miniature one, with an experiment from the schema, varied and then broken."""
    config = deepcopy(draw(st.sampled_from(BASES)))
    for name, modality, dataset in (("one", "unimodal", "digits"), ("two", "bimodal", "emoji")):
        if draw(st.integers(0, 2)) == 0:
            config["experiments"][name] = draw(_experiment(modality, dataset))
    schema = schema_for(config)[0]
    for path in draw(st.lists(st.sampled_from(_places(config)), max_size=3)):
        fragment = _fragment(schema, path)
        if "enum" in fragment or {"integer", "number", "boolean"} & {*np.atleast_1d(fragment.get("type", ""))}:
            _at(config, path[:-1])[path[-1]] = draw(_valid(fragment))
    for _ in range(draw(st.integers(0, 3))):
        places = _places(config)
        if places:
            _change(draw, config, draw(st.sampled_from(places)), places)
    return config
