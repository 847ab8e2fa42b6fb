"""JSON schemas turned into one-line problems and filled-in defaults."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from difflib import get_close_matches
from typing import Any, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

__all__ = ["filled", "nearest", "problems", "typed"]

Schema = dict[str, Any]

_ARTICLES = {
    "integer": "an integer",
    "number": "a number",
    "string": "a text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "null",
}
_LIMITS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "above",
    "exclusiveMaximum": "below",
}


def nearest(word: object, choices: Sequence[str]) -> str:
    """The closest valid choice and the whole list, as the end of a message."""
    if not choices:
        return "none is allowed here"
    found = get_close_matches(str(word), choices, n=1, cutoff=0.45)
    listed = ", ".join(choices)
    return f"did you mean '{found[0]}'? (valid: {listed})" if found else f"valid: {listed}"


def _key(path: Sequence[object]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "config"


def _explain(error: ValidationError) -> Iterator[str]:
    """One line for each thing an error of the validator says."""
    key, value, rule = _key(error.absolute_path), cast(Any, error.instance), cast(Any, error.validator_value)
    prefix = "" if key == "config" else f"{key}."
    schema = error.schema if isinstance(error.schema, dict) else {}
    match error.validator:
        case "additionalProperties":
            valid = list(schema.get("properties", {}))
            for extra in value:
                if extra not in valid:
                    yield f"{prefix}{extra}: unknown key; {nearest(extra, valid)}"
        case "required":
            for missing in rule:
                if missing not in value:
                    advice = schema.get("properties", {}).get(missing, {}).get("description", "")
                    yield f"{prefix}{missing}: missing{'; ' * bool(advice)}{advice}"
        case "type":
            kinds = [rule] if isinstance(rule, str) else rule
            yield f"{key}: must be {' or '.join(_ARTICLES[kind] for kind in kinds)}, not {value!r}"
        case "enum":
            yield f"{key}: unknown choice {value!r}; {nearest(value, [str(choice) for choice in rule])}"
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum":
            low = schema.get("exclusiveMinimum", schema.get("minimum"))
            high = schema.get("exclusiveMaximum", schema.get("maximum"))
            both = f" (between {low} and {high})" if low is not None and high is not None else ""
            yield f"{key}: must be {_LIMITS[error.validator]} {rule}{both}, not {value!r}"
        case "minItems" | "maxItems" if schema.get("minItems") == schema.get("maxItems"):
            yield f"{key}: needs exactly {rule} entries, has {len(value)}"
        case "minItems" | "minProperties":
            yield f"{key}: needs at least {rule} {'entry' if rule == 1 else 'entries'}, has {len(value)}"
        case "uniqueItems":
            twice = sorted({str(item) for item in value if value.count(item) > 1})
            yield f"{key}: {', '.join(twice)} stands there more than once"
        case "pattern" | "propertyNames":
            yield f"{key}: {schema.get('description', error.message)}, not {value!r}"
        case _:
            yield f"{key}: {error.message}"


def _outside_json(value: object, path: tuple[object, ...] = ()) -> Iterator[str]:
    """What YAML can say and JSON cannot: keys that are no text, NaN and infinity."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                yield f"{_key((*path, str(key)))}: the key is not a text; put it in quotes"
            yield from _outside_json(item, (*path, str(key)))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _outside_json(item, (*path, position))
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{_key(path)}: must be a finite number, not {value}"


def problems(value: object, schema: Schema) -> list[str]:
    """Everything in `value` that breaks `schema`, one line each, in the order of the document."""
    if strange := list(_outside_json(value)):
        return strange
    errors = sorted(Draft202012Validator(schema).iter_errors(value), key=lambda error: [str(p) for p in error.path])
    return [line for error in errors for line in _explain(error)]


_WORDS: dict[str, tuple[str, Any]] = {
    "true": ("boolean", True),
    "false": ("boolean", False),
    "null": ("null", None),
    "none": ("null", None),
}


def _read(text: str, kinds: Sequence[str]) -> Any:
    """A text as one of the JSON types `kinds`, or the text itself."""
    kind, value = _WORDS.get(text.lower(), ("", None))
    if kind in kinds:
        return value
    for name, convert in (("integer", int), ("number", int), ("number", float)):
        if name in kinds:
            try:
                return convert(text)
            except ValueError:
                continue
    return text


def typed(value: Any, schema: Schema) -> Any:
    """`value` with texts read as numbers, booleans or null where the schema wants no text.

    `snakemake --config seeds=[1,2]` hands over everything inside brackets as text, and YAML 1.1 takes `1e-3` for one.
    """
    if isinstance(value, dict):
        rest = schema.get("additionalProperties")
        properties = schema.get("properties", {})
        return {
            key: typed(item, properties.get(key, rest if isinstance(rest, dict) else {})) for key, item in value.items()
        }
    if isinstance(value, list):
        each = [*schema.get("prefixItems", []), *[schema.get("items", {})] * len(value)]
        return [typed(item, fragment) for item, fragment in zip(value, each, strict=False)]
    kinds = schema.get("type", "string")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return value if not isinstance(value, str) or "string" in kinds else _read(value, kinds)


def filled(value: Any, schema: Schema) -> Any:
    """`value` with every default of `schema` put in, keys in the schema's order. `value` must be valid."""
    if isinstance(value, dict):
        properties: dict[str, Schema] = schema.get("properties", {})
        complete = {}
        for key, fragment in properties.items():
            if key in value:
                complete[key] = filled(value[key], fragment)
            elif "default" in fragment:
                complete[key] = filled(deepcopy(fragment["default"]), fragment)
        rest = schema.get("additionalProperties")
        for key in value.keys() - properties.keys():
            complete[key] = value[key]
        ordered = {key: complete[key] for key in [*(k for k in properties if k in complete), *value] if key in complete}
        return {k: filled(v, rest) if k not in properties and isinstance(rest, dict) else v for k, v in ordered.items()}
    if isinstance(value, list):
        each = [*schema.get("prefixItems", []), *[schema.get("items", {})] * len(value)]
        return [filled(item, fragment) for item, fragment in zip(value, each, strict=False)]
    return value
