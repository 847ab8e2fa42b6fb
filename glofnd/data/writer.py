"""Writes a split as webdataset tars and a manifest, bit for bit the same each time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from tarfile import BLOCKSIZE
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import webdataset

from glofnd.data.encoding import pictures_of
from glofnd.data.split import Split
from glofnd.files import atomic_open, sha256
from glofnd.progress import Progress

__all__ = ["pair_counts", "write_shards"]


def _padded(size: int) -> int:
    return -(-size // BLOCKSIZE) * BLOCKSIZE


def pair_counts(keys: Sequence[Any]) -> dict[str, float | int]:
    """How many unordered pairs of different samples share a key, and their share of all pairs.

    With uniform batches of B samples, an anchor meets share * (B - 1) false negatives on average.
    """
    pairs = sum(count * (count - 1) // 2 for count in Counter(keys).values())
    everything = len(keys) * (len(keys) - 1) // 2
    return {"pairs": pairs, "share": pairs / everything if everything else 0.0}


def _write_shard(handle: IO[bytes], samples: Iterator[tuple[dict[str, Any], str]]) -> npt.NDArray[np.int64]:
    """Write samples; per sample the offset and size of its picture, and those of its caption if it has one."""
    offsets = []
    position = 0
    with webdataset.TarWriter(handle, encoder=False, mtime=0, user="glofnd", group="glofnd") as tar:
        for sample, extension in samples:
            place: dict[str, list[int]] = {}
            for name in sorted(key for key in sample if key != "__key__"):  # the order in which TarWriter writes
                place[name] = [position + BLOCKSIZE, len(sample[name])]
                position += BLOCKSIZE + _padded(len(sample[name]))
            offsets.append(place[extension] + place.get("txt", []))
            tar.write(sample)
    return np.array(offsets)


def _samples(split: Split, pictures: Iterator[bytes], first: int, count: int) -> Iterator[tuple[dict[str, Any], str]]:
    for index in range(first, first + count):
        labels = {field: values[index] for field, values in split.labels.items()}
        sample = {
            "__key__": f"{index:09d}",
            split.extension: next(pictures),
            "json": json.dumps(labels, sort_keys=True).encode(),
        }
        if split.captions is not None:
            sample["txt"] = "\n".join(split.captions[index]).encode()
        yield sample, split.extension


def write_shards(
    split: Split, out: Path, *, shards: int, head: dict[str, Any], tail: dict[str, Any], processes: int = 1
) -> dict[str, Any]:
    """Write `out/000000.tar ...` and, last, `out/manifest.json`; returns the manifest.

    Args:
        shards: number of tars; their sizes differ by one sample at most.
        head: first entries of the manifest (data set, split, picture size).
        tail: further entries (licence, source, config).
        processes: how many encode pictures; the bytes written are the same for any number.

    Raises:
        ValueError: for an empty split, fewer samples than shards, or a picture that is not valid.
    """
    total = len(split)
    if total < shards:
        raise ValueError(
            f"{head['dataset']}/{head['split']}: {total} samples for {shards} shards; ask for fewer shards"
        )
    split.check()
    out.mkdir(parents=True, exist_ok=True)
    (out / "manifest.json").unlink(missing_ok=True)
    for stale in out.glob("*.tar"):
        stale.unlink()
    bar = Progress(total, f"{head['dataset']}/{head['split']}", "pictures")
    pictures = pictures_of(split, processes)
    entries = []
    first = 0
    for number in range(shards):
        count = total // shards + (number < total % shards)
        path = out / f"{number:06d}.tar"
        with atomic_open(path) as handle:
            offsets = _write_shard(handle, _samples(split, pictures, first, count))
        entries.append(
            {
                "file": path.name,
                "first_index": first,
                "samples": count,
                "bytes": path.stat().st_size,
                "sha256": sha256(path),
                "offsets": offsets,
            }
        )
        first += count
        bar.advance(count)
    bar.close()
    false_negatives = {field: pair_counts(values) for field, values in split.labels.items()}
    if split.captions is not None and "caption" not in split.labels:
        false_negatives["caption"] = pair_counts(["\n".join(lines) for lines in split.captions])
    manifest = {
        "format": 1,
        **head,
        "samples": total,
        "channels": split.channels,
        "classes": split.classes,
        "labels": split.labels,
        "captions": split.captions is not None,
        "false_negatives": false_negatives,
        **tail,
        "shards": entries,
    }
    _write_manifest(out / "manifest.json", manifest)
    return manifest


def _write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """A line per key and per shard: one per number would make the file of a large data set unreadable and slow.

    Of the offsets, whose text and lists would take most of the memory, a shard's are turned into text at a time.
    """
    with atomic_open(path, "w") as handle:
        for key, value in manifest.items():
            handle.write("{" if key == "format" else ",\n ")
            handle.write(f"{json.dumps(key)}: ")
            if key != "shards":
                handle.write(json.dumps(value, ensure_ascii=False))
                continue
            for number, entry in enumerate(value):
                handle.write(",\n  " if number else "[")
                handle.write(json.dumps({**entry, "offsets": entry["offsets"].tolist()}))
            handle.write("]")
        handle.write("}\n")
