"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) in their binary version: records of label bytes and 3 x 32 x 32 pixels.

torchvision reads the Python version, which is a pickle, and gives no superclasses.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from glofnd.data.class_names import read_names
from glofnd.data.options import ImageSize, OwnCopy, Samples, Shards, SplitSeed
from glofnd.data.picture_files import encoded
from glofnd.data.split import Split, subset
from glofnd.parameters import checked

__all__ = ["cifar10", "cifar100"]

_SIDE = 32

Pixels = npt.NDArray[np.uint8]


def _records(path: Path, label_bytes: int) -> Pixels:
    """The records of a file, `[n, label_bytes + 3072]`; raises `ValueError` naming a file that is cut short."""
    width, data = label_bytes + 3 * _SIDE**2, np.fromfile(path, np.uint8)
    if len(data) == 0 or len(data) % width:
        raise ValueError(f"{path}: {len(data)} bytes are not a whole number of records of {width}; fetch it again")
    return data.reshape(-1, width)


def _png(size: int, pixels: Pixels) -> bytes:
    image = Image.fromarray(pixels.reshape(3, _SIDE, _SIDE).transpose(1, 2, 0))
    return encoded(image if size == _SIDE else image.resize((size, size), Image.Resampling.BICUBIC))


def _split(files: list[Path], classes: dict[str, list[str]], image_size: int, size: int | None, seed: int) -> Split:
    """`classes` are the label fields in the order of a record's label bytes."""
    records = np.concatenate([_records(path, len(classes)) for path in files])
    labels = {field: records[:, column] for column, field in enumerate(classes)}
    chosen = subset(labels["label"], size, seed)
    return Split(
        classes=classes,
        labels={field: values[chosen].tolist() for field, values in labels.items()},
        payloads=list(records[chosen, len(classes) :]),
        encode=partial(_png, image_size),
        channels=3,
    )


def _inside(path: Path, folder: str) -> Path:
    return path / folder if (path / folder).is_dir() else path


def _builder(read: Callable[[Path, str], tuple[list[Path], dict[str, list[str]]]]) -> Callable[..., Split]:
    """A builder; `read` gives the files of a split, and the names of its label fields."""

    @checked
    def build(
        split: str,
        path: OwnCopy = None,
        image_size: ImageSize = 32,
        shards: Shards = 8,
        split_seed: SplitSeed = 0,
        train_samples: Samples = None,
        test_samples: Samples = None,
    ) -> Split:
        files, classes = read(Path(path or ""), split)
        size = train_samples if split == "train" else test_samples
        return _split(files, classes, image_size, size, split_seed)

    return build


def _cifar10(path: Path, split: str) -> tuple[list[Path], dict[str, list[str]]]:
    root = _inside(path, "cifar-10-batches-bin")
    files = [f"data_batch_{number}.bin" for number in range(1, 6)] if split == "train" else ["test_batch.bin"]
    return [root / file for file in files], {"label": read_names(root / "batches.meta.txt")}


def _cifar100(path: Path, split: str) -> tuple[list[Path], dict[str, list[str]]]:
    root, fields = _inside(path, "cifar-100-binary"), {"superclass": "coarse", "label": "fine"}
    return [root / f"{split}.bin"], {f: read_names(root / f"{name}_label_names.txt") for f, name in fields.items()}


cifar10, cifar100 = _builder(_cifar10), _builder(_cifar100)
