"""What one evaluation is to do, as validated values; a task is a JSON object with the parameters of `registry`."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from evaluation.registry import EVALUATIONS, PAPER_EPOCHS, required
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

METRICS = ("top1", "mean-per-class")


class TaskError(ValueError):
    """A task that cannot be run; the message names the key and the valid choices."""


def _one_of(key: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise TaskError(f"{key}: {value!r} is not one of {', '.join(choices)}")


def _check_fractions(fractions: tuple[float, ...], **per_fraction: tuple[int, ...]) -> None:
    """Shares of the labels, and what needs one positive number for each."""
    if not fractions:
        raise TaskError("fractions: needs at least one share of the labels")
    if not all(0 < fraction <= 1 for fraction in fractions):
        raise TaskError(f"fractions: each must be in (0, 1], got {list(fractions)}")
    if len(set(fractions)) != len(fractions):
        raise TaskError(f"fractions: {list(fractions)} names one twice")
    for key, values in per_fraction.items():
        if len(values) < len(fractions) or min(values) < 1:
            raise TaskError(f"{key}: needs one positive number per fraction ({len(fractions)})")


@dataclass(frozen=True)
class SplitTask:
    """Classification: fit on split `train`, test on split `test`.

    Attributes:
        dataset: data set id.
        train, test: splits.
        label: label field to predict.
        metric: the data set's usual score, `top1` or `mean-per-class`; what is chosen is chosen by it.
    """

    dataset: str
    train: str = "train"
    test: str = "test"
    label: str = "label"
    metric: str = "top1"

    def __post_init__(self) -> None:
        _one_of("metric", self.metric, METRICS)
        if self.train == self.test:
            raise TaskError(f"test: {self.test!r} is the split that is trained on; a test sample must not be seen")


@dataclass(frozen=True)
class ProbeTask(SplitTask):
    """Classification on frozen features, tested once.

    Attributes:
        together: label field whose equal samples never stand on both sides of a validation fold (the concept, where one
            is drawn by several vendors and the test set has other concepts); `None` for none.
    """

    together: str | None = None


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
        _check_fractions(self.fractions, draws=self.draws)


@dataclass(frozen=True)
class TransferTask(ProbeTask):
    """Logistic regression on another data set, all labels (METHOD: the transfer protocol)."""


@dataclass(frozen=True)
class LinearPaperTask(SplitTask):
    """The paper's linear evaluation, which picks the best epoch on the test set.

    Attributes:
        fractions: shares of the training labels, each in (0, 1].
        epochs: one number per fraction; `None` takes the paper's.
    """

    fractions: tuple[float, ...] = (1, 0.1, 0.01, 0.001)
    epochs: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "fractions", tuple(self.fractions))
        object.__setattr__(self, "epochs", None if self.epochs is None else tuple(self.epochs))
        strange = [fraction for fraction in self.fractions if self.epochs is None and fraction not in PAPER_EPOCHS]
        if strange:
            known = ", ".join(f"{fraction:g}" for fraction in PAPER_EPOCHS)
            raise TaskError(f"epochs: the paper has none for fraction {strange[0]:g} (it has {known}); give them")
        _check_fractions(self.fractions, epochs=self.epochs_of())

    def epochs_of(self) -> tuple[int, ...]:
        """Epochs of every fraction."""
        if self.epochs is None:
            return tuple(PAPER_EPOCHS[fraction] for fraction in self.fractions)
        return self.epochs[: len(self.fractions)]


@dataclass(frozen=True)
class TransferPaperTask(SplitTask):
    """The paper's transfer, which picks C on the test set."""


@dataclass(frozen=True)
class FineTuningTask(SplitTask):
    """Encoder and linear layer trained together.

    Attributes:
        fractions: shares of the training labels, each in (0, 1].
        draws: random subsets per fraction, averaged.
        epochs: one number per fraction.
        learning_rates: to choose from on training labels; of too few labels to choose on, the middle one is taken.
        batch_size: most pictures of a step.
    """

    fractions: tuple[float, ...] = (1, 0.1, 0.01)
    draws: tuple[int, ...] = (1, 1, 1)
    epochs: tuple[int, ...] = (20, 40, 100)
    learning_rates: tuple[float, ...] = (0.0003, 0.001, 0.003, 0.01, 0.03)
    batch_size: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "fractions", tuple(self.fractions))
        for key in ("draws", "epochs"):
            object.__setattr__(self, key, tuple(getattr(self, key)[: len(self.fractions)]))
        object.__setattr__(self, "learning_rates", tuple(self.learning_rates))
        _check_fractions(self.fractions, draws=self.draws, epochs=self.epochs)
        if not self.learning_rates or min(self.learning_rates) <= 0:
            raise TaskError(f"learning_rates: needs positive numbers, got {list(self.learning_rates)}")
        if self.batch_size < 2:
            raise TaskError(f"batch_size: must be at least 2, got {self.batch_size}")


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
        alpha: share that each anchor drops by its exact quantile, where a run has no alpha of its own (a baseline, the
            oracle, no detector); `None` takes the share of false negatives.
        anchors: anchors in the gallery.
        found: finds shown for each.
    """

    dataset: str
    split: str = "train"
    alpha: float | None = None
    anchors: int = 12
    found: int = 8

    def __post_init__(self) -> None:
        if self.alpha is not None and not 0 < self.alpha < 1:
            raise TaskError(f"alpha: must be a share strictly between 0 and 1, got {self.alpha}")
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
