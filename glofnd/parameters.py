"""A parameter is declared once: in the signature of what takes it.

    @checked
    def __init__(self, num_samples: int, alpha: Annotated[float, Range(gt=0, lt=1), "share of ..."] = 0.01) -> None:

Type, range, one line of description and default stand there and nowhere else. `checked` holds the arguments of a call
against them; `parameters` lists them, for the config check of the benchmark and for the tables of the documentation.
A parameter without a description (`num_samples`, `detector`) is no option of a config.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, is_dataclass
from types import UnionType
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

__all__ = ["REQUIRED", "Parameter", "Range", "checked", "named", "parameters"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

REQUIRED = inspect.Parameter.empty
"""Stands where a parameter has no default."""


@dataclass(frozen=True)
class Range:
    """Bounds of a number, or of all in a list or mapping: greater than, greater or equal, less than, less or equal."""

    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None

    def __str__(self) -> str:
        bounds = ((">", self.gt), (">=", self.ge), ("<", self.lt), ("<=", self.le))
        return " and ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)

    def check(self, value: Any) -> Any:
        """`value` itself; raises `ValueError` where it, or a number in it, is out of bounds or not finite."""
        several = value.values() if isinstance(value, dict) else value
        for number in several if isinstance(value, dict | list | tuple) else [value]:
            if number is None or isinstance(number, str):
                continue
            inside = math.isfinite(number) and (self.gt is None or number > self.gt)
            inside = inside and (self.ge is None or number >= self.ge) and (self.lt is None or number < self.lt)
            if not (inside and (self.le is None or number <= self.le)):
                raise ValueError(f"must be {self}, not {number}")
        return value


@dataclass(frozen=True)
class Parameter:
    """One declared parameter.

    Attributes:
        name: as in the signature and in a config.
        type: its type, without the annotations.
        default: `REQUIRED` where there is none.
        range: bounds, or None.
        description: one line.
    """

    name: str
    type: Any
    default: Any
    range: Range | None
    description: str

    @property
    def choices(self) -> tuple[Any, ...] | None:
        """The values of a `Literal`, None for any other type."""
        members = get_args(self.type) if get_origin(self.type) in (Union, UnionType) else (self.type,)
        found = [choice for member in members if get_origin(member) is Literal for choice in get_args(member)]
        return tuple(found) or None

    def check(self, value: Any) -> None:
        """Raises `ValueError` naming the parameter where `value` is out of range or none of the choices."""
        try:
            if self.range is not None:
                self.range.check(value)
            if self.choices and value is not None and value not in self.choices:
                raise ValueError(f"must be one of {', '.join(map(str, self.choices))}, not {value!r}")
        except ValueError as error:
            raise ValueError(f"{self.name} {error}") from None


def parameters(target: Callable[..., Any]) -> dict[str, Parameter]:
    """The described parameters of a class (its constructor), a dataclass or a function, by name, in order."""
    function = getattr(target, "__init__") if isinstance(target, type) else target  # noqa: B009
    # Fields that a dataclass inherits are described in the module of their own class.
    hints = get_type_hints(target if is_dataclass(target) else function, include_extras=True)
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        hint = hints.get(name)
        if get_origin(hint) is not Annotated:
            continue
        kind, *notes = get_args(hint)
        description = next((note for note in notes if isinstance(note, str)), None)
        bounds = next((note for note in notes if isinstance(note, Range)), None)
        if description is not None:
            found[name] = Parameter(name, kind, parameter.default, bounds, description)
    return found


def named(kind: str, known: Mapping[str, type[T]], name: str, options: Iterable[str]) -> type[T]:
    """The class of a registry by its name; an unknown name or option raises `ValueError` with the known ones."""
    if name not in known:
        raise ValueError(f"unknown {kind} {name!r}; known: {', '.join(known)}")
    declared = parameters(known[name])
    if unknown := ", ".join(sorted(set(options) - declared.keys())):
        raise ValueError(f"{kind} {name!r} has no parameter {unknown}; known: {', '.join(declared) or 'none'}")
    return known[name]


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: a call with a value out of range, or none of the choices, raises `ValueError` naming the parameter."""
    signature = inspect.signature(function)
    # Once, at the first call, when all names in the annotations exist.
    declared = functools.cache(lambda: parameters(function))

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        given = signature.bind(*args, **kwargs).arguments
        for name, parameter in declared().items():
            if name in given:
                parameter.check(given[name])
        return function(*args, **kwargs)

    return call
