"""Labelled pictures of a training and a test split, for classifiers that see pictures and not stored features."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from evaluation.feature_store import FeatureStoreError, split_name
from evaluation.fingerprints import content_hashes, thumbnails
from evaluation.old_tasks import SplitTask
from evaluation.tested import TestSide, align
from glofnd.data.manifest import read_manifest, verify_shards
from glofnd.data.pictures import PictureReader
from glofnd.data.read_ahead import read_ahead
from glofnd.progress import progress
from glofnd.views import TwoViews

__all__ = ["Pictures", "Sides", "crop_and_flip", "open_sides", "parts", "predict"]

Array = NDArray[Any]

CACHE_BYTES = 2**31
CHUNK = 256
"""Pictures that go through an encoder at a time where nothing is learned."""


class Pictures:
    """The pictures and labels of one split. A sample's row is its place among all samples, `index[row]` its index.

    Args:
        folder: of its shards.
        name: `<dataset>.<split>`, for messages.
        workers: threads that read and decode ahead where the pictures do not fit the memory.
    """

    def __init__(self, folder: Path, name: str, workers: int) -> None:
        self.name, self.workers = name, workers
        self.manifest = read_manifest(folder)
        verify_shards(self.manifest)
        self.index: Array = self.manifest.index
        self._reader = PictureReader(self.manifest, CACHE_BYTES)
        prints = [(content_hashes(p.numpy()), thumbnails(p.numpy())) for p in self._described()]
        self.content: Array = np.concatenate([content for content, _ in prints])
        self.thumbnail: Array = np.concatenate([small for _, small in prints])

    def label(self, field: str) -> Array:
        """Label values [N]; an unknown field raises `FeatureStoreError` with the choices."""
        if field not in self.manifest.labels:
            known = ", ".join(sorted(self.manifest.labels))
            raise FeatureStoreError(f"{self.name}: no label field {field!r}; choose from {known}")
        return np.asarray(self.manifest.labels[field][self.index])

    def batches(self, rows: Iterable[Array]) -> Iterator[Tensor]:
        """uint8 [b, 3, H, W] of each array of rows; grey pictures are an expanded view."""
        yield from read_ahead(self._read, rows, 0 if self._reader.cached else self.workers)

    def _read(self, rows: Array) -> Tensor:
        images = torch.from_numpy(self._reader.images(self.index[rows]))
        return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images

    def _described(self) -> Iterator[Tensor]:
        chunks = parts(np.arange(len(self.index)), CHUNK)
        return iter(progress(self.batches(chunks), len(chunks), f"fingerprints of {self.name}", "batches"))


def parts(rows: Array, size: int) -> list[Array]:
    """`rows` in as few parts of at most `size` as there can be, of equal length but for one."""
    return np.array_split(rows, -(-len(rows) // size))


@dataclass(frozen=True)
class Sides:
    """Both splits of a task; training labels are positions in `side.classes`."""

    train: Pictures
    train_labels: Array
    test: Pictures
    side: TestSide


def open_sides(shards: Path, task: SplitTask, workers: int) -> tuple[Sides, dict[str, str]]:
    """Both splits below the folder of all shards, and the SHA-256 of their manifests by `<dataset>/<split>`.

    Raises:
        FeatureStoreError: the splits are the same shards, share too many pictures, or their labels do not fit.
    """
    names = task.train, task.test
    train, test = (Pictures(shards / task.dataset / name, split_name(task.dataset, name), workers) for name in names)
    sums = {f"{task.dataset}/{name}": part.manifest.sha256() for name, part in zip(names, (train, test), strict=True)}
    labels, side = align(train, test, task.label, same=len(set(sums.values())) < 2)
    return Sides(train, labels, test, side), sums


def crop_and_flip(seed: int) -> TwoViews:
    """Random resized crop of 8 to 100 % of the picture and a flip, without any change of colour."""
    return TwoViews(
        crop_scale=(0.08, 1.0),
        flip=0.5,
        brightness=0,
        contrast=0,
        saturation=0,
        hue=0,
        jitter_probability=0,
        grayscale=0,
        seed=seed,
    )


@torch.no_grad()
def predict(model: Any, pictures: Pictures, head: torch.nn.Linear | None = None, rows: Array | None = None) -> Tensor:
    """Features [n, F] of whole pictures in evaluation mode, or what `head` makes of them, float32 on the CPU.

    Args:
        model: the encoder.
        pictures: of a split.
        head: a linear layer on the features; `None` for none.
        rows: which samples [n]; `None` for all.
    """
    model.eval()
    found = []
    for images in pictures.batches(parts(np.arange(len(pictures.index)) if rows is None else rows, CHUNK)):
        features = model.features(model.prepare(images.to(model.mean.device))).float()
        found.append((features if head is None else functional.linear(features, head.weight, head.bias)).cpu())
    return torch.cat(found)
