"""Writes a split as webdataset tars and a manifest, bit for bit the same each time."""

from __future__ import annotations

import hashlib
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
from glofnd.data.manifest import CHECKSUM, CHECKSUM_END, FORMAT, NO_LABEL
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


def _write_shard(
    handle: IO[bytes], samples: Iterator[dict[str, Any] | None], members: list[str]
) -> npt.NDArray[np.int64]:
    """Write samples; per index the offset and size of each of `members`, zeros where the sample is left out."""
    offsets = []
    position = 0
    with webdataset.TarWriter(handle, encoder=False, mtime=0, user="glofnd", group="glofnd") as tar:
        for sample in samples:
            if sample is None:
                offsets.append([0, 0] * len(members))
                continue
            place: dict[str, list[int]] = {}
            for name in sorted(key for key in sample if key != "__key__"):  # the order in which TarWriter writes
                place[name] = [position + BLOCKSIZE, len(sample[name])]
                position += BLOCKSIZE + _padded(len(sample[name]))
            offsets.append([number for name in members for number in place[name]])
            tar.write(sample)
    return np.array(offsets)


def _samples(split: Split, pictures: Iterator[bytes | None], first: int, count: int) -> Iterator[dict[str, Any] | None]:
    for index in range(first, first + count):
        picture = next(pictures)
        if picture is None:
            yield None
            continue
        labels = {field: values[index] for field, values in split.labels.items()}
        sample = {
            "__key__": f"{index:09d}",
            split.extension: picture,
            "json": json.dumps(labels, sort_keys=True).encode(),
        }
        if split.captions is not None:
            sample["txt"] = "\n".join(split.captions[index]).encode()
        yield sample


def _kept(split: Split, values: Sequence[Any]) -> list[Any]:
    """What stands for the samples that are not left out."""
    return [value for index, value in enumerate(values) if index not in split.bad_samples.found]


def _check_classes(split: Split) -> None:
    """No class may have lost all its samples; captions, which are classes of the label field `caption`, may go."""
    for field, values in split.labels.items():
        left_out = {values[index] for index in split.bad_samples.found} - {NO_LABEL} if field != "caption" else set()
        if left_out and (lost := left_out - set(_kept(split, values))):
            raise ValueError(f"every sample of {field} {split.classes[field][min(lost)]!r} is bad; repair some of them")


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
        ValueError: for an empty split, fewer samples than shards, or a sample that is not valid where the split's
            policy is to fail, or too many, or all of a class, where it is to leave them out.
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
    members = [split.extension] if split.captions is None else [split.extension, "txt"]
    entries = []
    first = 0
    for number in range(shards):
        count = total // shards + (number < total % shards)
        path = out / f"{number:06d}.tar"
        with atomic_open(path) as handle:
            offsets = _write_shard(handle, _samples(split, pictures, first, count), members)
        entries.append(
            {
                "file": path.name,
                "first_index": first,
                "samples": int(offsets[:, 0].astype(bool).sum()),
                "bytes": path.stat().st_size,
                "sha256": sha256(path),
                "offsets": offsets,
            }
        )
        first += count
        bar.advance(count)
    bar.close()
    _check_classes(split)
    skipped = split.bad_samples.noted()
    false_negatives = {field: pair_counts(_kept(split, values)) for field, values in split.labels.items()}
    if split.captions is not None and "caption" not in split.labels:
        false_negatives["caption"] = pair_counts(["\n".join(lines) for lines in _kept(split, split.captions)])
    manifest = {
        "format": FORMAT,
        **head,
        "samples": total - len(skipped),
        **({"skipped": skipped} if skipped else {}),
        "channels": split.channels,
        "classes": split.classes,
        "labels": {field: _labels(split, values) for field, values in split.labels.items()},
        "captions": split.captions is not None,
        "false_negatives": false_negatives,
        **tail,
        "shards": entries,
    }
    _write_manifest(out / "manifest.json", manifest)
    return manifest


def _labels(split: Split, values: list[int]) -> list[int]:
    if not split.bad_samples.found:
        return values
    return [NO_LABEL if index in split.bad_samples.found else value for index, value in enumerate(values)]


def _manifest_parts(manifest: dict[str, Any]) -> Iterator[str]:
    """A line per key and per shard: one per number would make the file of a large data set unreadable and slow.

    Of the offsets, whose text and lists would take most of the memory, a shard's are turned into text at a time.
    """
    for key, value in manifest.items():
        yield "{" if key == "format" else ",\n "
        yield f"{json.dumps(key)}: "
        if key != "shards":
            yield json.dumps(value, ensure_ascii=False)
            continue
        for number, entry in enumerate(value):
            yield ",\n  " if number else "["
            yield json.dumps({**entry, "offsets": entry["offsets"].tolist()})
        yield "]"


def _write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """The manifest, and the SHA-256 of all its text before that."""
    checksum = hashlib.sha256()
    with atomic_open(path) as handle:
        for part in _manifest_parts(manifest):
            data = part.encode()
            checksum.update(data)
            handle.write(data)
        handle.write(CHECKSUM + checksum.hexdigest().encode() + CHECKSUM_END)
