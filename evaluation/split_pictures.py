"""The pictures, labels and captions of one split, read from its shards once for all evaluations of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glofnd.data.manifest import read_manifest, verify_shards
from glofnd.data.pictures import PictureReader, read_ahead

__all__ = ["CHUNK", "Pictures", "parts"]

Array = NDArray[Any]

CACHE_BYTES = 2**31
CHUNK = 256
"""Pictures that go through an encoder at a time where nothing is learned."""


class Pictures:
    """One split. A sample's row is its place among all samples, `index[row]` its stable index.

    Args:
        shards: folder of all shards, `{dataset}/{split}` below it.
        dataset, split: which of them.
        workers: threads that read and decode ahead where the pictures do not fit the memory.
        cache_bytes: decoded pictures are kept in memory if they take at most so much.
    """

    def __init__(
        self, shards: Path, dataset: str, split: str, workers: int = 2, cache_bytes: int = CACHE_BYTES
    ) -> None:
        self.folder, self.dataset, self.split = shards / dataset / split, dataset, split
        self.name, self.workers, self.cache_bytes = f"{dataset}.{split}", workers, cache_bytes
        self.manifest = read_manifest(self.folder)
        self.index: Array = self.manifest.index
        self.sha256: str = self.manifest.sha256()

    def __len__(self) -> int:
        return len(self.index)

    @cached_property
    def _reader(self) -> PictureReader:
        verify_shards(self.manifest)
        return PictureReader(self.manifest, self.cache_bytes)

    def label(self, field: str) -> Array:
        """Label values [N]; an unknown field raises `ValueError` with the choices."""
        if field not in self.manifest.labels:
            known = ", ".join(sorted(self.manifest.labels)) or "none, for it is unlabelled"
            raise ValueError(f"{self.name}: no label field {field!r}; choose from {known}")
        return np.asarray(self.manifest.labels[field][self.index])

    def captions(self) -> list[list[str]] | None:
        """All captions of every sample, `None` where the data set has none."""
        return self._reader.captions(self.index) if self.manifest.captions else None

    def batches(self, rows: Iterable[Array], grey: bool = False) -> Iterator[Tensor]:
        """uint8 [b, 3, H, W] of each array of rows; `grey` leaves grey pictures as one channel."""

        def read(part: Array) -> Tensor:
            images = torch.from_numpy(self._reader.images(self.index[part]))
            return images if grey or images.shape[1] == 3 else images.expand(-1, 3, -1, -1)

        yield from read_ahead(read, rows, 0 if self._reader.cached else self.workers)

    def chunks(self, grey: bool = False) -> Iterator[Tensor]:
        """All pictures in order, `CHUNK` at a time."""
        return self.batches(parts(np.arange(len(self)), CHUNK), grey)


def parts(rows: Array, size: int) -> list[Array]:
    """`rows` in as few parts of at most `size` as there can be, of equal length but for one."""
    return np.array_split(rows, max(1, -(-len(rows) // size)))
