"""Data sets whose labels are MATLAB files: Stanford Cars and Oxford Flowers-102."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from glofnd.data.datasets.subsets import published
from glofnd.data.datasets.tree import files_split, inside, plain_name, read_names
from glofnd.data.options import (
    BadSamplesPolicy,
    Encoding,
    ImageSize,
    MaxSkipped,
    OwnCopy,
    OwnFolder,
    Samples,
    Shards,
    SplitSeed,
)
from glofnd.data.split import Split
from glofnd.parameters import checked

__all__ = ["flowers102", "stanford_cars"]

_FLOWER_NAMES = Path(__file__).with_name("flowers102.txt")


def _read(path: Path, key: str) -> Any:
    """One variable of a `.mat` file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: naming the file, when it is none or lacks the variable.
    """
    data = path.read_bytes()
    if not data.startswith(b"MATLAB 5.0 MAT-file"):
        raise ValueError(f"{path}: not a MATLAB 5 file; fetch it again")
    try:
        content = loadmat(path, squeeze_me=True)
    except Exception as error:  # scipy's reader raises whatever a damaged file leads to
        raise ValueError(f"{path}: cannot be read ({error}); fetch it again") from error
    if key not in content:
        raise ValueError(f"{path}: has no variable {key!r}; fetch it again")
    return content[key]


def _in_range(path: Path, labels: list[int], classes: int) -> list[int]:
    for position, label in enumerate(labels):
        if not 0 <= label < classes:
            raise ValueError(f"{path}: class {label + 1} of entry {position} is out of range for {classes} classes")
    return labels


def _stanford_cars(raw: Path, split: str, parameters: dict[str, Any]) -> Split:
    """Stanford Cars (Krause et al. 2013): 196 models of cars.

    `devkit/cars_meta.mat`, `devkit/cars_train_annos.mat`, `cars_test_annos_withlabels.mat`, `cars_train/*.jpg` and
    `cars_test/*.jpg`.
    """
    root = inside(raw, "stanford_cars")
    devkit = root / "devkit"
    names = [plain_name(str(name)) for name in np.atleast_1d(_read(devkit / "cars_meta.mat", "class_names"))]
    path = devkit / "cars_train_annos.mat" if split == "train" else root / "cars_test_annos_withlabels.mat"
    entries = np.atleast_1d(_read(path, "annotations"))
    if entries.dtype.names is None or not {"class", "fname"} <= set(entries.dtype.names):
        raise ValueError(f"{path}: its annotations have no `class` and `fname`; take the version with labels")
    labels = _in_range(path, [int(label) - 1 for label in entries["class"]], len(names))
    pictures = [root / f"cars_{split}" / Path(str(name)).name for name in entries["fname"]]
    return files_split(pictures, {"label": labels}, {"label": names}, published(labels, split, parameters), parameters)


def _flowers102(raw: Path, split: str, parameters: dict[str, Any]) -> Split:
    """Oxford Flowers-102 (Nilsback, Zisserman 2008): `imagelabels.mat`, `setid.mat` and `jpg/image_00001.jpg ...`.

    The published validation pictures belong to `train`, as in `dtd`.
    """
    root = inside(raw, "flowers-102")
    names = read_names(_FLOWER_NAMES)
    everything = np.atleast_1d(_read(root / "imagelabels.mat", "labels"))
    parts = ("trnid", "valid") if split == "train" else ("tstid",)
    sets = [np.atleast_1d(_read(root / "setid.mat", part)) for part in parts]
    numbers = np.sort(np.concatenate(sets)).astype(np.int64)
    if len(numbers) and not 1 <= numbers[0] <= numbers[-1] <= len(everything):
        raise ValueError(f"{root / 'setid.mat'}: names pictures that imagelabels.mat does not have")
    labels = _in_range(root / "imagelabels.mat", [int(everything[n - 1]) - 1 for n in numbers], len(names))
    pictures = [root / "jpg" / f"image_{number:05d}.jpg" for number in numbers]
    return files_split(pictures, {"label": labels}, {"label": names}, published(labels, split, parameters), parameters)


@checked
def stanford_cars(
    split: str,
    path: OwnFolder,
    image_size: ImageSize = 256,
    shards: Shards = 32,
    split_seed: SplitSeed = 0,
    encoding: Encoding = "jpg",
    bad_samples: BadSamplesPolicy = "fail",
    max_skipped: MaxSkipped = 0.01,
    train_samples: Samples = None,
    test_samples: Samples = None,
) -> Split:
    """Stanford Cars."""
    return _stanford_cars(Path(path or ""), split, dict(locals()))


@checked
def flowers102(
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
) -> Split:
    """Flowers-102."""
    return _flowers102(Path(path or ""), split, dict(locals()))
