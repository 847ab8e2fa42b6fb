"""One split of a data set before it is written: its samples, which of them are bad, and how subsets are drawn."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from glofnd.counter_random import permutation
from glofnd.data.manifest import NO_LABEL

__all__ = ["BadSampleError", "BadSamples", "Index", "Split", "drawn", "printable", "stratified", "subset"]

Index = npt.NDArray[np.int64]


def printable(text: object) -> str:
    """`text` on one line of valid Unicode: a file name may hold a line break, or bytes that are no text."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))


class BadSampleError(ValueError):
    """One sample cannot be used: `where` it is (file, and member of it) and the `reason`."""

    def __init__(self, where: object, reason: str) -> None:
        # Both are arguments of the exception, so that it comes whole from another process.
        super().__init__(str(where), reason)
        self.where, self.reason = printable(where), printable(reason)

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


class BadSamples:
    """What happens to samples that cannot be used, and those that were left out.

    Args:
        policy: `fail` at the first bad sample, or `skip` it.
        max_skipped: share of the samples that may be left out: of a wrong path or a wrong option all would be.

    Attributes:
        found: why each sample that is left out is bad, by index.
    """

    def __init__(self, policy: str = "fail", max_skipped: float = 0.0) -> None:
        self.skip, self.max_skipped = policy == "skip", max_skipped
        self.found: dict[int, BadSampleError] = {}

    def meet(self, index: int, problem: BadSampleError | FileNotFoundError) -> None:
        """Leave sample `index` out; raises the problem where bad samples are not skipped."""
        if isinstance(problem, FileNotFoundError):
            if not self.skip:
                raise problem
            problem = BadSampleError(problem.filename, "is missing")
        if not self.skip:
            raise ValueError(f"{problem}; repair it, or set `bad_samples: skip` to leave it out") from problem
        self.found[index] = problem

    def check(self, total: int) -> None:
        """Raises `ValueError` naming the first bad sample, where more of `total` are left out than may be."""
        if len(self.found) > self.max_skipped * total:
            raise ValueError(
                f"{len(self.found)} or more of {total} samples are bad, which is more than `max_skipped: "
                f"{self.max_skipped:g}` allows to leave out; the first: {self.found[min(self.found)]}"
            )


@dataclass(frozen=True)
class Split:
    """What the shard writer needs; position in every sequence is the sample's index.

    Attributes:
        classes, labels: `classes[field][labels[field][i]]` is the name of sample i's class; all splits of a data set
            number them alike.
        payloads, encode: `encode(payloads[i])` gives picture i as PNG or JPEG bytes (`extension`). It is a module-level
            function, since it may run in another process, and raises `BadSampleError` (or `FileNotFoundError`) when
            that picture is not valid.
        channels: 1 or 3.
        captions: `captions[i]` are the captions of sample i, one or more, one line each.
        bad_samples: a sample that is left out keeps its place in every sequence, and all others theirs.
        aside: how many files were no samples, by kind (`.svg`, `hidden`).
    """

    classes: dict[str, list[str]]
    labels: dict[str, list[int]]
    payloads: Sequence[Any]
    encode: Callable[[Any], bytes]
    channels: int
    captions: list[list[str]] | None = None
    extension: str = "png"
    bad_samples: BadSamples = field(default_factory=BadSamples)
    aside: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.payloads)

    def part(self, index: Index) -> Split:
        """The samples of `index` alone, in that order."""

        def taken(values: Sequence[Any]) -> Any:
            return values[index] if isinstance(values, np.ndarray) else [values[place] for place in index]

        bad = copy.copy(self.bad_samples)
        bad.found = {new: bad.found[old] for new, old in enumerate(index.tolist()) if old in bad.found}
        labels = {field: taken(values) for field, values in self.labels.items()}
        classes = dict(self.classes)
        if "caption" in labels:  # its numbering is a split's own
            there = sorted({*labels["caption"]} - {NO_LABEL})
            classes["caption"] = [classes["caption"][number] for number in there]
            new = {number: place for place, number in enumerate(there)}
            labels["caption"] = [new.get(number, NO_LABEL) for number in labels["caption"]]
        captions = None if self.captions is None else taken(self.captions)
        more = {"payloads": taken(self.payloads), "captions": captions, "bad_samples": bad}
        return replace(self, classes=classes, labels=labels, **more)

    def kept(self, values: Sequence[Any]) -> list[Any]:
        """Those of `values` that stand for samples which are not left out."""
        return [value for index, value in enumerate(values) if index not in self.bad_samples.found]

    def check(self) -> None:
        """Raises `ValueError` for a label that names no class, or too many bad samples."""
        self.bad_samples.check(len(self))
        for name, values in self.labels.items():
            for index in self.kept(range(len(self))):
                if not 0 <= values[index] < len(self.classes[name]):
                    count = len(self.classes[name])
                    raise ValueError(f"sample {index}: {name} {values[index]} is out of range for {count} classes")


def stratified(labels: npt.ArrayLike, size: int, seed: int, leave: int = 0) -> Index:
    """Indices of a class-stratified subset, ascending.

    Each class gets its share of `size` rounded down; the remaining places go to the largest remainders, ties to the
    lower class. No class loses all its samples; a smaller subset than that raises `ValueError`. Within a class the
    choice is a seeded permutation. Of each class `leave` samples are never taken: then those with more than these have
    a sample in the subset, where there is a place for each. Too few others raise `ValueError`.
    """
    values = np.asarray(labels, np.int64)
    classes, counts = np.unique(values, return_counts=True)
    most = np.maximum(counts - leave, 0)
    if size > most.sum():
        besides = f" besides {leave} of each class" if leave else ""
        raise ValueError(f"a subset of {size} samples was asked for, but there are only {most.sum()}{besides}")
    if size < len(classes) and not leave:
        raise ValueError(f"a subset of {size} samples loses some of the {len(classes)} classes; ask for more")
    least = np.minimum(most, 1) if size >= np.count_nonzero(most) else np.zeros_like(most)
    quota = counts * size / len(values)
    take = np.clip(np.floor(quota).astype(int), least, most)
    while (missing := size - take.sum()) != 0:
        movable = take < most if missing > 0 else take > least
        best = np.where(movable, (quota - take) * np.sign(missing), -np.inf)
        take[np.argmax(best)] += np.sign(missing)
    chosen = []
    for label, number in zip(classes, take, strict=True):
        members = np.flatnonzero(values == label)
        chosen.append(members[permutation(len(members), seed=seed, stream=int(label))[:number]])
    return np.sort(np.concatenate(chosen))


def subset(labels: npt.ArrayLike, size: int | None, seed: int) -> Index:
    """A class-stratified subset of `size` samples of a published split, all of them where that is `None`."""
    return np.arange(len(np.asarray(labels))) if size is None else stratified(labels, size, seed)


def drawn(labels: npt.ArrayLike, split: str, train: int | None, test: int, seed: int) -> Index:
    """`train` or `test` of a set that has no published splits.

    A stratified test set of `test` samples is drawn first, which never takes the last sample of a class; `train` are as
    many of the rest (`None`: all).
    """
    values = np.asarray(labels, np.int64)
    chosen = stratified(values, test, seed, leave=1)
    if split == "test":
        return chosen
    rest = np.setdiff1d(np.arange(len(values)), chosen)
    return rest[subset(values[rest], train, seed)]
