"""What the metrics of several tasks on one test split are called, so that no two results share a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["TaskNameError", "suffixes"]

NAMING = ("label", "train", "templates", "among")
"""Parameters that name a result; two tasks on one test split must differ in one of them."""


class TaskNameError(ValueError):
    """Two tasks whose results would have one name.

    Attributes:
        position: number of the second of them.
    """

    def __init__(self, position: int, message: str) -> None:
        super().__init__(message)
        self.position = position


def suffixes(tasks: Sequence[Mapping[str, Any]]) -> list[str]:
    """What follows each task's metric names.

    Nothing for the first task of a data set and test split; for the others `@` and the values of `NAMING` in which they
    differ from it, joined by dots: `top1@group`, `top1@photo`.

    Args:
        tasks: parameters of the tasks of one evaluation, defaults filled in.

    Raises:
        TaskNameError: two tasks differ in nothing that names a result.
    """
    first: dict[tuple[str, str], Mapping[str, Any]] = {}
    taken: dict[tuple[str, str, str], int] = {}
    found = []
    for position, task in enumerate(tasks):
        place = str(task["dataset"]), str(task.get("test") or task.get("split"))
        leader = first.setdefault(place, task)
        differing = [str(task[key]) for key in NAMING if key in task and task[key] != leader.get(key)]
        suffix = f"@{'.'.join(differing)}" if differing else ""
        before = taken.setdefault((*place, suffix), position)
        if before != position:
            raise TaskNameError(position, _collision(tasks[before], task, before, place))
        found.append(suffix)
    return found


def _collision(one: Mapping[str, Any], other: Mapping[str, Any], before: int, place: tuple[str, str]) -> str:
    keys = [key for key in other if other[key] != one.get(key)]
    if not keys:
        return "the same task stands there twice"
    named = [key for key in NAMING if key in other]
    hint = f"; give them another {' or '.join(named)}, or leave one out" if named else "; leave one out"
    return f"differs from task [{before}] on {'/'.join(place)} only in {', '.join(keys)}, which names no result{hint}"
