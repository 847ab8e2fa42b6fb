"""Reads a shard manifest, and checks shards against it.

`manifest.json` is written by `glofnd.data.writer` and ends with the SHA-256 of its own text, so that whatever was
changed, cut or written by something else is refused as a whole. Its keys are the attributes of `Manifest`, and
`false_negatives` (pairs that share a label, by field). What there is of every sample lies beside it in columns, which
are mapped into memory when they are asked for: opening costs nothing, and processes share the pages.

    offsets.npy   int64 [indices, 3 or 6]: offset, size and CRC-32 of the picture, then of the captions, of each sample
                  in its tar; zeros where it is left out
    labels.npy    int64 [fields, indices]: class numbers, `NO_LABEL` where the sample is left out
    classes.json  names of the classes, by field
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glofnd.files import atomic_open, read_json, sha256
from glofnd.progress import progress

__all__ = [
    *("AGAIN", "CHECKSUM", "CHECKSUM_END", "FORMAT", "NO_LABEL"),
    *("Manifest", "ManifestError", "Part", "Shard", "read_manifest", "verify_shards", "without"),
]

FORMAT = 3
CHECKSUM, CHECKSUM_END = b',\n "checksum": "', b'"}\n'
"""Before and behind the SHA-256 of the text above it, at the end of a manifest."""
NO_LABEL = -1
"""Stands where a sample is left out."""
AGAIN = "make the shards again: delete their folder and run the workflow, or `python -m glofnd.data shard`"
Index = npt.NDArray[np.int64]


class ManifestError(ValueError):
    """A manifest or shard is not what it should be; the message names the file and, where there is one, the sample."""


@dataclass(frozen=True)
class Part:
    """A file beside the manifest, as it was written."""

    path: Path
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Shard(Part):
    """One tar of `samples` samples, with indices from `first_index` on."""

    first_index: int
    samples: int


@dataclass(frozen=True)
class Manifest:
    """One split of `samples` samples, with indices below `indices`; those of `skipped` are vacant.

    `fields` are the labels that samples have. `skipped` says of each sample left out its `index`, `where` it was and
    the `reason`; `aside` counts files that were no samples, by kind.
    """

    path: Path
    dataset: str
    split: str
    samples: int
    image_size: int
    channels: int
    fields: list[str]
    captions: bool
    licence: str
    source: dict[str, Any]
    config: dict[str, Any]
    columns: list[Part]
    shards: list[Shard]
    skipped: list[dict[str, Any]]
    aside: dict[str, int]

    @cached_property
    def offsets(self) -> Index:
        """Where each sample's members are, int64 `[indices, 3 or 6]`."""
        return self._column("offsets.npy", (self.indices, 6 if self.captions else 3))

    @cached_property
    def labels(self) -> dict[str, Index]:
        """By field, the number of each sample's class, int64 `[indices]`, `NO_LABEL` at vacant indices."""
        return dict(zip(self.fields, self._column("labels.npy", (len(self.fields), self.indices)), strict=True))

    @cached_property
    def classes(self) -> dict[str, list[str]]:
        """Names of the classes, by field."""
        names: dict[str, list[str]] = read_json(self.path.parent / "classes.json")
        return names

    def _column(self, name: str, shape: tuple[int, int]) -> Index:
        path = self.path.parent / name
        try:
            column: Index = np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise ManifestError(f"{path}: missing or damaged ({error}); {AGAIN}") from error
        if column.shape != shape or column.dtype != np.int64:
            raise ManifestError(f"{path}: {column.dtype} {list(column.shape)} instead of int64 {list(shape)}; {AGAIN}")
        return column

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
    columns = [Part(folder / entry.pop("file"), **entry) for entry in content.pop("columns")]
    shards = [Shard(folder / entry.pop("file"), **entry) for entry in content.pop("shards")]
    return Manifest(path, columns=columns, shards=shards, **{"skipped": [], "aside": {}, **content})


def _stamps(folder: Path) -> tuple[Path, Path]:
    """Where it is noted that shards were verified: beside them, else, where they are read-only, in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "glofnd/verified"  # noqa: PTH111
    return folder / ".verified", cache / hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:32]


def verify_shards(manifest: Manifest) -> None:
    """Check size and SHA-256 of every tar and column; `ManifestError` names the first that is missing or changed.

    Checksums are compared once per copy: a stamp holds what identifies the very files that were read. What rots
    afterwards without a trace in their times is found by the CRC-32 of each picture as it is read.
    """
    identity, parts = hashlib.sha256(), [*manifest.columns, *manifest.shards]
    for part in parts:
        if not part.path.is_file():
            raise ManifestError(f"{part.path}: missing; {AGAIN}")
        stat = part.path.stat()
        if stat.st_size != part.bytes:
            raise ManifestError(f"{part.path}: {stat.st_size} bytes instead of {part.bytes} (truncated?); {AGAIN}")
        # Copying keeps names, and can keep mtimes, but never inodes and ctimes.
        identity.update(
            f"{part.path.name} {part.sha256} {stat.st_ino} {stat.st_mtime_ns} {stat.st_ctime_ns}\n".encode()
        )
    stamp, stamps = identity.hexdigest(), _stamps(manifest.path.parent)
    for path in stamps:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if path.read_text() == stamp:
                return
    for part in progress(parts, len(parts), f"checksums of {manifest.path.parent}", "files"):
        if sha256(part.path) != part.sha256:
            raise ManifestError(f"{part.path}: SHA-256 differs from the manifest's; {AGAIN}")
    for path in stamps:
        with contextlib.suppress(OSError), atomic_open(path, "w") as handle:
            handle.write(stamp)
            break
