"""JSON schemas turned into one-line problems and filled-in defaults."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from workflow.values import key_of, shown, strange

__all__ = ["Problem", "filled", "nearest", "problems", "typed", "without"]

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


_LISTED = 30
# The largest integer of 32 bits bounds what has no bound of its own; that is no advice.
_TECHNICAL = 2**31 - 1


def nearest(word: object, choices: Sequence[str]) -> str:
    """The closest valid choice and all of them, or the first where they are many, as the end of a message."""
    if not choices:
        return "none is allowed here"
    found = get_close_matches(str(word)[:100], choices, n=1, cutoff=0.45)
    more = f" and {len(choices) - _LISTED} more" if len(choices) > _LISTED else ""
    listed = ", ".join(choices[:_LISTED]) + more
    return f"did you mean '{found[0]}'? (valid: {listed})" if found else f"valid: {listed}"


def _explain(error: ValidationError) -> Iterator[str]:
    """One line for each thing an error of the validator says."""
    path = list(error.absolute_path)
    key, value, rule = key_of(path), cast(Any, error.instance), cast(Any, error.validator_value)
    schema = error.schema if isinstance(error.schema, dict) else {}
    match error.validator:
        case "additionalProperties":
            valid = list(schema.get("properties", {}))
            for extra in value:
                if extra not in valid and isinstance(extra, str):
                    yield f"{key_of([*path, extra])}: unknown key; {nearest(extra, valid)}"
        case "required":
            for missing in rule:
                if missing not in value:
                    advice = schema.get("properties", {}).get(missing, {}).get("description", "")
                    yield f"{key_of([*path, missing])}: missing{'; ' * bool(advice)}{advice}"
        case "type":
            kinds = [rule] if isinstance(rule, str) else rule
            advice = schema.get("description", "")
            wanted = " or ".join(_ARTICLES[kind] for kind in kinds)
            yield f"{key}: must be {wanted}, not {shown(value)}{'; ' * bool(advice)}{advice}"
        case "enum":
            yield f"{key}: unknown choice {shown(value)}; {nearest(value, [str(choice) for choice in rule])}"
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum":
            low = schema.get("exclusiveMinimum", schema.get("minimum"))
            high = schema.get("exclusiveMaximum", schema.get("maximum"))
            both = f" (between {low} and {high})" if low is not None and high not in (None, _TECHNICAL) else ""
            yield f"{key}: must be {_LIMITS[error.validator]} {rule}{both}, not {shown(value)}"
        case "multipleOf":
            yield f"{key}: must be a multiple of {rule}, not {shown(value)}"
        case "minItems" | "maxItems" if schema.get("minItems") == schema.get("maxItems"):
            yield f"{key}: needs exactly {rule} entries, has {len(value)}"
        case "minItems" | "minProperties":
            advice = schema.get("description", "")
            entries = "entry" if rule == 1 else "entries"
            yield f"{key}: needs at least {rule} {entries}, has {len(value)}{'; ' * bool(advice)}{advice}"
        case "minLength":
            yield f"{key}: must not be empty{'; ' * ('description' in schema)}{schema.get('description', '')}"
        case "maxItems":
            yield f"{key}: takes at most {rule} {'entry' if rule == 1 else 'entries'}, has {len(value)}"
        case "maxLength":
            yield f"{key}: must have at most {rule} characters, has {len(value)}"
        case "uniqueItems":
            twice = sorted({shown(item) for item in value if value.count(item) > 1})
            yield f"{key}: {', '.join(twice)} stands there more than once"
        case _:
            yield f"{key}: {schema.get('description', error.message)}, not {shown(value)}"


# What breaks one of these can still be looked at: a part is missing, there is one too many, or a key has a bad name.
_USABLE = ("required", "additionalProperties", "pattern")


class Problem(NamedTuple):
    """Something wrong: one line, and the place whose value cannot be used; None where a part is missing or extra."""

    line: str
    place: tuple[str | int, ...] | None


def problems(value: object, schema: Schema) -> list[Problem]:
    """Everything in `value` that breaks `schema`, in the order of the document."""
    found = [Problem(f"{key_of(place)}: {what}", place) for place, what in strange(value)]
    blank = {_holder(problem.place) for problem in found if problem.place}
    errors = Draft202012Validator(schema).iter_errors(without(value, blank) if blank else value)
    for error in sorted(errors, key=lambda error: [str(part) for part in error.path]):
        place = tuple(error.absolute_path)
        if place not in blank:
            found += [Problem(line, None if error.validator in _USABLE else place) for line in _explain(error)]
    return found


def _holder(place: Sequence[str | int]) -> tuple[str | int, ...]:
    """The place itself, or that of the list it is in."""
    path = list(place)
    while path and isinstance(path[-1], int):
        path.pop()
    return tuple(path)


def without(value: Any, places: Iterable[tuple[str | int, ...] | None]) -> Any:
    """A copy of nested mappings and lists with None at some places; a list that has one is None as a whole."""
    rest = deepcopy(value)
    for path in (_holder(place or ()) for place in places):
        inner = rest
        for part in path[:-1]:
            try:
                inner = inner[part]
            except (LookupError, TypeError):
                inner = None
        if path and isinstance(inner, dict) and path[-1] in inner:
            inner[path[-1]] = None
    return rest


_WORDS: dict[str, tuple[str, Any]] = {
    "true": ("boolean", True),
    "false": ("boolean", False),
    "yes": ("boolean", True),
    "no": ("boolean", False),
    "on": ("boolean", True),
    "off": ("boolean", False),
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


def _place(text: str) -> str:
    """A path in its shortest form, with the home folder written out; one that would look like an option is absolute."""
    # A user that does not exist stays as it is; `workflow.checks` names it.
    with contextlib.suppress(RuntimeError):
        text = str(Path(text).expanduser()) if text.startswith("~") else text
    plain = str(PurePosixPath(text)).replace("//", "/")
    return str(Path.cwd() / plain) if plain.startswith("-") else plain


def typed(value: Any, schema: Schema) -> Any:
    """`value` with every leaf as the schema wants it, where it can be read so.

    Texts become numbers, booleans or null where no text is wanted: `snakemake --config seeds=[1,2]` hands over
    everything inside brackets as text, and YAML 1.1 takes `1e-3` for one. `20.0` becomes an integer where one is
    wanted, and paths (`format: path`) get their shortest form.
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
    if isinstance(value, float) and value.is_integer() and "integer" in kinds and "number" not in kinds:
        return int(value)
    if not isinstance(value, str):
        return value
    if "string" not in kinds:
        return _read(value, kinds)
    return _place(value) if value and schema.get("format") == "path" else value


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
