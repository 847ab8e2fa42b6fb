"""What data sets have in common: their options (`glofnd.parameters`), and a split made of picture files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from glofnd.data.manifest import NO_LABEL
from glofnd.data.picture_files import square_file
from glofnd.data.split import BadSamples, Index, Split, drawn, printable
from glofnd.parameters import Range, parameters

__all__ = [
    *("BadSamplesPolicy", "Encoding", "ImageSize", "MaxSkipped", "OwnCopy", "OwnFolder", "Samples", "Shards"),
    *("Options", "PictureOptions", "SmallOptions", "SplitSeed", "TestShare"),
]

ImageSize = Annotated[int, Range(ge=8), "pictures are stored as squares of so many pixels a side"]
Shards = Annotated[
    int | dict[str, int], Range(ge=1), "number of tars of each split, or split -> number; fewer where samples are fewer"
]
SplitSeed = Annotated[int, Range(ge=0), "seed of drawn subsets and splits; has nothing to do with the seeds of runs"]
Samples = Annotated[
    int | None, Range(ge=1), "size of a class-stratified subset of the split, at least one a class; null takes all"
]
Encoding = Annotated[Literal["png", "jpg"], "how pictures are stored: png (lossless) or jpg (quality 95)"]
BadSamplesPolicy = Annotated[
    Literal["fail", "skip"], "a sample that cannot be read makes sharding fail, or is left out and listed"
]
MaxSkipped = Annotated[float, Range(ge=0, lt=1), "share of a split that `bad_samples: skip` may leave out"]
OwnCopy = Annotated[
    str | None, "folder of your own copy: torchvision's `root`, or the data set's folder in it; null fetches it"
]
OwnFolder = Annotated[str, "folder of your own files"]
TestShare = Annotated[float, Range(gt=0, lt=1), "share that is the test set where `train` and `test` are the same"]


@dataclass(frozen=True)
class Options:
    """The options of a data set, out of which it makes its splits; raises `ValueError` for one out of range."""

    def __post_init__(self) -> None:
        for name, parameter in parameters(type(self)).items():
            parameter.check(getattr(self, name))

    def split(self, name: str) -> Split:
        """One of the splits that the catalogue has."""
        return self._split(name)

    def _split(self, name: str) -> Split:
        raise NotImplementedError


@dataclass(frozen=True)
class SmallOptions(Options):
    """Small pictures of a fetched source in the folder `path`."""

    path: Path
    image_size: ImageSize = 32
    shards: Shards = 8


@dataclass(frozen=True)
class PictureOptions(Options):
    """Photographs in files or tars."""

    path: OwnCopy = None
    image_size: ImageSize = 256
    shards: Shards = 32
    split_seed: SplitSeed = 0
    encoding: Encoding = "jpg"
    bad_samples: BadSamplesPolicy = "fail"
    max_skipped: MaxSkipped = 0.01

    @property
    def root(self) -> Path:
        """The folder `path`."""
        return Path(self.path or "")

    def split(self, name: str) -> Split:
        """One of the splits that the catalogue has; says which classes have no picture in it."""
        found = super().split(name)
        for field, names in found.classes.items():
            there = set(found.labels[field])
            if lacking := [printable(names[n]) for n in range(len(names)) if n not in there]:
                named = ", ".join(lacking[:3]) + (", ..." if len(lacking) > 3 else "")
                print(f"{self.root}: {name} has no picture of {len(lacking)} of {len(names)} classes: {named}")
        return found

    def bad(self) -> BadSamples:
        """What happens to bad samples."""
        return BadSamples(self.bad_samples, self.max_skipped)

    def made_of(
        self,
        payloads: Sequence[Any],
        classes: dict[str, list[str]],
        labels: dict[str, list[int]],
        encode: Any = square_file,
        **more: Any,
    ) -> Split:
        """A split of picture files, or of what `encode(image_size, encoding, payload)` takes."""
        made = partial(encode, self.image_size, self.encoding)
        return Split(classes, labels, payloads, made, 3, extension=self.encoding, **{"bad_samples": self.bad(), **more})

    def divided(self, whole: Split, name: str, test_share: float) -> Split:
        """One of two splits that are drawn from one: a share, of each class, is the test set."""
        # Those without a valid class are one of their own.
        classes = [label - NO_LABEL for label in whole.labels.get("label", [0] * len(whole))]
        return whole.part(drawn(classes, name, None, round(test_share * len(whole)), self.split_seed))

    def chosen(
        self,
        paths: Sequence[Any],
        classes: dict[str, list[str]],
        labels: dict[str, list[int]],
        index: Index,
        **more: Any,
    ) -> Split:
        """`made_of` those of `index`."""
        taken = {field: [int(values[place]) for place in index] for field, values in labels.items()}
        return self.made_of([str(paths[place]) for place in index], classes, taken, **more)
