"""Describable Textures Dataset (Cimpoi et al. 2014): 47 textures, ten partitions into train, validation and test."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from glofnd.data.datasets.subsets import published
from glofnd.data.datasets.tree import files_split, inside, plain_name, read_lines
from glofnd.data.options import BadSamplesPolicy, Encoding, ImageSize, MaxSkipped, OwnCopy, Samples, Shards, SplitSeed
from glofnd.data.split import Split
from glofnd.parameters import Range, checked

__all__ = ["dtd"]


def _build(raw: Path, split: str, parameters: dict[str, Any]) -> Split:
    """`dtd/labels/{train,val,test}<partition>.txt` and `dtd/images/<class>/<file>`.

    The published validation pictures belong to `train`: hyper-parameters are chosen on parts of the training labels,
    and a probe is refitted on all of them, as in the transfer protocol of Kornblith et al. (2019).
    """
    root = inside(raw, "dtd")
    parts = ("train", "val") if split == "train" else ("test",)
    lists = [root / "labels" / f"{part}{parameters['partition']}.txt" for part in parts]
    pictures = [line for path in lists for line in read_lines(path)]
    classes = sorted(folder.name for folder in (root / "images").iterdir() if folder.is_dir())
    number = {name: position for position, name in enumerate(classes)}
    names = [picture.partition("/")[0] for picture in pictures]
    if unknown := sorted(set(names) - set(classes)):
        raise ValueError(f"{root / 'images'}: the class {unknown[0]!r} of {lists[0].name} is missing")
    labels = [number[name] for name in names]
    return files_split(
        [root / "images" / picture for picture in pictures],
        {"label": labels},
        {"label": [plain_name(name) for name in classes]},
        published(labels, split, parameters),
        parameters,
    )


@checked
def dtd(
    split: str,
    path: OwnCopy = None,
    image_size: ImageSize = 256,
    shards: Shards = 8,
    split_seed: SplitSeed = 0,
    encoding: Encoding = "jpg",
    bad_samples: BadSamplesPolicy = "fail",
    max_skipped: MaxSkipped = 0.01,
    train_samples: Samples = None,
    test_samples: Samples = None,
    partition: Annotated[int, Range(ge=1, le=10), "which published division; papers report the first"] = 1,
) -> Split:
    """Describable Textures."""
    return _build(Path(path or ""), split, dict(locals()))
