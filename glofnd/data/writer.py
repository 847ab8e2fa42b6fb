"""Writes a split as webdataset tars and a manifest, bit for bit the same each time."""

from __future__ import annotations

import hashlib
import json
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import webdataset

from glofnd.data.manifest import CHECKSUM, CHECKSUM_END, FORMAT, NO_LABEL
from glofnd.data.pictures import read_ahead
from glofnd.data.split import BadSampleError, Index, Split
from glofnd.files import atomic_open, sha256, write_json
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


def _pictures(split: Split, processes: int) -> Iterator[bytes | None]:
    """Every picture in order, `None` where the sample is left out."""
    bad = split.bad_samples
    known = frozenset(bad.found)
    wanted = (split.payloads[index] for index in range(len(split)) if index not in known)
    chunks = iter(lambda: list(islice(wanted, _CHUNK)), [])
    workers = processes if processes > 1 and len(split) >= _PARALLEL_FROM else 0
    spawned = partial(ProcessPoolExecutor, mp_context=get_context("spawn"))
    pictures = chain.from_iterable(read_ahead(partial(_encoded, split.encode), chunks, workers, spawned))
    for index in range(len(split)):
        picture = None if index in known else next(pictures)
        if isinstance(picture, BadSampleError | FileNotFoundError):
            bad.meet(index, picture)
            bad.check(len(split))
            picture = None
        yield picture


def _write_shard(
    path: Path, split: Split, pictures: Iterator[bytes | None], indices: range
) -> tuple[dict[str, Any], Index]:
    """Write samples; returns what the manifest says of the tar, and where in it each sample's members are."""
    samples, crc = 0, dict[str, int]()
    with (
        atomic_open(path) as handle,
        webdataset.TarWriter(handle, encoder=False, mtime=0, user="glofnd", group="glofnd") as tar,
    ):
        for index, picture in zip(indices, pictures, strict=False):
            if picture is None:
                continue
            labels = {field: values[index] for field, values in split.labels.items()}
            members = {split.extension: picture, "json": json.dumps(labels, sort_keys=True).encode()}
            if split.captions is not None:
                members["txt"] = "\n".join(split.captions[index]).encode()
            tar.write({"__key__": f"{index:09d}", **members})
            crc |= {f"{index:09d}.{extension}": zlib.crc32(data) for extension, data in members.items()}
            samples += 1
    with tarfile.open(path) as written:
        places = {member.name: (member.offset_data, member.size, crc[member.name]) for member in written}
    shown = [split.extension] if split.captions is None else [split.extension, "txt"]
    where = [
        [number for extension in shown for number in places.get(f"{index:09d}.{extension}", (0, 0, 0))]
        for index in indices
    ]
    return {**_entry(path), "first_index": indices.start, "samples": samples}, np.array(where, np.int64)


def _entry(path: Path) -> dict[str, Any]:
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}


def _write_column(path: Path, values: Index) -> dict[str, Any]:
    with atomic_open(path) as handle:
        np.save(handle, values)
    return _entry(path)


def pair_counts(keys: Sequence[Any]) -> dict[str, float | int]:
    """How many unordered pairs of different samples share a key, and their share of all pairs.

    With uniform batches of B samples, an anchor meets share * (B - 1) false negatives on average.
    """
    pairs = sum(count * (count - 1) // 2 for count in Counter(keys).values())
    everything = len(keys) * (len(keys) - 1) // 2
    return {"pairs": pairs, "share": pairs / everything if everything else 0.0}


def _check_classes(split: Split) -> None:
    """No class may have lost all its samples; captions, which are classes of the label field `caption`, may go."""
    for field, values in split.labels.items():
        left_out = {values[index] for index in split.bad_samples.found} - {NO_LABEL} if field != "caption" else set()
        if left_out and (lost := left_out - set(split.kept(values))):
            raise ValueError(f"every sample of {field} {split.classes[field][min(lost)]!r} is bad; repair some of them")


def write_shards(
    split: Split, out: Path, *, shards: int, head: dict[str, Any], tail: dict[str, Any], processes: int = 1
) -> dict[str, Any]:
    """Write `out/000000.tar ...` and, last, `out/manifest.json`; returns the manifest without its shards.

    Args:
        shards: number of tars, fewer where there are fewer samples; their sizes differ by one sample at most.
        head: first entries of the manifest (data set, split, picture size).
        tail: further entries (licence, source, config).
        processes: how many encode pictures; the bytes written are the same for any number.

    Raises:
        ValueError: for an empty split, or a sample that is not valid where the split's policy is to fail, or too many,
            or all of a class, where it is to leave them out.
    """
    total, shards, name = len(split), min(shards, len(split)), f"{head['dataset']}/{head['split']}"
    if not total:
        raise ValueError(f"{name}: has no samples")
    split.check()
    out.mkdir(parents=True, exist_ok=True)
    (out / "manifest.json").unlink(missing_ok=True)
    for stale in (*out.glob("*.tar"), *out.glob("*.npy"), *out.glob(".*.part")):
        stale.unlink()
    pictures = iter(progress(_pictures(split, processes), total, name, "pictures"))
    entries, offsets = [], []
    for number in range(shards):
        first, after = (place * (total // shards) + min(place, total % shards) for place in (number, number + 1))
        entry, where = _write_shard(out / f"{number:06d}.tar", split, pictures, range(first, after))
        entries.append(json.dumps(entry))
        offsets.append(where)
    next(pictures, None)  # ends the progress bar
    _check_classes(split)
    bad = split.bad_samples.found
    skipped = [{"index": i, "where": found.where, "reason": found.reason} for i, found in sorted(bad.items())]
    false_negatives = {field: pair_counts(split.kept(values)) for field, values in split.labels.items()}
    if split.captions is not None and "caption" not in split.labels:
        false_negatives["caption"] = pair_counts(["\n".join(lines) for lines in split.kept(split.captions)])
    labels = np.array([*split.labels.values()], np.int64).reshape(-1, total)
    labels[:, [*bad]] = NO_LABEL
    write_json(out / "classes.json", split.classes)
    columns = [
        _write_column(out / "offsets.npy", np.concatenate(offsets)),
        _write_column(out / "labels.npy", labels),
        _entry(out / "classes.json"),
    ]
    manifest = {
        "format": FORMAT,
        **head,
        "samples": total - len(skipped),
        **({"skipped": skipped} if skipped else {}),
        **({"aside": split.aside} if split.aside else {}),
        "channels": split.channels,
        "fields": [*split.labels],
        "captions": split.captions is not None,
        "false_negatives": false_negatives,
        **tail,
        "columns": columns,
    }
    _write_manifest(out / "manifest.json", manifest, entries)
    return manifest


def _write_manifest(path: Path, manifest: dict[str, Any], shards: list[str]) -> None:
    """A line per key and per shard (one per number would be unreadable), then the SHA-256 of all the text before."""
    lines = (f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)},\n " for key, value in manifest.items())
    following = (f",\n  {entry}" for entry in shards[1:])
    checksum = hashlib.sha256()
    with atomic_open(path) as handle:
        for part in chain("{", lines, [f'"shards": [{shards[0]}'], following, "]"):
            data = part.encode()
            checksum.update(data)
            handle.write(data)
        handle.write(CHECKSUM + checksum.hexdigest().encode() + CHECKSUM_END)
