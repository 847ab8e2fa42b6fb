"""Reads a shard manifest and checks that it is whole (docs/architecture.md, "Shards")."""

from __future__ import annotations

import hashlib
import json
import tarfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glofnd.data.bad_samples import printable
from glofnd.files import sha256

__all__ = [
    *("CHECKSUM", "CHECKSUM_END", "FORMAT", "NO_LABEL"),
    *("Manifest", "ManifestError", "Shard", "Skipped", "read_manifest", "verify_shards"),
]

FORMAT = 1
CHECKSUM, CHECKSUM_END = b',\n "checksum": "', b'"}\n'
"""Before and behind the SHA-256 of the text above it, at the end of a manifest."""
NO_LABEL = -1
"""Stands where a sample is left out."""
LARGEST_SIDE = 2**16
_AGAIN = "make the shards again: delete their folder and run the workflow, or `python -m glofnd.data shard`"
Index = npt.NDArray[np.int64]

# Length of the name at the start of a tar header.
_NAME_BYTES = 100

_TYPES: dict[str, type] = {
    "dataset": str,
    "split": str,
    "samples": int,
    "image_size": int,
    "channels": int,
    "classes": dict,
    "labels": dict,
    "captions": bool,
    "licence": str,
    "source": dict,
    "config": dict,
    "shards": list,
}
_SHARD_TYPES: dict[str, type] = {
    "file": str,
    "first_index": int,
    "samples": int,
    "bytes": int,
    "sha256": str,
    "offsets": list,
}


_SKIPPED_TYPES: dict[str, type] = {"index": int, "where": str, "reason": str}


class ManifestError(ValueError):
    """A manifest or shard is not what it should be; the message names the file and, where there is one, the sample."""


@dataclass(frozen=True)
class Skipped:
    """A sample that was left out when the shards were made, and why."""

    index: int
    where: str
    reason: str


@dataclass(frozen=True)
class Shard:
    """One tar of `samples` samples.

    `offsets` int64 `[indices, 2 or 4]`: offset and size of the picture, then of the caption, of each index from
    `first_index` on; zeros where the sample is left out.
    """

    path: Path
    first_index: int
    samples: int
    bytes: int
    sha256: str
    offsets: Index


@dataclass(frozen=True)
class Manifest:
    """One split of `samples` samples, with indices below `indices`; those of `skipped` are vacant.

    `labels[field]` is int64 `[indices]`, by sample index: numbers of `classes[field]`, `NO_LABEL` at vacant indices.
    """

    path: Path
    dataset: str
    split: str
    samples: int
    image_size: int
    channels: int
    classes: dict[str, list[str]]
    labels: dict[str, Index]
    captions: bool
    licence: str
    source: dict[str, Any]
    config: dict[str, Any]
    shards: list[Shard]
    skipped: list[Skipped]

    @property
    def indices(self) -> int:
        """One more than the largest sample index: the size of whatever is kept per sample."""
        return self.samples + len(self.skipped)

    @cached_property
    def index(self) -> Index:
        """Indices of all samples, int64 `[samples]`, ascending."""
        return np.delete(np.arange(self.indices), [sample.index for sample in self.skipped])

    def sha256(self) -> str:
        """Hex SHA-256 of the manifest file; since it holds the shards' checksums it identifies the whole split."""
        return sha256(self.path)


def _typed(value: Any, types: dict[str, type], where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ManifestError(f"{where}: not a JSON object; {_AGAIN}")
    for key, kind in types.items():
        if key not in value:
            raise ManifestError(f"{where}: key {key!r} is missing; {_AGAIN}")
        if not isinstance(value[key], kind) or (kind is int and isinstance(value[key], bool)):
            raise ManifestError(f"{where}: {key!r} is {type(value[key]).__name__}, not {kind.__name__}")
    return value


def _integers(value: Any, shape: tuple[int, ...], where: str) -> Index:
    try:
        array = np.asarray(value) if value else np.empty((0, *shape[1:]), np.int64)
    except ValueError:  # rows of different length
        array = np.empty(())
    if array.shape != shape or array.dtype.kind != "i":
        raise ManifestError(f"{where} are not {' rows of '.join(map(str, shape))} integers; {_AGAIN}")
    return array.astype(np.int64)


def _skipped(content: dict[str, Any], where: str) -> list[Skipped]:
    """The samples left out, in the order of their indices."""
    found = content.get("skipped", [])
    if not isinstance(found, list):
        raise ManifestError(f"{where}: 'skipped' is {type(found).__name__}, not list; {_AGAIN}")
    skipped = list[Skipped]()
    indices = content["samples"] + len(found)
    for entry in found:
        _typed(entry, _SKIPPED_TYPES, f"{where}: an entry of 'skipped'")
        if not (skipped[-1].index if skipped else -1) < entry["index"] < indices:
            raise ManifestError(f"{where}: the skipped sample {entry['index']} is out of order or range; {_AGAIN}")
        skipped.append(Skipped(**{key: entry[key] for key in _SKIPPED_TYPES}))
    return skipped


def _labels(content: dict[str, Any], vacant: Index, where: str) -> dict[str, Index]:
    labels = {}
    indices = content["samples"] + len(vacant)
    empty = np.isin(np.arange(indices), vacant)
    for field, values in content["labels"].items():
        names = content["classes"].get(field)
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise ManifestError(f"{where}: label field {field!r} has no class names under 'classes'; {_AGAIN}")
        array = _integers(values, (indices,), f"{where}: labels of {field!r}")
        wrong = np.flatnonzero(np.where(empty, array != NO_LABEL, (array < 0) | (array >= len(names))))
        if len(wrong):
            raise ManifestError(
                f"{where}: sample {wrong[0]} has {field} {array[wrong[0]]}, out of range for {len(names)} classes"
            )
        labels[field] = array
    return labels


def _shard(value: Any, folder: Path, first: int, width: int, vacant: Index, where: str) -> Shard:
    entry = _typed(value, _SHARD_TYPES, where)
    path = folder / entry["file"]
    where = f"{where} ({printable(entry['file'])})"
    if path.parent != folder:
        raise ManifestError(f"{where}: a shard lies beside its manifest, not in another folder")
    if entry["first_index"] != first:
        raise ManifestError(f"{where}: first_index is {entry['first_index']}, but {first} indices stand before it")
    rows = len(entry["offsets"])
    offsets = _integers(entry["offsets"], (rows, width), f"{where}: offsets")
    kept = ~np.isin(np.arange(first, first + rows), vacant)
    if kept.sum() != entry["samples"]:
        raise ManifestError(f"{where}: offsets are not those of {entry['samples']} samples; {_AGAIN}")
    if offsets[~kept].any():
        raise ManifestError(f"{where}: offsets of a skipped sample are not 0; {_AGAIN}")
    there = offsets[kept]
    starts, ends = there[:, 0::2].ravel(), (there[:, 0::2] + there[:, 1::2]).ravel()
    if (there < 0).any() or (ends > entry["bytes"]).any():
        raise ManifestError(f"{where}: an offset lies outside the file's {entry['bytes']} bytes")
    if len(overlap := np.flatnonzero(starts[1:] < ends[:-1])):
        key = first + np.flatnonzero(kept)[int(overlap[0] + 1) // (width // 2)]
        raise ManifestError(f"{where}: sample {key:09d} overlaps the one before it (a duplicate?)")
    return Shard(path, first, entry["samples"], entry["bytes"], entry["sha256"], offsets)


def _vouched(data: bytes) -> bool:
    """Whether a manifest ends with the checksum of what stands before it."""
    end = max(data.rfind(CHECKSUM), 0)
    return data[end:] == CHECKSUM + hashlib.sha256(memoryview(data)[:end]).hexdigest().encode() + CHECKSUM_END


def _content(path: Path) -> Any:
    """What the file says, after comparing it with its own checksum (manifests of earlier versions have none)."""
    if not path.is_file():
        raise ManifestError(f"{path}: missing; write the shards with `python -m glofnd.data shard`")
    data = path.read_bytes()
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path}: not valid JSON ({error}); {_AGAIN}") from error
    if isinstance(content, dict) and "checksum" in content and not _vouched(data):
        raise ManifestError(f"{path}: changed since it was written, its checksum differs; {_AGAIN}")
    return content


def read_manifest(folder: Path) -> Manifest:
    """Read and check `folder/manifest.json`.

    Raises:
        ManifestError: naming file and key.
    """
    path = folder / "manifest.json"
    where = str(path)
    content = _content(path)
    if isinstance(content, dict) and content.get("format") != FORMAT:
        raise ManifestError(f"{where}: format is {content.get('format')!r}, this program reads {FORMAT}")
    content = _typed(content, _TYPES, where)
    if content["channels"] not in {1, 3}:
        raise ManifestError(f"{where}: channels is {content['channels']}, not 1 or 3")
    if not 0 < content["image_size"] <= LARGEST_SIDE:
        raise ManifestError(f"{where}: image_size is {content['image_size']}, not 1 to {LARGEST_SIDE}")
    skipped = _skipped(content, where)
    vacant = np.array([sample.index for sample in skipped], np.int64)
    shards = []
    first = 0
    for number, value in enumerate(content["shards"]):
        shard = _shard(value, folder, first, 4 if content["captions"] else 2, vacant, f"{where}: shard {number}")
        shards.append(shard)
        first += len(shard.offsets)
    held = sum(shard.samples for shard in shards)
    if held != content["samples"]:
        raise ManifestError(f"{where}: the shards hold {held} samples, but 'samples' is {content['samples']}")
    values = {key: content[key] for key in _TYPES} | {"labels": _labels(content, vacant, where), "skipped": skipped}
    return Manifest(path=path, **{**values, "shards": shards})


def verify_shards(manifest: Manifest) -> None:
    """Check every shard's size, SHA-256 and member names against the manifest.

    Raises:
        ManifestError: naming the first shard that is missing, truncated or changed, or member that has the wrong key.
    """
    for shard in manifest.shards:
        if not shard.path.is_file():
            raise ManifestError(f"{shard.path}: missing; {_AGAIN}")
        size = shard.path.stat().st_size
        if size != shard.bytes:
            raise ManifestError(f"{shard.path}: {size} bytes instead of {shard.bytes} (truncated?); {_AGAIN}")
        if sha256(shard.path) != shard.sha256:
            raise ManifestError(f"{shard.path}: SHA-256 differs from the manifest's; {_AGAIN}")
        _check_keys(shard)


def _check_keys(shard: Shard) -> None:
    """Every offset must follow the tar header of a member that has the sample's index as its key."""
    with shard.path.open("rb") as handle:
        for row in np.flatnonzero(shard.offsets[:, 0]):
            key = f"{shard.first_index + row:09d}"
            for offset in shard.offsets[row, 0::2].tolist():
                handle.seek(offset - tarfile.BLOCKSIZE)
                name = handle.read(_NAME_BYTES).rstrip(b"\0").decode(errors="replace")
                if name.partition(".")[0] != key:
                    raise ManifestError(
                        f"{shard.path}: member {name!r} stands where sample {key} should (a duplicate?)"
                    )
