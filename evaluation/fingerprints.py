"""Fingerprints of decoded pictures: equal ones have equal content hashes, similar ones near perceptual hashes."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SIDE", "content_hashes", "perceptual_hashes", "thumbnails"]

Array = NDArray[Any]

SIDE = 16
"""Thumbnails are grey and SIDE x SIDE pixels."""

_FREQUENCIES = 8


def content_hashes(images: Array) -> Array:
    """64-bit hash of the pixels of uint8 pictures [B, C, H, W], int64 [B]."""
    digests = (hashlib.blake2b(picture.tobytes(), digest_size=8).digest() for picture in images)
    return np.array([int.from_bytes(digest, "little", signed=True) for digest in digests], dtype=np.int64)


def _averaging(size: int) -> Array:
    """Rows that average `size` pixels in SIDE equal parts, [SIDE, size]; a smaller picture repeats its pixels."""
    place = np.arange(SIDE)
    first, last = place * size // SIDE, -(-(place + 1) * size // SIDE)
    pixel = np.arange(size)
    inside = (pixel >= first[:, None]) & (pixel < last[:, None])
    return np.asarray(inside / inside.sum(axis=1, keepdims=True), dtype=np.float32)


def thumbnails(images: Array) -> Array:
    """Grey means over a 16 x 16 grid of uint8 pictures [B, C, H, W], uint8 [B, 16, 16]."""
    grey = images.mean(axis=1, dtype=np.float32)
    small = _averaging(grey.shape[1]) @ grey @ _averaging(grey.shape[2]).T
    return np.asarray(small.round(), dtype=np.uint8)


def perceptual_hashes(small: Array) -> Array:
    """pHash (Zauner 2010): which of the 8 x 8 lowest cosine frequencies lie above their median, uint64 [N].

    Pictures that differ in size, compression or a slight shift of colour have few differing bits.

    Args:
        small: uint8 [N, 16, 16].
    """
    place, wave = np.arange(SIDE) + 0.5, np.arange(_FREQUENCIES)[:, None]
    cosine = np.cos(np.pi * wave * place / SIDE).astype(np.float32)
    spectrum = (cosine @ small.astype(np.float32) @ cosine.T).reshape(len(small), -1)
    # The mean brightness is no structure; without it the median splits the others in halves.
    bits = spectrum > np.median(spectrum[:, 1:], axis=1, keepdims=True)
    bits[:, 0] = False
    return np.packbits(bits, axis=1).view(np.uint64)[:, 0]
