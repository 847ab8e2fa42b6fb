"""Tiny pictures and shards for the tests of glofnd.data."""

import io

import numpy as np
from PIL import Image

from glofnd.data.split import Split
from glofnd.data.writer import write_shards


def picture(value, channels=3, size=8):
    """PNG of one flat picture whose value identifies it."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((size, size, 3) if channels == 3 else (size, size), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def photo(path, value, size=(20, 14)):
    """A flat picture in a file of the kind that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)


def shown(split, index):
    """The mean value of a picture of a split."""
    with Image.open(io.BytesIO(split.encode(split.payloads[index]))) as image:
        return float(np.asarray(image).mean())


def tiny_split(samples=22, channels=3, captions=True):
    return Split(
        classes={"label": ["a", "b", "c"], "half": ["low", "high"]},
        labels={"label": [i % 3 for i in range(samples)], "half": [int(i >= samples / 2) for i in range(samples)]},
        payloads=[picture(i, channels) for i in range(samples)],
        encode=bytes,
        channels=channels,
        captions=[[f"text {i % 3}", f"other {i}", f"third {i}"] for i in range(samples)] if captions else None,
    )


def write(split, out, shards=3, processes=1):
    head = {"dataset": "tiny", "split": "train", "image_size": 8}
    tail = {"licence": "CC0", "source": {}, "config": {}}
    return write_shards(split, out, shards=shards, head=head, tail=tail, processes=processes)
