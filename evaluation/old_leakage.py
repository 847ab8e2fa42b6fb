"""Guards against test pictures among the training pictures: equal ones, and ones that look the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evaluation.feature_store import FeatureStoreError
from evaluation.fingerprints import perceptual_hashes

__all__ = ["SHARED_LIMIT", "Pictured", "SharedPictures", "near_duplicates", "shared_pictures"]

Array = NDArray[Any]

SHARED_LIMIT = 0.01
"""Share of test pictures that may also be training pictures; real data sets have a few."""

HASH_DISTANCE = 10
"""Bits of 64 in which the perceptual hashes of near-duplicates may differ."""

CORRELATION = 0.995
"""Least correlation of the thumbnails of near-duplicates. The hash alone is too coarse for pictures that are all alike:
of Fashion-MNIST's test pictures it pairs two thirds with a training picture, with this condition 0.14 %. Pictures of 32
pixels that were compressed to JPEG quality 75 are found again in 99.8 % (Fashion-MNIST) and 66 % (emoji) of cases."""

_PAIRS = 2**22


class Pictured(Protocol):
    """The pictures of one split, as far as it takes to recognise them."""

    @property
    def name(self) -> str:
        """`<dataset>.<split>`."""

    @property
    def index(self) -> Array:
        """Stable sample index, int64 [N]."""

    @property
    def content(self) -> Array:
        """Hash of each decoded picture, int64 [N]."""

    @property
    def thumbnail(self) -> Array:
        """uint8 [N, 16, 16]."""


@dataclass(frozen=True)
class SharedPictures:
    """Test samples that are in the training split too.

    Attributes:
        exact: how many are, pixel by pixel, a training picture.
        near: how many others look like one (`near_duplicates`).
        clean: bool [N], the test samples that are neither.
    """

    exact: int
    near: int
    clean: Array

    @property
    def counts(self) -> dict[str, Any]:
        """The entries of metrics.json."""
        return {"shared_pictures": self.exact, "near_duplicates": self.near}


def _standardised(small: Array) -> Array:
    """Thumbnails [N, 16, 16] as rows of zero mean and unit length; a flat one is zero."""
    rows = small.reshape(len(small), -1).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6))


def near_duplicates(train: Array, test: Array) -> Array:
    """Whether each test picture looks like some training picture, bool [N].

    Perceptual hashes at most `HASH_DISTANCE` bits apart, and thumbnails that correlate by `CORRELATION` or more: the
    same picture in another size, compression, brightness or contrast.

    Args:
        train: thumbnails, uint8 [n, 16, 16].
        test: thumbnails, uint8 [N, 16, 16].
    """
    known, asked = perceptual_hashes(train), perceptual_hashes(test)
    known_rows, asked_rows = _standardised(train), _standardised(test)
    found = np.zeros(len(test), dtype=bool)
    step = max(1, _PAIRS // max(len(train), 1))
    for start in range(0, len(test), step):
        rows, columns = np.nonzero(np.bitwise_count(asked[start : start + step, None] ^ known) <= HASH_DISTANCE)
        rows += start
        for part in range(0, len(rows), 2**16):
            one, other = rows[part : part + 2**16], columns[part : part + 2**16]
            alike = np.einsum("pd,pd->p", asked_rows[one], known_rows[other]) >= CORRELATION
            found[one[alike]] = True
    return found


def shared_pictures(train: Pictured, test: Pictured) -> SharedPictures:
    """The test samples whose decoded picture is, or looks like, a training picture.

    Raises:
        FeatureStoreError: more than `SHARED_LIMIT` of the test samples are a training picture, or all are or look like
            one.
    """
    exact = np.isin(test.content, train.content)
    count = int(exact.sum())
    if count > SHARED_LIMIT * len(exact):
        raise FeatureStoreError(
            f"{test.name}: {count} of {len(exact)} pictures are also in {train.name} (first: sample "
            f"{test.index[exact][0]}); a test sample must not be trained on, so make the splits anew"
        )
    near = near_duplicates(train.thumbnail, test.thumbnail) & ~exact
    clean = ~(exact | near)
    if not clean.any():
        raise FeatureStoreError(
            f"{test.name}: every picture is, or looks like, one of {train.name}, as the same pictures stored anew "
            "would; make the splits anew"
        )
    return SharedPictures(count, int(near.sum()), clean)
