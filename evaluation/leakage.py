"""Guards against test pictures among the training pictures: equal ones, and ones that look the same.

Equal pictures have equal hashes of their pixels. Pictures that look the same, in another size, compression or
brightness, have perceptual hashes (imagehash.phash, 16 x 16 lowest cosine frequencies) that differ in few bits. Of
Fashion-MNIST's test pictures at most 20 of 256 bits pair 0.1 % with a training picture, and 99 % of pictures that were
compressed to JPEG quality 75 are found again; a hash of 8 x 8 frequencies would pair a third.
"""

from __future__ import annotations

import contextlib
import hashlib
import zipfile
from typing import Any

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evaluation.results import TestSide, write_arrays
from evaluation.split_pictures import Pictures

__all__ = ["DISTANCE", "SHARED_LIMIT", "align", "content_hash", "fingerprints", "look", "near_duplicates"]

Array = NDArray[Any]

SHARED_LIMIT = 0.01
"""Share of test pictures that may also be training pictures; real data sets have a few."""

SIDE, DISTANCE = 16, 20
"""Frequencies a side, and bits in which the hashes of near-duplicates may differ."""

_HELD = 2**22


def content_hash(picture: Array) -> int:
    """64-bit hash of the pixels of a uint8 picture."""
    return int.from_bytes(hashlib.blake2b(picture.tobytes(), digest_size=8).digest(), "little", signed=True)


def look(picture: Array) -> Array:
    """Perceptual hash of a uint8 picture [C, H, W] with one or three channels, uint64 [4]."""
    image = Image.fromarray(picture[0] if len(picture) == 1 else np.ascontiguousarray(picture.transpose(1, 2, 0)))
    return np.packbits(imagehash.phash(image, hash_size=SIDE).hash).view(np.uint64)


def fingerprints(pictures: Pictures) -> tuple[Array, Array]:
    """Content hashes int64 [N] and perceptual hashes uint64 [N, 4] of a split.

    They belong to the shards, so they are kept beside them, where that can be written to.
    """
    path = pictures.folder / "fingerprints.npz"
    with contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile), np.load(path) as file:
        if str(file["manifest"]) == pictures.sha256:
            return file["content"], file["look"]
    found = [(content_hash(p), look(p)) for images in pictures.chunks(grey=True) for p in images.numpy()]
    content, looks = np.array([one for one, _ in found], np.int64), np.stack([other for _, other in found])
    with contextlib.suppress(OSError):
        write_arrays(path, {"manifest": np.array(pictures.sha256), "content": content, "look": looks})
    return content, looks


def near_duplicates(train: Array, test: Array) -> Array:
    """Whether each test picture looks like some training picture, bool [M], from hashes uint64 [n, 4] and [M, 4]."""
    found = np.zeros(len(test), dtype=bool)
    step = max(1, _HELD // len(train))
    for start in range(0, len(test), step):
        part = test[start : start + step]
        bits = sum(np.bitwise_count(part[:, None, word] ^ train[:, word]).astype(np.uint16) for word in range(4))
        found[start : start + step] = (np.asarray(bits) <= DISTANCE).any(axis=1)
    return found


def align(train: Pictures, test: Pictures, label: str) -> tuple[Array, TestSide]:
    """Training labels as positions in the classes [n], and the test side.

    Raises:
        ValueError: both are the same shards, share too many pictures, the label field is unknown, a test label has no
            training sample, or there is a single class.
    """
    if train.sha256 == test.sha256:
        raise ValueError(f"{train.name} and {test.name} are the same shards; test on a split of its own")
    known, asked = train.label(label), test.label(label)
    classes, positions = np.unique(known, return_inverse=True)
    strange = ~np.isin(asked, classes)
    if strange.any():
        raise ValueError(
            f"{test.name}: {strange.sum()} samples have a {label} that {train.name} has not (first: sample "
            f"{test.index[strange][0]}); choose a label field that both share"
        )
    if len(classes) < 2:
        raise ValueError(f"{train.name}: {label} has a single class; there is nothing to tell apart")
    (content, looks), (test_content, test_looks) = fingerprints(train), fingerprints(test)
    same = np.isin(test_content, content)
    if same.mean() > SHARED_LIMIT:
        raise ValueError(
            f"{test.name}: {same.sum()} of {len(same)} pictures are also in {train.name} (first: sample "
            f"{test.index[same][0]}); a test sample must not be trained on, so make the splits anew"
        )
    near = near_duplicates(looks, test_looks) & ~same
    clean = ~(same | near)
    if not clean.any():
        raise ValueError(
            f"{test.name}: every picture is, or looks like, one of {train.name}, as the same pictures stored anew "
            "would; make the splits anew"
        )
    shared = {"shared_pictures": int(same.sum()), "near_duplicates": int(near.sum())}
    return positions, TestSide(classes, np.searchsorted(classes, asked), test.index, clean, shared)
