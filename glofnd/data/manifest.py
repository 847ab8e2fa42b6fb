"""Reads a shard manifest and checks that it is whole (docs/architecture.md, "Shards")."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glofnd.files import read_json, sha256

__all__ = ["FORMAT", "Manifest", "ManifestError", "Shard", "read_manifest", "verify_shards"]

FORMAT = 1
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


class ManifestError(ValueError):
    """A manifest or shard is not what it should be; the message names the file and, where there is one, the sample."""


@dataclass(frozen=True)
class Shard:
    """One tar. `offsets` int64 `[samples, 2 or 4]`: offset and size of the picture, then of the caption."""

    path: Path
    first_index: int
    samples: int
    bytes: int
    sha256: str
    offsets: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Manifest:
    """One split. `labels[field]` is int64 `[samples]`, indices into `classes[field]`."""

    path: Path
    dataset: str
    split: str
    samples: int
    image_size: int
    channels: int
    classes: dict[str, list[str]]
    labels: dict[str, npt.NDArray[np.int64]]
    captions: bool
    licence: str
    source: dict[str, Any]
    config: dict[str, Any]
    shards: list[Shard]

    def sha256(self) -> str:
        """Hex SHA-256 of the manifest file; since it holds the shards' checksums it identifies the whole split."""
        return sha256(self.path)


def _typed(value: Any, types: dict[str, type], where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ManifestError(f"{where}: not a JSON object; write the shards again")
    for key, kind in types.items():
        if key not in value:
            raise ManifestError(f"{where}: key {key!r} is missing; write the shards again")
        if not isinstance(value[key], kind) or (kind is int and isinstance(value[key], bool)):
            raise ManifestError(f"{where}: {key!r} is {type(value[key]).__name__}, not {kind.__name__}")
    return value


def _labels(content: dict[str, Any], where: str) -> dict[str, npt.NDArray[np.int64]]:
    labels = {}
    for field, values in content["labels"].items():
        names = content["classes"].get(field)
        if not names:
            raise ManifestError(f"{where}: label field {field!r} has no class names under 'classes'")
        array = np.asarray(values)
        if array.shape != (content["samples"],) or array.dtype.kind != "i":
            raise ManifestError(f"{where}: labels of {field!r} are not {content['samples']} integers")
        wrong = np.flatnonzero((array < 0) | (array >= len(names)))
        if len(wrong):
            raise ManifestError(
                f"{where}: sample {wrong[0]} has {field} {array[wrong[0]]}, out of range for {len(names)} classes"
            )
        labels[field] = array.astype(np.int64)
    return labels


def _shard(value: Any, folder: Path, first: int, width: int, where: str) -> Shard:
    entry = _typed(value, _SHARD_TYPES, where)
    path = folder / entry["file"]
    where = f"{where} ({entry['file']})"
    if path.parent != folder:
        raise ManifestError(f"{where}: a shard lies beside its manifest, not in another folder")
    if entry["first_index"] != first:
        raise ManifestError(f"{where}: first_index is {entry['first_index']}, but {first} samples stand before it")
    offsets = np.asarray(entry["offsets"] or np.empty((0, width)), dtype=np.int64)
    if offsets.shape != (entry["samples"], width):
        raise ManifestError(f"{where}: offsets are not {entry['samples']} rows of {width} numbers")
    starts, ends = offsets[:, 0::2].ravel(), (offsets[:, 0::2] + offsets[:, 1::2]).ravel()
    if (offsets < 0).any() or (ends > entry["bytes"]).any():
        raise ManifestError(f"{where}: an offset lies outside the file's {entry['bytes']} bytes")
    if len(overlap := np.flatnonzero(starts[1:] < ends[:-1])):
        key = first + int(overlap[0] + 1) // (width // 2)
        raise ManifestError(f"{where}: sample {key:09d} overlaps the one before it (a duplicate?)")
    return Shard(path, first, entry["samples"], entry["bytes"], entry["sha256"], offsets)


def read_manifest(folder: Path) -> Manifest:
    """Read and check `folder/manifest.json`.

    Raises:
        ManifestError: naming file and key.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise ManifestError(f"{path}: missing; write the shards with `python -m glofnd.data shard`")
    try:
        content = read_json(path)
    except ValueError as error:
        raise ManifestError(str(error)) from error
    where = str(path)
    if isinstance(content, dict) and content.get("format") != FORMAT:
        raise ManifestError(f"{where}: format is {content.get('format')!r}, this program reads {FORMAT}")
    content = _typed(content, _TYPES, where)
    if content["channels"] not in {1, 3}:
        raise ManifestError(f"{where}: channels is {content['channels']}, not 1 or 3")
    shards = []
    first = 0
    for number, value in enumerate(content["shards"]):
        shard = _shard(value, folder, first, 4 if content["captions"] else 2, f"{where}: shard {number}")
        shards.append(shard)
        first += shard.samples
    if first != content["samples"]:
        raise ManifestError(f"{where}: the shards hold {first} samples, but 'samples' is {content['samples']}")
    values = {key: content[key] for key in _TYPES}
    return Manifest(path=path, **{**values, "labels": _labels(content, where), "shards": shards})


def verify_shards(manifest: Manifest) -> None:
    """Check every shard's size, SHA-256 and member names against the manifest.

    Raises:
        ManifestError: naming the first shard that is missing, truncated or changed, or member that has the wrong key.
    """
    for shard in manifest.shards:
        if not shard.path.is_file():
            raise ManifestError(f"{shard.path}: missing; write the shards again")
        size = shard.path.stat().st_size
        if size != shard.bytes:
            raise ManifestError(f"{shard.path}: {size} bytes instead of {shard.bytes} (truncated?); write it again")
        if sha256(shard.path) != shard.sha256:
            raise ManifestError(f"{shard.path}: SHA-256 differs from the manifest's; write the shards again")
        _check_keys(shard)


def _check_keys(shard: Shard) -> None:
    """Every offset must follow the tar header of a member that has the sample's index as its key."""
    with shard.path.open("rb") as handle:
        for row, offsets in enumerate(shard.offsets):
            key = f"{shard.first_index + row:09d}"
            for offset in offsets[0::2]:
                handle.seek(offset - tarfile.BLOCKSIZE)
                name = handle.read(_NAME_BYTES).rstrip(b"\0").decode(errors="replace")
                if name.partition(".")[0] != key:
                    raise ManifestError(
                        f"{shard.path}: member {name!r} stands where sample {key} should (a duplicate?)"
                    )
