"""What a config can hold at all, and how its values are shown in a message of one line."""

from __future__ import annotations

import datetime
import math
import unicodedata
from collections.abc import Iterator, Sequence

__all__ = ["key_of", "one_line", "shown", "strange", "unmanageable"]

_DEEPEST, _MOST = 20, 200_000
_WIDTH, _LINE = 80, 1000
# Beyond these, 32-bit floats know a number only as zero or infinity.
_SMALLEST, _LARGEST = 1e-30, 1e30
_NAMES: dict[type, str] = {
    datetime.datetime: "a time",
    datetime.date: "a date",
    bytes: "binary data",
    set: "a set",
    tuple: "a tuple",
    complex: "a complex number",
}


def _text(value: object) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    if isinstance(value, str):
        return repr(value[: _WIDTH + 1])
    if isinstance(value, int):
        return str(value) if value.bit_length() < 512 else "a number of more than 150 digits"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return f"{{{', '.join(f'{str(key)[:_WIDTH]}: {_text(item)}' for key, item in [*value.items()][:_WIDTH])}}}"
    if isinstance(value, list):
        return f"[{', '.join(_text(item) for item in value[:_WIDTH])}]"
    return str(value) if isinstance(value, datetime.date) else _NAMES.get(type(value), type(value).__name__)


def shown(value: object) -> str:
    """A value as YAML would have it, cut where it is long."""
    text = _text(value)
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}..."


def one_line(text: str) -> str:
    """A message without line breaks and other characters that a terminal would obey, cut where it is long."""
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: 2 * _LINE])
    return plain if len(plain) <= _LINE else f"{plain[:_LINE]}..."


def key_of(path: Sequence[object]) -> str:
    """A place in the config, as messages name it: `experiments.emoji.evaluations.linear[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        name = part if isinstance(part, str) and part.strip() else shown(part)
        text += f".{name}" if text else name
    return text or "config"


def unmanageable(value: object) -> str | None:
    """Why a value cannot even be looked through, or None: YAML's anchors can hold themselves, or grow without end."""
    left, seen = [(value, 0)], 0
    while left:
        item, depth = left.pop()
        seen += 1
        if depth > _DEEPEST:
            return f"is nested more than {_DEEPEST} levels deep (an anchor that holds itself?)"
        if seen > _MOST:
            return f"holds more than {_MOST} values (anchors that repeat each other?)"
        items = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        left += [(inner, depth + 1) for inner in items]
    return None


def _leaf(value: object) -> str | None:
    """What is wrong with a single value, as the end of a message."""
    if isinstance(value, str):
        control = next((c for c in value if c != "\n" and unicodedata.category(c) in ("Cc", "Cs")), None)
        return None if control is None else f"has the control character {control!r}; take it out"
    if isinstance(value, float):
        if not math.isfinite(value):
            return f"must be a finite number, not {value}"
        if value and not _SMALLEST <= abs(value) <= _LARGEST:
            return f"must be 0, or between {_SMALLEST:g} and {_LARGEST:g} in size, not {value}"
    if value is None or isinstance(value, float | int | bool):
        return None
    kind = next((name for kind, name in _NAMES.items() if isinstance(value, kind)), "no text, number, list or mapping")
    return f"{shown(value)} is {kind}; put it in quotes" if isinstance(value, datetime.date) else f"is {kind}"


def strange(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Where YAML says what JSON, or a 32-bit float, cannot (a date, a key that is no text, NaN), and what is wrong."""
    if isinstance(value, dict):
        for key, item in value.items():
            name = key if isinstance(key, str) else shown(key)
            if not isinstance(key, str):
                yield (*path, name), "the key is not a text; put it in quotes"
            yield from strange(item, (*path, name))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from strange(item, (*path, position))
    elif (problem := _leaf(value)) is not None:
        yield path, problem
