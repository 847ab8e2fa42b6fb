"""One split of a data set before it is written: labels, captions, and how each picture is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from glofnd.counter_random import permutation
from glofnd.data.bad_samples import BadSamples

__all__ = ["Split", "stratified"]


@dataclass(frozen=True)
class Split:
    """What the shard writer needs; position in every sequence is the sample's index.

    `encode(payloads[i])` gives picture i as PNG or JPEG bytes (`extension`); it is a module-level function, since it
    may run in another process, and raises `BadSampleError` (or `FileNotFoundError`) when that picture is not valid.
    `classes[field][labels[field][i]]` is the name of sample i's class; all splits of a data set number them alike.
    `captions[i]` are the captions of sample i, one line each.
    `bad_samples` says what happens to a sample that cannot be used. One that is left out keeps its place in every
    sequence, and all others theirs; what stands there does not matter.
    """

    classes: dict[str, list[str]]
    labels: dict[str, list[int]]
    payloads: Sequence[Any]
    encode: Callable[[Any], bytes]
    channels: int
    captions: list[list[str]] | None = None
    extension: str = "png"
    bad_samples: BadSamples = field(default_factory=BadSamples)

    def __len__(self) -> int:
        return len(self.payloads)

    def check(self) -> None:
        """Every sample that is not left out has labels that name a class, and captions if there are any.

        Raises:
            ValueError: naming the field and sample; too many are left out.
        """
        left_out = self.bad_samples.found
        self.bad_samples.check(len(self))
        for name, values in self.labels.items():
            if len(values) != len(self):
                raise ValueError(f"label field {name!r} has {len(values)} values for {len(self)} samples")
            count = len(self.classes[name])
            for index, value in enumerate(values):
                if not 0 <= value < count and index not in left_out:
                    raise ValueError(f"sample {index}: {name} {value} is out of range for {count} classes")
        if self.captions is not None:
            if len(self.captions) != len(self):
                raise ValueError(f"captions of {len(self.captions)} samples for {len(self)} samples")
            for index, lines in enumerate(self.captions):
                if index not in left_out and (not lines or any(not line or "\n" in line for line in lines)):
                    raise ValueError(f"sample {index}: captions must be one or more lines, none of them empty")


def stratified(labels: npt.NDArray[np.int64], size: int, seed: int) -> npt.NDArray[np.int64]:
    """Indices of a class-stratified subset, ascending.

    Each class gets its share of `size` rounded down; the remaining places go to the largest remainders, ties to the
    lower class. Within a class the choice is a seeded permutation.

    Raises:
        ValueError: when `size` exceeds the number of samples.
    """
    if size > len(labels):
        raise ValueError(f"a subset of {size} samples was asked for, but there are only {len(labels)}")
    classes, counts = np.unique(labels, return_counts=True)
    quota = counts * size / len(labels)
    take = np.floor(quota).astype(int)
    for position in np.argsort(take - quota, kind="stable")[: size - take.sum()]:
        take[position] += 1
    chosen = []
    for label, number in zip(classes, take, strict=True):
        members = np.flatnonzero(labels == label)
        chosen.append(members[permutation(len(members), seed=seed, stream=int(label))[:number]])
    return np.sort(np.concatenate(chosen))
