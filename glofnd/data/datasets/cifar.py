"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) in their binary version: records of label bytes and 3 x 32 x 32 pixels."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from glofnd.data.datasets.pictures import encoded
from glofnd.data.datasets.subsets import published
from glofnd.data.datasets.tree import inside, read_names
from glofnd.data.options import ImageSize, OwnCopy, Samples, Shards, SplitSeed
from glofnd.data.split import Split
from glofnd.parameters import checked

__all__ = ["cifar10", "cifar100", "read_records"]

SIDE = 32
_PIXELS = 3 * SIDE * SIDE

Pixels = npt.NDArray[np.uint8]


def read_records(path: Path, label_bytes: int) -> Pixels:
    """The records of a file, `[n, label_bytes + 3072]`, mapped and not read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: naming the file, when its length is not a number of records.
    """
    width = label_bytes + _PIXELS
    size = path.stat().st_size
    if size == 0 or size % width:
        raise ValueError(f"{path}: {size} bytes are not a whole number of records of {width}; fetch it again")
    return np.asarray(np.memmap(path, np.uint8, mode="r", shape=(size // width, width)))


def _png(size: int, pixels: Pixels) -> bytes:
    image = Image.fromarray(pixels.reshape(3, SIDE, SIDE).transpose(1, 2, 0))
    return encoded(image if size == SIDE else image.resize((size, size), Image.Resampling.BICUBIC))


def _split(
    paths: list[Path], fields: dict[str, int], classes: dict[str, list[str]], split: str, parameters: dict[str, Any]
) -> Split:
    """`fields` says in which byte of a record each label field is."""
    files = [read_records(path, len(fields)) for path in paths]
    for path, records in zip(paths, files, strict=True):
        for field, column in fields.items():
            wrong = np.flatnonzero(records[:, column] >= len(classes[field]))
            if len(wrong):
                value, count = records[wrong[0], column], len(classes[field])
                raise ValueError(f"{path}: {field} {value} of record {wrong[0]} is out of range for {count} classes")
    labels = {field: np.concatenate([records[:, column] for records in files]) for field, column in fields.items()}
    first = np.cumsum([0, *(len(records) for records in files)])
    chosen = published(labels["label"], split, parameters)
    place = np.searchsorted(first, chosen, side="right") - 1
    return Split(
        classes=classes,
        labels={field: values[chosen].tolist() for field, values in labels.items()},
        payloads=[files[f][i - first[f], len(fields) :] for f, i in zip(place, chosen, strict=True)],
        encode=partial(_png, parameters["image_size"]),
        channels=3,
    )


def _cifar10(raw: Path, split: str, parameters: dict[str, Any]) -> Split:
    """Ten classes; `cifar-10-batches-bin/data_batch_1.bin ...`, `test_batch.bin`, `batches.meta.txt`."""
    root = inside(raw, "cifar-10-batches-bin")
    names = [f"data_batch_{number}.bin" for number in range(1, 6)] if split == "train" else ["test_batch.bin"]
    classes = {"label": read_names(root / "batches.meta.txt")}
    return _split([root / name for name in names], {"label": 0}, classes, split, parameters)


def _cifar100(raw: Path, split: str, parameters: dict[str, Any]) -> Split:
    """A hundred classes in twenty superclasses; `cifar-100-binary/{train,test}.bin` and the two files of names."""
    root = inside(raw, "cifar-100-binary")
    classes = {
        "label": read_names(root / "fine_label_names.txt"),
        "superclass": read_names(root / "coarse_label_names.txt"),
    }
    return _split([root / f"{split}.bin"], {"superclass": 0, "label": 1}, classes, split, parameters)


@checked
def cifar10(
    split: str,
    path: OwnCopy = None,
    image_size: ImageSize = 32,
    shards: Shards = 8,
    split_seed: SplitSeed = 0,
    train_samples: Samples = None,
    test_samples: Samples = None,
) -> Split:
    """CIFAR-10."""
    return _cifar10(Path(path or ""), split, dict(locals()))


@checked
def cifar100(
    split: str,
    path: OwnCopy = None,
    image_size: ImageSize = 32,
    shards: Shards = 8,
    split_seed: SplitSeed = 0,
    train_samples: Samples = None,
    test_samples: Samples = None,
) -> Split:
    """CIFAR-100."""
    return _cifar100(Path(path or ""), split, dict(locals()))
