"""Random access to the pictures and captions in shards, by the offsets in the manifest."""

from __future__ import annotations

import io
import os
from functools import cached_property

import numpy as np
import numpy.typing as npt
from PIL import Image

from glofnd.data.manifest import Manifest, ManifestError
from glofnd.progress import progress

__all__ = ["PictureReader"]

Pictures = npt.NDArray[np.uint8]


class PictureReader:
    """Decoded pictures and captions of one split.

    Args:
        manifest: of the split.
        cache_bytes: keep all decoded pictures in memory if they take at most this much, else decode on each access.
    """

    def __init__(self, manifest: Manifest, cache_bytes: int) -> None:
        self.manifest = manifest
        self._shape = (manifest.channels, manifest.image_size, manifest.image_size)
        self.cached = manifest.samples * int(np.prod(self._shape)) <= cache_bytes
        self._first = np.array([shard.first_index for shard in manifest.shards])
        self._files: dict[int, int] = {}

    def close(self) -> None:
        """Close the tars."""
        while self._files:
            os.close(self._files.popitem()[1])

    def __del__(self) -> None:
        self.close()

    def images(self, index: npt.NDArray[np.int64]) -> Pictures:
        """uint8 `[len(index), C, H, W]` with the channels the pictures are stored with."""
        if self.cached:
            return self._cache[index]
        return self._decoded(index)

    def captions(self) -> list[list[str]]:
        """Every sample's captions, by index; read once."""
        return self._captions

    @cached_property
    def _cache(self) -> Pictures:
        everything = np.empty((self.manifest.samples, *self._shape), np.uint8)
        starts = range(0, self.manifest.samples, 256)
        for start in progress(starts, len(starts), f"decoding {self.manifest.dataset}/{self.manifest.split}", "blocks"):
            stop = min(start + 256, self.manifest.samples)
            everything[start:stop] = self._decoded(np.arange(start, stop))
        return everything

    @cached_property
    def _captions(self) -> list[list[str]]:
        captions = []
        for index in range(self.manifest.samples):
            try:
                lines = [line for line in self._member(index, 2).decode().split("\n") if line]
            except UnicodeDecodeError as error:
                raise ManifestError(f"{self._name(index, 'txt')}: caption is not UTF-8 ({error})") from error
            if not lines:
                raise ManifestError(f"{self._name(index, 'txt')}: caption is empty")
            captions.append(lines)
        return captions

    def _decoded(self, index: npt.NDArray[np.int64]) -> Pictures:
        images = np.empty((len(index), *self._shape), np.uint8)
        mode = "L" if self._shape[0] == 1 else "RGB"
        for row, sample in enumerate(index):
            data = self._member(int(sample), 0)
            try:
                with Image.open(io.BytesIO(data)) as image:
                    picture = np.asarray(image.convert(mode))
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                raise ManifestError(f"{self._name(int(sample), 'picture')} does not decode: {error}") from error
            if picture.shape[:2] != self._shape[1:]:
                size = f"{picture.shape[1]} x {picture.shape[0]}"
                raise ManifestError(f"{self._name(int(sample), 'picture')} is {size}, not {self._shape[1]} square")
            images[row] = picture if mode == "L" else picture.transpose(2, 0, 1)
        return images

    def _name(self, index: int, member: str) -> str:
        shard = self.manifest.shards[self._shard_of(index)]
        return f"{shard.path}: {member} of sample {index:09d}"

    def _shard_of(self, index: int) -> int:
        return int(np.searchsorted(self._first, index, side="right")) - 1

    def _member(self, index: int, column: int) -> bytes:
        """The bytes of a sample's picture (column 0) or caption (column 2)."""
        number = self._shard_of(index)
        shard = self.manifest.shards[number]
        offset, size = (int(value) for value in shard.offsets[index - shard.first_index, column : column + 2])
        try:
            descriptor = self._files.get(number)
            if descriptor is None:
                descriptor = self._files[number] = os.open(shard.path, os.O_RDONLY)
            data = os.pread(descriptor, size, offset)
        except OSError as error:
            raise ManifestError(f"{shard.path}: cannot be read ({error.strerror})") from error
        if len(data) != size:
            raise ManifestError(f"{self._name(index, 'member')}: the file ends early (truncated?)")
        return data
