"""Batches from shards: every sample once an epoch, in an order set by (seed, epoch) alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from glofnd.counter_random import Shuffle, uniform
from glofnd.data.manifest import Index, read_manifest, verify_shards, without
from glofnd.data.order import EverywhereOrder, WindowOrder
from glofnd.data.pictures import PictureReader, read_ahead, read_before

__all__ = ["SampleBatch", "ShardStream"]

# Streams of counter_random; order and augmentation use others.
_CAPTION, _SOME = 0xCA97, 0x50ED


@dataclass(frozen=True)
class SampleBatch:
    """Samples of one rank's part of a batch.

    `index` int64 `[b]`; `images` uint8 `[b, C, H, W]` (grey pictures asked for as three channels are an expanded view
    of one); `labels[field]` int64 `[b]`; `captions` one text each, or `None` if the data set has none.
    """

    index: Tensor
    images: Tensor
    labels: dict[str, Tensor]
    captions: list[str] | None

    def __len__(self) -> int:
        return len(self.index)

    def pin_memory(self) -> SampleBatch:
        """The same with pictures and indices where a GPU fetches them by itself, while the CPU goes on."""
        labels = {field: values.pin_memory() for field, values in self.labels.items()}
        return replace(self, index=self.index.pin_memory(), images=self.images.pin_memory(), labels=labels)


class ShardStream:
    """The `samples` samples of one split, whose indices are below `indices`.

    Args:
        shards: folder with `manifest.json` and its tars.
        batch_size: size of the global batch; each rank gets `batch_size / world` of it.
        seed: sets the order together with the epoch.
        workers: threads that read and decode batches ahead, when pictures are not cached.
        rank: of this process; rank r gets the r-th contiguous part of each global batch.
        world: number of processes.
        cache_bytes: keep the decoded pictures in memory if they take at most so much.
        window: shuffle within windows of so many shards, which are read one after the other (`WindowOrder`) and should
            fit the page cache twice; None: over everything, reading at random places.
        drop_last: drop the incomplete batch at the end of an epoch.
        channels: 3 repeats grey pictures; 1 asks for grey pictures as they are.
        verify: compare every shard with its checksum, once, now.

    Raises:
        ManifestError: for shards that are not what the manifest says.
        ValueError: for arguments that do not fit each other or the data.
    """

    def __init__(
        self,
        shards: Path,
        *,
        batch_size: int,
        seed: int,
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
        cache_bytes: int = 2**31,
        window: int | None = None,
        drop_last: bool = True,
        channels: int = 3,
        verify: bool = True,
    ) -> None:
        self.manifest = read_manifest(Path(shards))
        if not 0 <= rank < world or batch_size < 1 or batch_size % world:
            raise ValueError(f"batch_size {batch_size} does not divide among {world} ranks (rank {rank})")
        if drop_last and batch_size > self.manifest.samples:
            raise ValueError(f"{shards}: batch_size {batch_size} exceeds the {self.manifest.samples} samples")
        if channels < self.manifest.channels:
            raise ValueError(f"{shards}: the pictures are in colour; channels=1 would lose it")
        if verify:
            verify_shards(self.manifest)
        self.samples, self.indices = self.manifest.samples, self.manifest.indices
        self.batch_size, self.seed, self.workers = batch_size, seed, workers
        self.rank, self.world, self.drop_last, self.channels, self.window = rank, world, drop_last, channels, window
        self._reader = PictureReader(self.manifest, cache_bytes)

    @property
    def batches_per_epoch(self) -> int:
        """Global batches in an epoch, the same on every rank."""
        full, rest = divmod(self.samples, self.batch_size)
        return full + bool(rest and not self.drop_last)

    def load(self) -> None:
        """Decode now what is kept in memory, rather than at the first batch."""
        self._reader.load()

    def order(self, epoch: int) -> EverywhereOrder | WindowOrder:
        """The epoch's order: a function from places (below `samples`) to indices."""
        if self.window is None:
            return EverywhereOrder(self.manifest, self.seed, epoch)
        return WindowOrder(self.manifest, self.seed, epoch, self.window)

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[SampleBatch]:
        """This rank's part of each batch of an epoch, from global batch `start_batch` on.

        Every rank yields the same number of batches; without `drop_last` the parts of the last may differ by one sample
        or be empty.

        Raises:
            ValueError: when the epoch has no such batch (the number after the last one is allowed and gives nothing).
        """
        if not 0 <= start_batch <= self.batches_per_epoch:
            raise ValueError(f"start_batch {start_batch} is outside the epoch's {self.batches_per_epoch} batches")
        order, size = self.order(epoch), self.batch_size
        starts = range(start_batch * size, self.batches_per_epoch * size, size)
        batches: Iterator[Index] = (np.arange(start, min(start + size, self.samples)) for start in starts)
        if isinstance(order, WindowOrder) and not self._reader.cached:
            batches = read_before(order, batches)
        return self._read((order(np.array_split(batch, self.world)[self.rank]) for batch in batches), epoch)

    def in_order(self, batch_size: int) -> Iterator[SampleBatch]:
        """All samples by index, on every rank alike, for evaluation; captions are each picture's first."""
        rows = (np.arange(i, min(i + batch_size, self.samples)) for i in range(0, self.samples, batch_size))
        return self._read((without(self.manifest.vacant, part) for part in rows), None)

    def some(self, count: int) -> SampleBatch:
        """The same random samples whatever the seed, at most `count`, as in `in_order`."""
        chosen = Shuffle(self.samples, seed=0, epoch=0, stream=_SOME).at(np.arange(min(count, self.samples)))
        return self._batch(without(self.manifest.vacant, chosen), None)

    def captions(self) -> list[list[str]] | None:
        """All captions of every sample, in the order of their indices, or `None` if the data set has none."""
        return self._reader.captions(self.manifest.index) if self.manifest.captions else None

    def _read(self, parts: Iterable[Index], epoch: int | None) -> Iterator[SampleBatch]:
        workers = 0 if self._reader.cached else self.workers
        yield from read_ahead(lambda part: self._batch(part, epoch), parts, workers)

    def _batch(self, part: Index, epoch: int | None) -> SampleBatch:
        index = torch.from_numpy(part)
        images = torch.from_numpy(self._reader.images(part))
        if self.channels > images.shape[1]:
            images = images.expand(-1, self.channels, -1, -1)
        labels = {field: torch.from_numpy(values[part]) for field, values in self.manifest.labels.items()}
        captions = None
        if self.manifest.captions:
            first = np.zeros((len(part), 1))
            draws = first if epoch is None else uniform(part, 1, seed=self.seed, epoch=epoch, stream=_CAPTION)
            chosen = zip(self._reader.captions(part), draws[:, 0], strict=True)
            captions = [lines[int(draw * len(lines))] for lines, draw in chosen]
        return SampleBatch(index, images, labels, captions)
