"""Reads a shard manifest, and checks shards against it.

`manifest.json` is written by `glofnd.data.writer` and ends with the SHA-256 of its own text, so that whatever was
changed, cut or written by something else is refused as a whole. Its keys are the attributes of `Manifest`, and
`false_negatives` (pairs that share a label, by field).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glofnd.files import atomic_open, sha256
from glofnd.progress import progress

__all__ = [
    *("AGAIN", "CHECKSUM", "CHECKSUM_END", "FORMAT", "NO_LABEL"),
    *("Manifest", "ManifestError", "Shard", "read_manifest", "verify_shards", "without"),
]

FORMAT = 2
CHECKSUM, CHECKSUM_END = b',\n "checksum": "', b'"}\n'
"""Before and behind the SHA-256 of the text above it, at the end of a manifest."""
NO_LABEL = -1
"""Stands where a sample is left out."""
AGAIN = "make the shards again: delete their folder and run the workflow, or `python -m glofnd.data shard`"
Index = npt.NDArray[np.int64]


class ManifestError(ValueError):
    """A manifest or shard is not what it should be; the message names the file and, where there is one, the sample."""


@dataclass(frozen=True)
class Shard:
    """One tar of `samples` samples.

    `offsets` int64 `[indices, 3 or 6]`: offset, size and CRC-32 of the picture, then of the captions, of each index
    from `first_index` on; zeros where the sample is left out.
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
    `skipped` says of each sample left out its `index`, `where` it was and the `reason`; `aside` how many files were no
    samples, by kind.
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
    skipped: list[dict[str, Any]]
    aside: dict[str, int] = field(default_factory=dict)

    @property
    def indices(self) -> int:
        """One more than the largest sample index: the size of whatever is kept per sample."""
        return self.samples + len(self.skipped)

    @cached_property
    def vacant(self) -> Index:
        """Indices of the samples that are left out, ascending."""
        return np.array([sample["index"] for sample in self.skipped], np.int64)

    @property
    def index(self) -> Index:
        """Indices of all samples, int64 `[samples]`, ascending."""
        return without(self.vacant, np.arange(self.samples))

    def sha256(self) -> str:
        """Hex SHA-256 of the manifest file; since it holds the shards' checksums it identifies the whole split."""
        return sha256(self.path)


def without(vacant: Index, rows: Index) -> Index:
    """The numbers at `rows` of all natural numbers, ascending, but those of `vacant` (ascending)."""
    return rows + np.searchsorted(vacant - np.arange(len(vacant)), rows, side="right")


def read_manifest(folder: Path) -> Manifest:
    """Read and check `folder/manifest.json`.

    Raises:
        ManifestError: it is missing, was changed since it was written, or is no manifest.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise ManifestError(f"{path}: missing; write the shards with `python -m glofnd.data shard`")
    data = path.read_bytes()
    end = max(data.rfind(CHECKSUM), 0)
    if data[end:] != CHECKSUM + hashlib.sha256(memoryview(data)[:end]).hexdigest().encode() + CHECKSUM_END:
        raise ManifestError(f"{path}: no whole manifest, or changed since it was written; {AGAIN}")
    content = json.loads(data)
    if (found := content.pop("format")) != FORMAT:
        raise ManifestError(f"{path}: format is {found!r}, this program reads {FORMAT}; {AGAIN}")
    del content["checksum"], content["false_negatives"]
    shards, columns = content.pop("shards"), 6 if content["captions"] else 3
    for shard in shards:
        shard["path"] = folder / shard.pop("file")
        shard["offsets"] = np.array(shard["offsets"], np.int64).reshape(-1, columns)
    labels = {field: np.array(values, np.int64) for field, values in content.pop("labels").items()}
    return Manifest(path, labels=labels, shards=[Shard(**shard) for shard in shards], **{"skipped": [], **content})


def _stamps(folder: Path) -> tuple[Path, Path]:
    """Where it is noted that shards were verified: beside them, else, where they are read-only, in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "glofnd/verified"  # noqa: PTH111
    return folder / ".verified", cache / hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:32]


def verify_shards(manifest: Manifest) -> None:
    """Check every shard's size and SHA-256; `ManifestError` names the first that is missing, truncated or changed.

    Checksums are compared once per copy: a stamp holds what identifies the very files that were read. What rots
    afterwards without a trace in their times is found by the CRC-32 of each picture as it is read.
    """
    identity = hashlib.sha256()
    for shard in manifest.shards:
        if not shard.path.is_file():
            raise ManifestError(f"{shard.path}: missing; {AGAIN}")
        stat = shard.path.stat()
        if stat.st_size != shard.bytes:
            raise ManifestError(f"{shard.path}: {stat.st_size} bytes instead of {shard.bytes} (truncated?); {AGAIN}")
        # Copying keeps names, and can keep mtimes, but never inodes and ctimes.
        identity.update(
            f"{shard.path.name} {shard.sha256} {stat.st_ino} {stat.st_mtime_ns} {stat.st_ctime_ns}\n".encode()
        )
    stamp, stamps = identity.hexdigest(), _stamps(manifest.path.parent)
    for path in stamps:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if path.read_text() == stamp:
                return
    for shard in progress(manifest.shards, len(manifest.shards), f"checksums of {manifest.path.parent}", "shards"):
        if sha256(shard.path) != shard.sha256:
            raise ManifestError(f"{shard.path}: SHA-256 differs from the manifest's; {AGAIN}")
    for path in stamps:
        with contextlib.suppress(OSError), atomic_open(path, "w") as handle:
            handle.write(stamp)
            break
