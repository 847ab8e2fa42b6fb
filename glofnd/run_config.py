"""Reads the run config that a command is given, and refuses one that no run can be made of (docs/architecture.md)."""

from __future__ import annotations

import difflib
import json
import math
from pathlib import Path
from typing import Any

from glofnd.registry import DETECTORS, ENCODERS, EXECUTION, OBJECTIVES, TRAINING, VIEWS, Entry

__all__ = ["parse_run_config", "why_not"]

Schema = dict[str, Any]

_KINDS: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "boolean": (bool,),
    "array": (list,),
    "null": (type(None),),
}
_PARTS: dict[str, type] = {
    **dict.fromkeys(("run", "experiment", "modality", "dataset", "label"), str),
    "seed": int,
    **dict.fromkeys(("encoder", "views", "training", "objective", "detector"), dict),
}


def _is(value: object, kind: str) -> bool:
    return isinstance(value, _KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))


def why_not(value: Any, schema: Schema) -> str | None:
    """Why a value is none that a parameter can have, as the end of a message; None where it is one."""
    kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    if not any(_is(value, kind) for kind in kinds):
        return f"must be of type {' or '.join(kinds)}, not {str(value)[:60]!r}"
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            return f"needs {schema['minItems']} entries, has {len(value)}"
        return next((why for item in value if (why := why_not(item, schema["items"]))), None)
    if "enum" in schema and value not in schema["enum"]:
        return f"must be one of {', '.join(schema['enum'])}, not {value[:60]!r}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        within = math.isfinite(value) and schema.get("minimum", value) <= value <= schema.get("maximum", value)
        within &= "exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"]
        within &= "exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"]
        if not within:
            return f"is out of range, {str(value)[:60]}"
    return None


def _check(where: str, given: dict[str, Any], parameters: dict[str, Schema], optional: tuple[str, ...]) -> None:
    for key, value in given.items():
        if key not in parameters:
            near = difflib.get_close_matches(key, parameters, 1) or list(parameters) or ["nothing"]
            raise ValueError(f"{where}.{key}: unknown key; valid: {', '.join(near)}")
        if why := why_not(value, parameters[key]):
            raise ValueError(f"{where}.{key}: {why}")
    for key in parameters:
        if key not in given and key not in optional:
            raise ValueError(f"{where}.{key}: missing")


def _method(where: str, block: dict[str, Any], key: str, known: dict[str, Entry], optional: bool) -> None:
    name = block.get(key)
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"{where}.{key}: must be one of {', '.join(known)}, not {str(name)[:60]!r}")
    given = {k: v for k, v in block.items() if k not in (key, "label")}
    _check(where, given, known[name].parameters, tuple(known[name].parameters) if optional else ())


def parse_run_config(text: str) -> dict[str, Any]:
    """A run config from the command line: JSON, or the path of a JSON file.

    The run config of a baseline, whose objective has the label `baseline`, names no methods.

    Raises:
        ValueError: it is no JSON object, or a key is missing, unknown or has a value that is none of its own.
        OSError: the file cannot be read.
    """
    inline = text.lstrip()[:1] in ("{", "[")
    source = f"--run-config {text[:60]!r}"
    try:
        config = json.loads(text if inline else Path(text).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source}: not valid JSON ({error})") from error
    if not isinstance(config, dict):
        raise ValueError(f"{source}: must be a JSON object, not {type(config).__name__}")
    for key, kind in _PARTS.items():
        if key not in config:
            raise ValueError(f"{source}: key {key!r} is missing (docs/architecture.md)")
        if not isinstance(config[key], kind) or isinstance(config[key], bool):
            raise ValueError(f"{source}: {key}: must be of type {kind.__name__}, not {str(config[key])[:60]!r}")
    if config["modality"] not in ("unimodal", "bimodal"):
        raise ValueError(f"{source}: modality: must be unimodal or bimodal, not {config['modality'][:60]!r}")
    if not 0 <= config["seed"] < 2**31:
        raise ValueError(f"{source}: seed: must lie between 0 and 2^31 - 1, not {str(config['seed'])[:60]}")
    try:
        _method("encoder", config["encoder"], "name", ENCODERS, optional=False)
        _check("views", config["views"], VIEWS, tuple(VIEWS))
        _check("training", config["training"], TRAINING, EXECUTION)
        for key in ("objective", "detector"):
            if not isinstance(config[key].get("label"), str):
                raise ValueError(f"{key}.label: missing, or no text")
        if config["objective"]["label"] != "baseline":
            _method("objective", config["objective"], "method", OBJECTIVES, optional=True)
            _method("detector", config["detector"], "method", DETECTORS, optional=True)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    return config
