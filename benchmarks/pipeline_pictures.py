"""Pictures on disk for benchmarks/pipeline.py: one set of encoded files, as shards and as a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from glofnd.data.datasets.pictures import encoded
from glofnd.data.split import Split
from glofnd.data.writer import write_shards

__all__ = ["Pictures", "write_pictures"]

_CLASSES, _SHARDS = 4, 4


@dataclass(frozen=True)
class Pictures:
    """The same bytes twice: `shards` (tars and manifest.json), `folder` (folder/class/picture)."""

    shards: Path
    folder: Path
    count: int
    size: int
    bytes_per_picture: float


def _payloads(count: int, size: int, extension: str) -> list[bytes]:
    """Random squares of scikit-learn's two sample photographs, resized: as hard to decode as any photograph."""
    photographs = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    draw = np.random.default_rng(0)
    found = []
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        side = int(draw.integers(min(size, 112), min(photograph.size) + 1))
        left, top = (int(draw.integers(length - side + 1)) for length in photograph.size)
        square = photograph.crop((left, top, left + side, top + side))
        found.append(encoded(square.resize((size, size), Image.Resampling.BICUBIC), extension))
    return found


def write_pictures(folder: Path, count: int, size: int, extension: str) -> Pictures:
    """Write `count` pictures of `size` pixels a side: PNG (`png`) or JPEG of quality 95 (`jpg`), as in shards."""
    payloads = _payloads(count, size, extension)
    labels = [number % _CLASSES for number in range(count)]
    for number, data in enumerate(payloads):
        path = folder / "files" / f"class{labels[number]}" / f"{number:09d}.{extension}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    split = Split(
        classes={"label": [f"class{number}" for number in range(_CLASSES)]},
        labels={"label": labels},
        payloads=payloads,
        encode=bytes,
        channels=3,
        extension=extension,
    )
    head = {"dataset": "photographs", "split": "train", "image_size": size}
    tail = {"licence": "of scikit-learn's sample images", "source": {}, "config": {}}
    write_shards(split, folder / "shards", shards=_SHARDS, head=head, tail=tail)
    return Pictures(folder / "shards", folder / "files", count, size, sum(map(len, payloads)) / count)
