"""Opening shards of millions of samples: seconds and memory of a process, on a made-up index without pictures.

    python benchmarks/shard_index.py                 3.3 and 100 million samples, 5 GB in a temporary folder
    python benchmarks/shard_index.py --samples 1e6

"open" is `ShardStream`, "batches" are index, labels and places of 1,000 random batches of 256, as an epoch reads them.
Memory is what a new process holds more than before: private, and shared with other processes (pages of the columns).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from glofnd.data.manifest import CHECKSUM, CHECKSUM_END, FORMAT
from glofnd.data.stream import ShardStream

PER_SHARD = 10_000


def make_up(folder: Path, samples: int) -> None:
    """The manifest and columns of so many image-text pairs in shards of 10,000."""
    where = np.lib.format.open_memmap(folder / "offsets.npy", "w+", np.int64, (samples, 6))
    labels = np.lib.format.open_memmap(folder / "labels.npy", "w+", np.int64, (1, samples))
    for first in range(0, samples, 2**20):
        rows = np.arange(first, min(first + 2**20, samples))
        where[rows], labels[0, rows] = rows[:, None], rows % 1000
    where.flush(), labels.flush()
    shards = [
        {"file": f"{n:06d}.tar", "bytes": 0, "sha256": "0" * 64, "first_index": n * PER_SHARD, "samples": PER_SHARD}
        for n in range(samples // PER_SHARD)
    ]
    head = {"dataset": "made-up", "split": "train", "image_size": 224, "samples": samples, "channels": 3}
    tail = {"fields": ["label"], "captions": True, "false_negatives": {}, "licence": "", "source": {}, "config": {}}
    text = json.dumps({"format": FORMAT, **head, **tail, "columns": [], "shards": shards})[:-1].encode()
    checksum = hashlib.sha256(text).hexdigest().encode()
    (folder / "manifest.json").write_bytes(text + CHECKSUM + checksum + CHECKSUM_END)


def held() -> dict[str, float]:
    """MB of this process's memory that are its own, and that it shares."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    own = kilobytes["Private_Dirty"]
    return {"private": own / 1000, "shared": (kilobytes["Rss"] - own) / 1000}


def measure(folder: Path) -> dict[str, float]:
    """What one process needs to open the shards, to start an epoch in the middle, and to read 1,000 batches."""
    before, clock = held(), time.perf_counter()
    stream = ShardStream(folder, batch_size=256, seed=1, verify=False, cache_bytes=0)
    opened = time.perf_counter()
    order, start = stream.order(3), stream.batches_per_epoch // 2
    first = order(np.arange(start * 256, start * 256 + 256))
    started = time.perf_counter()
    for number in range(1000):
        part = order(np.arange(number * 256, number * 256 + 256))
        first = stream.manifest.offsets[part], stream.manifest.labels["label"][part]
    assert len(first[0]) == 256
    done, after = time.perf_counter(), held()
    times = {"open s": opened - clock, "start s": started - opened, "batch ms": done - started}
    return times | {f"{name} MB": after[name] - before[name] for name in after}


def main() -> None:
    """Make up an index, and measure in a new process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=float, nargs="+", default=[3.3e6, 1e8])
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder:
        print(json.dumps(measure(arguments.folder)))
        return
    for samples in map(int, arguments.samples):
        with tempfile.TemporaryDirectory() as folder:
            make_up(Path(folder), samples)
            command = [sys.executable, __file__, "--folder", folder]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"{samples:>12,} samples:", ", ".join(f"{name} {value:.3g}" for name, value in found.items()))


if __name__ == "__main__":
    main()
