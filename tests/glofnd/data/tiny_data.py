"""Tiny pictures, idx files and shards for the tests of glofnd.data."""

import io
import json

import numpy as np
from PIL import Image

from glofnd.data.split import Split
from glofnd.data.writer import write_shards


def idx(array):
    """An array of bytes in idx format."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


def picture(value, channels=3, size=8):
    """PNG of one flat picture whose value identifies it."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((size, size, 3) if channels == 3 else (size, size), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def tiny_split(samples=22, channels=3, captions=True):
    return Split(
        classes={"label": ["a", "b", "c"], "half": ["low", "high"]},
        labels={"label": [i % 3 for i in range(samples)], "half": [int(i >= samples / 2) for i in range(samples)]},
        payloads=[picture(i, channels) for i in range(samples)],
        encode=bytes,
        channels=channels,
        captions=[[f"text {i % 3}", f"other {i}", f"third {i}"] for i in range(samples)] if captions else None,
    )


def write(split, out, shards=3):
    head = {"dataset": "tiny", "split": "train", "image_size": 8}
    return write_shards(split, out, shards=shards, head=head, tail={"licence": "CC0", "source": {}, "config": {}})


def edit_manifest(folder, change):
    """Change what a manifest says; without its checksum, so that what reads it sees the change."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    del content["checksum"]
    change(content)
    path.write_text(json.dumps(content))
