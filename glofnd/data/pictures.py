"""Random access to the pictures and captions in shards, by the offsets in the manifest, and reading ahead."""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from glofnd.data.manifest import AGAIN, Manifest, ManifestError, Shard
from glofnd.data.order import WindowOrder
from glofnd.data.picture_files import opened
from glofnd.progress import progress

__all__ = ["PictureReader", "read_ahead", "read_before"]

Part = TypeVar("Part")
Content = TypeVar("Content")

Pictures = npt.NDArray[np.uint8]
Index = npt.NDArray[np.int64]

# Columns of the offsets.
_PICTURE, _CAPTION = 0, 3


class PictureReader:
    """Decoded pictures and captions of one split.

    Args:
        manifest: of the split.
        cache_bytes: keep all decoded pictures in memory if they take at most this much, else decode on each access.
    """

    def __init__(self, manifest: Manifest, cache_bytes: int) -> None:
        self.manifest = manifest
        self._shape = (manifest.channels, manifest.image_size, manifest.image_size)
        self._first = np.array([shard.first_index for shard in manifest.shards])
        self.cached = manifest.indices * int(np.prod(self._shape)) <= cache_bytes

    def load(self) -> None:
        """Decode everything now, where it is kept in memory."""
        if self.cached:
            _ = self._cache

    def images(self, index: Index) -> Pictures:
        """uint8 `[len(index), C, H, W]` with the channels the pictures are stored with."""
        return self._cache[index] if self.cached else self._decoded(index)

    def captions(self, index: Index) -> list[list[str]]:
        """The captions of each sample, at least one."""
        return [self._caption_cache[i] for i in index.tolist()] if self.cached else self._texts(index)

    @cached_property
    def _cache(self) -> Pictures:
        everything = np.zeros((self.manifest.indices, *self._shape), np.uint8)
        index, name = self.manifest.index, f"decoding {self.manifest.dataset}/{self.manifest.split}"
        chunks = np.split(index, np.searchsorted(index, self._first[1:]))
        for chunk in progress(chunks, len(chunks), name, "shards"):
            everything[chunk] = self._decoded(chunk)
        return everything

    @cached_property
    def _caption_cache(self) -> dict[int, list[str]]:
        return dict(zip(self.manifest.index.tolist(), self._texts(self.manifest.index), strict=True))

    def _texts(self, index: Index) -> list[list[str]]:
        texts: list[list[str]] = [[]] * len(index)
        for row, data, _ in self._members(index, _CAPTION):
            texts[row] = data.decode().split("\n")
        return texts

    def _decoded(self, index: Index) -> Pictures:
        images = np.empty((len(index), *self._shape), np.uint8)
        mode = "L" if self._shape[0] == 1 else "RGB"
        for row, data, where in self._members(index, _PICTURE):
            try:
                with opened(data) as image:
                    picture = np.asarray(image if image.mode == mode else image.convert(mode))
                images[row] = picture if mode == "L" else picture.transpose(2, 0, 1)
            except (OSError, ValueError, SyntaxError) as error:
                message = f"{where}: no picture of {self._shape[1]} x {self._shape[2]} ({error}); {AGAIN}"
                raise ManifestError(message) from error
        return images

    def _members(self, index: Index, column: int) -> Iterator[tuple[int, bytes, str]]:
        """(row of `index`, member's bytes, file and key for an error), each shard opened once."""
        offsets = self.manifest.offsets[index]
        shard_of = np.searchsorted(self._first, index, side="right") - 1
        for number in np.unique(shard_of):
            shard = self.manifest.shards[number]
            with shard.path.open("rb") as handle:
                for row in np.flatnonzero(shard_of == number):
                    where = f"{shard.path}: sample {index[row]:09d}"
                    offset, size, crc = offsets[row, column : column + 3].tolist()
                    data = os.pread(handle.fileno(), size, offset)
                    if zlib.crc32(data) != crc:
                        raise ManifestError(f"{where}: damaged, or the file ends early (truncated?); {AGAIN}")
                    yield int(row), data, where


def read_ahead(
    read: Callable[[Part], Content],
    parts: Iterable[Part],
    workers: int,
    executor: Callable[[int], Executor] = ThreadPoolExecutor,
) -> Iterator[Content]:
    """`read(part)` of every part, in order; up to `2 * workers` are read before they are asked for, none without."""
    if workers == 0:
        yield from map(read, parts)
        return
    with executor(workers) as pool:
        waiting: deque[Future[Content]] = deque()
        try:
            for part in parts:
                waiting.append(pool.submit(read, part))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def read_before(order: WindowOrder, batches: Iterable[Index]) -> Iterator[Index]:
    """`batches` of places, each given once the tars of its window are in the page cache; the next window is on its way.

    Tars are read from one end to the other, which a disk does several times as fast as single pictures.
    """
    reading: dict[int, Future[None]] = {}
    with ThreadPoolExecutor(1) as pool:
        try:
            for places in batches:
                window = order.window(int(places[-1]))
                for number in range(window, min(window + 2, len(order.shards))):
                    if number not in reading:
                        reading[number] = pool.submit(_read_through, order.shards[number])
                reading[window].result()
                yield places
        finally:
            pool.shutdown(cancel_futures=True)


def _read_through(shards: list[Shard]) -> None:
    buffer = bytearray(2**22)
    for shard in shards:
        with shard.path.open("rb", buffering=0) as handle:
            while handle.readinto(buffer):
                pass
