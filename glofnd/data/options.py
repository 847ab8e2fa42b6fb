"""Options that many data sets share: their types, ranges and descriptions (`glofnd.parameters`)."""

from __future__ import annotations

from typing import Annotated, Literal

from glofnd.parameters import Range

__all__ = [
    *("BadSamplesPolicy", "ClassList", "Encoding", "ImageSize", "MaxSkipped", "OwnCopy"),
    *("OwnFolder", "Samples", "Shards", "SplitSeed"),
]

ImageSize = Annotated[int, Range(ge=8), "pictures are stored as squares of so many pixels a side"]
Shards = Annotated[int, Range(ge=1), "number of tars (fewer where there are fewer samples); at least workers x ranks"]
SplitSeed = Annotated[int, Range(ge=0), "seed of drawn subsets and splits; has nothing to do with the seeds of runs"]
Samples = Annotated[int | None, Range(ge=1), "size of a class-stratified subset of the split; null takes all"]
Encoding = Annotated[Literal["png", "jpg"], "how pictures are stored: png (lossless) or jpg (quality 95)"]
BadSamplesPolicy = Annotated[
    Literal["fail", "skip"], "a sample that cannot be read makes sharding fail, or is left out and listed"
]
MaxSkipped = Annotated[float, Range(ge=0, lt=1), "share of a split that `bad_samples: skip` may leave out"]
OwnCopy = Annotated[
    str | None, "folder of your own copy: torchvision's `root`, or the data set's folder in it; null fetches it"
]
OwnFolder = Annotated[str, "folder of your own files"]
ClassList = Annotated[
    str | None, "file with a class a line: its folder, then optionally a TAB and a readable name; null takes all"
]
