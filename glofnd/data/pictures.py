"""Random access to the pictures and captions in shards, by the offsets in the manifest."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from functools import cached_property

import numpy as np
import numpy.typing as npt
from PIL import Image

from glofnd.data.manifest import Manifest, ManifestError, Shard
from glofnd.progress import progress

__all__ = ["PictureReader"]

Pictures = npt.NDArray[np.uint8]
Index = npt.NDArray[np.int64]

# Columns of a shard's offsets.
_PICTURE, _CAPTION = 0, 2


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
        if self.cached:
            return [self._caption_cache[i] for i in index]
        return self._texts(index)

    @cached_property
    def _cache(self) -> Pictures:
        everything = np.zeros((self.manifest.indices, *self._shape), np.uint8)
        index, name = self.manifest.index, f"decoding {self.manifest.dataset}/{self.manifest.split}"
        chunks = np.split(index, np.searchsorted(index, self._first[1:]))
        for chunk in progress(chunks, len(chunks), name, "shards"):
            everything[chunk] = self._decoded(chunk)
        return everything

    @cached_property
    def _caption_cache(self) -> list[list[str]]:
        texts: list[list[str]] = [[]] * self.manifest.indices
        for index, lines in zip(self.manifest.index, self._texts(self.manifest.index), strict=True):
            texts[index] = lines
        return texts

    def _texts(self, index: Index) -> list[list[str]]:
        texts: list[list[str]] = [[]] * len(index)
        for row, data, where in self._members(index, _CAPTION):
            try:
                texts[row] = [line for line in data.decode().split("\n") if line]
            except UnicodeDecodeError as error:
                raise ManifestError(f"{where}: the caption is not UTF-8 ({error})") from error
            if not texts[row]:
                raise ManifestError(f"{where}: the caption is empty")
        return texts

    def _decoded(self, index: Index) -> Pictures:
        images = np.empty((len(index), *self._shape), np.uint8)
        mode = "L" if self._shape[0] == 1 else "RGB"
        for row, data, where in self._members(index, _PICTURE):
            try:
                with Image.open(io.BytesIO(data)) as image:
                    picture = np.asarray(image if image.mode == mode else image.convert(mode))
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                raise ManifestError(
                    f"{where}: the picture does not decode ({error}); write the shards again"
                ) from error
            if picture.shape[:2] != self._shape[1:]:
                size = f"{picture.shape[1]} x {picture.shape[0]}"
                raise ManifestError(f"{where}: the picture is {size}, not {self._shape[1]} square")
            images[row] = picture if mode == "L" else picture.transpose(2, 0, 1)
        return images

    def _members(self, index: Index, column: int) -> Iterator[tuple[int, bytes, str]]:
        """(row of `index`, member's bytes, file and key for an error), each shard opened once."""
        shard_of = np.searchsorted(self._first, index, side="right") - 1
        for number in np.unique(shard_of):
            shard = self.manifest.shards[number]
            with shard.path.open("rb") as handle:
                for row in np.flatnonzero(shard_of == number):
                    yield int(row), *_member(handle.fileno(), shard, int(index[row]), column)


def _member(descriptor: int, shard: Shard, index: int, column: int) -> tuple[bytes, str]:
    where = f"{shard.path}: sample {index:09d}"
    offset, size = (int(value) for value in shard.offsets[index - shard.first_index, column : column + 2])
    data = os.pread(descriptor, size, offset)
    if len(data) != size:
        raise ManifestError(f"{where}: the file ends early (truncated?); write the shards again")
    return data, where
