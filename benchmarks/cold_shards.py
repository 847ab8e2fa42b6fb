"""One epoch from shards that are in no cache, shuffled over everything and in windows; beside it the disk's rate.

    python benchmarks/cold_shards.py            2 GB in the current folder, whose disk is measured; about 2 minutes

Samples have 100 kB and next to nothing to decode. Pages are dropped before each turn (`posix_fadvise`), but for "from
the cache": what the readers can take at most.
"""

from __future__ import annotations

import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from PIL import Image

from glofnd.data.split import Split
from glofnd.data.stream import ShardStream
from glofnd.data.writer import write_shards

SAMPLES, BYTES, SHARDS, TURNS = 20_000, 100_000, 40, 3


def padded(index: int) -> bytes:
    """A PNG of 8 x 8 pixels, and after its end what no reader looks at."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8), index % 256, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue() + np.random.default_rng(index).bytes(BYTES)


def end_to_end(folder: Path) -> int:
    """Read every tar as it lies; returns bytes."""
    buffer, total = bytearray(2**22), 0
    for path in sorted(folder.glob("*.tar")):
        with path.open("rb", buffering=0) as handle:
            while count := handle.readinto(buffer):
                total += count
    return total


def epoch(folder: Path, window: int | None) -> int:
    """Read an epoch with two workers; returns bytes."""
    stream = ShardStream(folder, batch_size=250, seed=1, window=window, cache_bytes=0, workers=2, verify=False)
    return sum(len(batch) * BYTES for batch in stream.epoch(0))


def rate(folder: Path, read: Callable[[], int], cold: bool) -> float:
    """MB a second, from a cold cache or as it is."""
    for path in folder.glob("*.tar") if cold else ():
        with path.open("rb") as handle:
            os.fsync(handle.fileno())
            os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    clock = time.perf_counter()
    return read() / 1e6 / (time.perf_counter() - clock)


def main() -> None:
    """Write shards, and read them in turns."""
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        labels = {"label": [0] * SAMPLES}
        split = Split({"label": ["a"]}, labels, range(SAMPLES), padded, channels=1)
        head = {"dataset": "cold", "split": "train", "image_size": 8}
        write_shards(split, folder, shards=SHARDS, head=head, tail={"licence": "", "source": {}, "config": {}})
        ways: dict[str, Callable[[], int]] = {
            "tars from end to end": lambda: end_to_end(folder),
            "windows of 4 shards": lambda: epoch(folder, 4),
            "windows of 4 shards, from the cache": lambda: epoch(folder, 4),
            "everything": lambda: epoch(folder, None),
        }
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(TURNS):
            for way, read in ways.items():
                rates[way].append(rate(folder, read, "from the cache" not in way))
        for way, found in rates.items():
            print(f"{way:36s} {statistics.median(found):6.0f} MB/s ({min(found):.0f} to {max(found):.0f})")


if __name__ == "__main__":
    main()
