"""Writes a split as webdataset tars and a manifest, bit for bit the same each time."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from tarfile import BLOCKSIZE
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import webdataset

from glofnd.data.manifest import CHECKSUM, CHECKSUM_END, FORMAT, NO_LABEL
from glofnd.data.split import BadSampleError, Split
from glofnd.files import atomic_open, sha256
from glofnd.progress import progress

__all__ = ["pair_counts", "write_shards"]

# Starting a process costs about as much as encoding this many small pictures.
_PARALLEL_FROM = 1000
# Pictures a process encodes at a time.
_CHUNK = 64

Encoded = bytes | BadSampleError | FileNotFoundError


def _encoded(encode: Callable[[Any], bytes], payloads: list[Any]) -> list[Encoded]:
    found: list[Encoded] = []
    for payload in payloads:
        try:
            found.append(encode(payload))
        except (BadSampleError, FileNotFoundError) as problem:
            found.append(problem)
    return found


def _in_order(encode: Callable[[Any], bytes], payloads: Iterator[Any], processes: int) -> Iterator[Encoded]:
    """Every picture in order; two chunks per process are under way at once."""
    if processes < 2:
        for payload in payloads:
            yield from _encoded(encode, [payload])
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        waiting: deque[Future[list[Encoded]]] = deque()
        try:
            while chunk := list(islice(payloads, _CHUNK)):
                waiting.append(pool.submit(_encoded, encode, chunk))
                if len(waiting) >= 2 * processes:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _pictures(split: Split, processes: int) -> Iterator[bytes | None]:
    """Every picture in order, `None` where the sample is left out."""
    bad = split.bad_samples
    known = frozenset(bad.found)
    wanted = (split.payloads[index] for index in range(len(split)) if index not in known)
    pictures = _in_order(split.encode, wanted, processes if len(split) >= _PARALLEL_FROM else 1)
    for index in range(len(split)):
        picture = None if index in known else next(pictures)
        if isinstance(picture, BadSampleError | FileNotFoundError):
            bad.meet(index, picture)
            bad.check(len(split))
            picture = None
        yield picture


def _write_shard(
    handle: IO[bytes], split: Split, pictures: Iterator[bytes | None], indices: range
) -> npt.NDArray[np.int64]:
    """Write samples; per index the offset and size of its picture and captions, zeros where it is left out."""
    shown = [split.extension] if split.captions is None else [split.extension, "txt"]
    offsets = []
    with webdataset.TarWriter(handle, encoder=False, mtime=0, user="glofnd", group="glofnd") as tar:
        for index, picture in zip(indices, pictures, strict=False):
            if picture is None:
                offsets.append([0, 0] * len(shown))
                continue
            labels = {field: values[index] for field, values in split.labels.items()}
            members = {split.extension: picture, "json": json.dumps(labels, sort_keys=True).encode()}
            if split.captions is not None:
                members["txt"] = "\n".join(split.captions[index]).encode()
            place: dict[str, list[int]] = {}
            position = tar.tarstream.offset
            for extension in sorted(members):  # the order in which TarWriter writes
                size = len(members[extension])
                place[extension] = [position + BLOCKSIZE, size]
                position += BLOCKSIZE + -(-size // BLOCKSIZE) * BLOCKSIZE
            tar.write({"__key__": f"{index:09d}", **members})
            offsets.append([number for extension in shown for number in place[extension]])
    return np.array(offsets)


def pair_counts(keys: Sequence[Any]) -> dict[str, float | int]:
    """How many unordered pairs of different samples share a key, and their share of all pairs.

    With uniform batches of B samples, an anchor meets share * (B - 1) false negatives on average.
    """
    pairs = sum(count * (count - 1) // 2 for count in Counter(keys).values())
    everything = len(keys) * (len(keys) - 1) // 2
    return {"pairs": pairs, "share": pairs / everything if everything else 0.0}


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
        shards: number of tars, fewer where there are fewer samples; their sizes differ by one sample at most.
        head: first entries of the manifest (data set, split, picture size).
        tail: further entries (licence, source, config).
        processes: how many encode pictures; the bytes written are the same for any number.

    Raises:
        ValueError: for an empty split, or a sample that is not valid where the split's policy is to fail, or too many,
            or all of a class, where it is to leave them out.
    """
    total, shards = len(split), min(shards, len(split))
    if not total:
        raise ValueError(f"{head['dataset']}/{head['split']}: has no samples")
    split.check()
    out.mkdir(parents=True, exist_ok=True)
    (out / "manifest.json").unlink(missing_ok=True)
    for stale in out.glob("*.tar"):
        stale.unlink()
    name = f"{head['dataset']}/{head['split']}"
    pictures = iter(progress(_pictures(split, processes), total, name, "pictures"))
    entries, first = list[dict[str, Any]](), 0
    for number in range(shards):
        count = total // shards + (number < total % shards)
        path = out / f"{number:06d}.tar"
        with atomic_open(path) as handle:
            offsets = _write_shard(handle, split, pictures, range(first, first + count))
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
    next(pictures, None)  # ends the progress bar
    _check_classes(split)
    bad = split.bad_samples.found
    skipped = [{"index": i, "where": found.where, "reason": found.reason} for i, found in sorted(bad.items())]
    false_negatives = {field: pair_counts(_kept(split, values)) for field, values in split.labels.items()}
    if split.captions is not None and "caption" not in split.labels:
        false_negatives["caption"] = pair_counts(["\n".join(lines) for lines in _kept(split, split.captions)])
    labels = {
        field: [NO_LABEL if index in bad else value for index, value in enumerate(values)]
        for field, values in split.labels.items()
    }
    manifest = {
        "format": FORMAT,
        **head,
        "samples": total - len(skipped),
        **({"skipped": skipped} if skipped else {}),
        "channels": split.channels,
        "classes": split.classes,
        "labels": labels,
        "captions": split.captions is not None,
        "false_negatives": false_negatives,
        **tail,
        "shards": entries,
    }
    _write_manifest(out / "manifest.json", manifest)
    return manifest


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
