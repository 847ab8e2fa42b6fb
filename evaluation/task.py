"""What every task of an evaluation has: parameters declared once, checked when it is made; names of its results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from glofnd.parameters import Range, parameters

__all__ = ["Fractions", "Metric", "SplitTask", "Task", "suffixes"]

Metric = Annotated[Literal["top1", "mean-per-class"], "main score of the data set; what is chosen is chosen by it"]
Fractions = Annotated[tuple[float, ...], Range(gt=0, le=1), "shares of the training labels, stratified by class"]

_NAMING = ("label", "train", "templates", "among")


@dataclass(frozen=True)
class Task:
    """Base of all tasks: lists become tuples, and every parameter is held against its range and choices."""

    def __post_init__(self) -> None:
        kind: Any = type(self)
        for name, parameter in parameters(kind).items():
            value = getattr(self, name)
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
            parameter.check(value)
            if isinstance(value, list | tuple) and not value:
                raise ValueError(f"{name} must not be empty")

    def one_per_fraction(self, *names: str) -> None:
        """Cut each of the named lists to the length of `fractions`; too short ones raise `ValueError`."""
        fractions: tuple[float, ...] = vars(self)["fractions"]
        if len(set(fractions)) != len(fractions):
            raise ValueError(f"fractions names one twice: {list(fractions)}")
        for name in names:
            values = getattr(self, name)
            if len(values) < len(fractions):
                raise ValueError(f"{name} needs one number per fraction ({len(fractions)}), has {len(values)}")
            object.__setattr__(self, name, values[: len(fractions)])

    def splits(self) -> list[tuple[str, str]]:
        """(data set, split) of everything that the task reads."""
        given = vars(self)
        return [(given["dataset"], given[key]) for key in ("train", "test", "split") if key in given]

    def files(self) -> dict[str, str]:
        """Name -> SHA-256 of every file besides shards that its results depend on."""
        return {}


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
            raise ValueError(f"test {self.test!r} is the split that is trained on; a test sample must not be seen")


def suffixes(tasks: Sequence[Task]) -> list[str]:
    """What follows each task's metric names, so that no two results of an evaluation share a name.

    Nothing for the first task of a data set and test split; for the others `@` and the values of label, train,
    templates and among in which they differ from it: `top1@group`, `top1@photo`.

    Raises:
        ValueError: two tasks would give results of one name.
    """
    first: dict[tuple[str, str], dict[str, Any]] = {}
    taken: set[tuple[str, str, str]] = set()
    found = []
    for position, one in enumerate(tasks):
        task = vars(one)
        place = task["dataset"], task.get("test") or task["split"]
        leader = first.setdefault(place, task)
        differing = [str(task[key]) for key in _NAMING if key in task and task[key] != leader.get(key)]
        suffix = f"@{'.'.join(differing)}" if differing else ""
        if (*place, suffix) in taken:
            named = " or ".join(key for key in _NAMING if key in task) or "split"
            raise ValueError(
                f"task {position}: its results on {'/'.join(place)} would have the names of another task's; "
                f"give it another {named}, or leave one out"
            )
        taken.add((*place, suffix))
        found.append(suffix)
    return found
