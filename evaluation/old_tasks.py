"""What one evaluation is to do, as validated values; a task is a JSON object with the parameters of `registry`."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from evaluation.registry import EVALUATIONS as _SCHEMAS
from evaluation.registry import PAPER_EPOCHS, required
from glofnd.parameters import Range, parameters
from glofnd.registry import load

__all__ = [
    "DiscoveryTask",
    "FineTuningTask",
    "LinearPaperTask",
    "LinearTask",
    "ProbeTask",
    "RetrievalTask",
    "SplitTask",
    "TaskError",
    "TransferPaperTask",
    "TransferTask",
    "ZeroShotTask",
    "parse_task",
    "parse_tasks",
]

Metric = Annotated[Literal["top1", "mean-per-class"], "main score of the data set; what is chosen is chosen by it"]
Fractions = Annotated[tuple[float, ...], Range(gt=0, le=1), "shares of the training labels, stratified by class"]


class TaskError(ValueError):
    """A task that cannot be run; the message names the key and the valid choices."""


@dataclass(frozen=True)
class Task:
    """Base of all tasks: lists become tuples, and every parameter is held against its range and choices."""

    def __post_init__(self) -> None:
        kind: Any = type(self)
        for name, parameter in parameters(kind).items():
            value = getattr(self, name)
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
            try:
                parameter.check(value)
            except ValueError as error:
                raise TaskError(str(error)) from None
            if isinstance(value, list | tuple) and not value:
                raise TaskError(f"{name} must not be empty")

    def _one_per_fraction(self, *names: str) -> None:
        """Cut each of the named lists to the length of `fractions`."""
        fractions: tuple[float, ...] = getattr(self, "fractions")  # noqa: B009
        if len(set(fractions)) != len(fractions):
            raise TaskError(f"fractions names one twice: {list(fractions)}")
        for name in names:
            values = getattr(self, name)
            if len(values) < len(fractions):
                raise TaskError(f"{name} needs one number per fraction ({len(fractions)}), has {len(values)}")
            object.__setattr__(self, name, values[: len(fractions)])


@dataclass(frozen=True)
class SplitTask(Task):
    """Classification: fit on split `train`, test on split `test`."""

    dataset: Annotated[str, "data set"]
    train: Annotated[str, "split that is trained on"] = "train"
    test: Annotated[str, "split that is tested on"] = "test"
    label: Annotated[str, "label field to predict"] = "label"
    metric: Metric = "top1"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.train == self.test:
            raise TaskError(f"test {self.test!r} is the split that is trained on; a test sample must not be seen")


@dataclass(frozen=True)
class ProbeTask(SplitTask):
    """Classification on frozen features, tested once."""

    together: Annotated[str | None, "label field whose equal samples stay on one side of a validation fold"] = None


@dataclass(frozen=True)
class LinearTask(ProbeTask):
    """Linear probe with all and with few labels."""

    fractions: Fractions = (1, 0.1, 0.01, 0.001)
    draws: Annotated[tuple[int, ...], Range(ge=1), "random subsets per fraction, averaged"] = (1, 2, 5, 10)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._one_per_fraction("draws")


@dataclass(frozen=True)
class TransferTask(ProbeTask):
    """Logistic regression on another data set, all labels."""


@dataclass(frozen=True)
class LinearPaperTask(SplitTask):
    """The paper's linear evaluation, which picks the best epoch on the test set."""

    fractions: Fractions = (1, 0.1, 0.01, 0.001)
    epochs: Annotated[tuple[int, ...] | None, Range(ge=1), "one number per fraction; null takes the paper's"] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs is not None:
            return self._one_per_fraction("epochs")
        strange = [fraction for fraction in self.fractions if fraction not in PAPER_EPOCHS]
        if strange:
            known = ", ".join(f"{fraction:g}" for fraction in PAPER_EPOCHS)
            raise TaskError(f"epochs: the paper has none for fraction {strange[0]:g} (it has {known}); give them")
        return self._one_per_fraction()

    def epochs_of(self) -> tuple[int, ...]:
        """Epochs of every fraction."""
        return self.epochs or tuple(PAPER_EPOCHS[fraction] for fraction in self.fractions)


@dataclass(frozen=True)
class TransferPaperTask(SplitTask):
    """The paper's transfer, which picks C on the test set."""


@dataclass(frozen=True)
class FineTuningTask(SplitTask):
    """Encoder and linear layer trained together."""

    fractions: Fractions = (1, 0.1, 0.01)
    draws: Annotated[tuple[int, ...], Range(ge=1), "random subsets per fraction, averaged"] = (1, 1, 1)
    epochs: Annotated[tuple[int, ...], Range(ge=1), "one number per fraction"] = (20, 40, 100)
    learning_rates: Annotated[
        tuple[float, ...], Range(gt=0), "to choose from on training labels; the middle one where there are too few"
    ] = (0.0003, 0.001, 0.003, 0.01, 0.03)
    batch_size: Annotated[int, Range(ge=2), "most pictures of a step"] = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        self._one_per_fraction("draws", "epochs")


@dataclass(frozen=True)
class ZeroShotTask(Task):
    """Classification by the text tower alone."""

    dataset: Annotated[str, "data set"]
    split: Annotated[str, "split that is tested on"] = "test"
    label: Annotated[str, "label field whose class names fill the prompts"] = "label"
    templates: Annotated[str, "file of prompts in evaluation/templates, without .txt"] = "plain"
    among: Annotated[Literal["present", "all"], "classes to choose from: those the split has, or all of the field"] = (
        "present"
    )
    metric: Metric = "top1"


@dataclass(frozen=True)
class RetrievalTask(Task):
    """Retrieval between pictures and captions, both ways."""

    dataset: Annotated[str, "data set"]
    split: Annotated[str, "split that is tested on"] = "test"
    ks: Annotated[tuple[int, ...], Range(ge=1), "ranks of recall"] = (1, 5, 10)


@dataclass(frozen=True)
class DiscoveryTask(Task):
    """False negatives found in the training split."""

    dataset: Annotated[str, "data set"]
    split: Annotated[str, "split that is trained on"] = "train"
    alpha: Annotated[
        float | None, Range(gt=0, lt=1), "share dropped by exact quantiles where a run has no alpha; null: base rate"
    ] = None
    anchors: Annotated[int, Range(ge=1), "anchors in the gallery"] = 12
    found: Annotated[int, Range(ge=1), "finds shown for each anchor"] = 8


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
    entry = _SCHEMAS[evaluation]
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
    kind: Any = load(entry)
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
