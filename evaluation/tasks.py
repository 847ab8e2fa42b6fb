"""What one evaluation is to do, as validated values; a task is a JSON object with the parameters of `registry`."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from evaluation.registry import EVALUATIONS, required
from glofnd.registry import load

__all__ = [
    "DiscoveryTask",
    "LinearTask",
    "ProbeTask",
    "RetrievalTask",
    "TaskError",
    "TransferTask",
    "ZeroShotTask",
    "parse_task",
    "parse_tasks",
]

METRICS = ("top1", "mean-per-class")


class TaskError(ValueError):
    """A task that cannot be run; the message names the key and the valid choices."""


def _one_of(key: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise TaskError(f"{key}: {value!r} is not one of {', '.join(choices)}")


@dataclass(frozen=True)
class ProbeTask:
    """Classification on frozen features: fit on split `train`, test once on split `test`.

    Attributes:
        dataset: data set id.
        train, test: splits.
        label: label field to predict.
        metric: the data set's usual score, `top1` or `mean-per-class`; C is chosen by it.
        together: label field whose equal samples never stand on both sides of a validation fold (the concept, where one
            is drawn by several vendors and the test set has other concepts); `None` for none.
    """

    dataset: str
    train: str = "train"
    test: str = "test"
    label: str = "label"
    metric: str = "top1"
    together: str | None = None

    def __post_init__(self) -> None:
        _one_of("metric", self.metric, METRICS)
        if self.train == self.test:
            raise TaskError(f"test: {self.test!r} is the split that is trained on; a test sample must not be seen")


@dataclass(frozen=True)
class LinearTask(ProbeTask):
    """Linear probe with few labels.

    Attributes:
        fractions: shares of the training labels, each in (0, 1].
        draws: random subsets per fraction, averaged; all labels need one.
    """

    fractions: tuple[float, ...] = (1, 0.1, 0.01, 0.001)
    draws: tuple[int, ...] = (1, 2, 5, 10)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "fractions", tuple(self.fractions))
        object.__setattr__(self, "draws", tuple(self.draws[: len(self.fractions)]))
        if not all(0 < fraction <= 1 for fraction in self.fractions):
            raise TaskError(f"fractions: each must be in (0, 1], got {list(self.fractions)}")
        if len(set(self.fractions)) != len(self.fractions):
            raise TaskError(f"fractions: {list(self.fractions)} names one twice")
        if len(self.draws) < len(self.fractions) or min(self.draws) < 1:
            raise TaskError(f"draws: needs one positive number per fraction ({len(self.fractions)})")


@dataclass(frozen=True)
class TransferTask(ProbeTask):
    """Logistic regression on another data set, all labels (METHOD: the transfer protocol)."""


@dataclass(frozen=True)
class ZeroShotTask:
    """Classification by the text tower alone.

    Attributes:
        label: label field whose class names fill the prompts.
        templates: name of a file in `evaluation/templates`, without `.txt`.
        among: `present` offers the classes that the split has, `all` every class of the field.
    """

    dataset: str
    split: str = "test"
    label: str = "label"
    templates: str = "plain"
    among: str = "present"
    metric: str = "top1"

    def __post_init__(self) -> None:
        _one_of("metric", self.metric, METRICS)
        _one_of("among", self.among, ("present", "all"))


@dataclass(frozen=True)
class RetrievalTask:
    """Retrieval between pictures and captions; `ks` are the ranks of recall."""

    dataset: str
    split: str = "test"
    ks: tuple[int, ...] = (1, 5, 10)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ks", tuple(self.ks))
        if not self.ks or min(self.ks) < 1:
            raise TaskError(f"ks: needs positive ranks, got {list(self.ks)}")


@dataclass(frozen=True)
class DiscoveryTask:
    """False negatives found in the training split.

    Attributes:
        anchors: anchors in the gallery.
        found: finds shown for each.
    """

    dataset: str
    split: str = "train"
    anchors: int = 12
    found: int = 8

    def __post_init__(self) -> None:
        for key in ("anchors", "found"):
            if getattr(self, key) < 1:
                raise TaskError(f"{key}: must be at least 1, got {getattr(self, key)}")


def _right_type(value: object, schema: dict[str, Any]) -> bool:
    kind = schema["type"]
    if isinstance(kind, list):
        return value is None or _right_type(value, {**schema, "type": kind[0]})
    if kind == "array":
        return isinstance(value, list) and all(_right_type(item, schema["items"]) for item in value)
    python: dict[str, type | tuple[type, ...]] = {"string": str, "integer": int, "number": (int, float)}
    return isinstance(value, python[kind]) and not isinstance(value, bool)


def parse_task(evaluation: str, value: object) -> Any:
    """The task class of `evaluation` from a JSON object.

    Raises:
        TaskError: naming the key that is unknown, missing or wrong, and the nearest valid one.
    """
    entry = EVALUATIONS[evaluation]
    if not isinstance(value, dict):
        raise TaskError(f"{evaluation}: a task is a JSON object, got {type(value).__name__}")
    for key, given in value.items():
        if key not in entry.parameters:
            near = difflib.get_close_matches(key, list(entry.parameters), 1)
            hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(entry.parameters)}"
            raise TaskError(f"{evaluation}: unknown key {key!r}; {hint}")
        if not _right_type(given, entry.parameters[key]):
            raise TaskError(f"{evaluation}: {key} must be of type {entry.parameters[key]['type']}, got {given!r}")
    missing = [key for key in required(evaluation) if key not in value]
    if missing:
        raise TaskError(f"{evaluation}: key {missing[0]!r} is missing")
    kind = load(entry)
    return kind(**{field.name: value[field.name] for field in fields(kind) if field.name in value})


def parse_tasks(evaluation: str, texts: list[str]) -> list[Any]:
    """Tasks from the command line: each text is JSON, or the path of a JSON file, and one object or a list of them."""
    found: list[Any] = []
    for text in texts:
        try:
            value = json.loads(text if text.lstrip()[:1] in ("{", "[") else Path(text).read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise TaskError(f"--task {text[:60]!r}: not valid JSON ({error})") from error
        except OSError as error:
            raise TaskError(f"--task {text[:60]!r}: neither JSON nor a readable file ({error.strerror})") from error
        found += [parse_task(evaluation, item) for item in (value if isinstance(value, list) else [value])]
    return found
