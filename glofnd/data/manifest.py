"""Reads a shard manifest, and checks shards against it.

`manifest.json` is written by `glofnd.data.writer` and ends with the SHA-256 of its own text, so that whatever was
changed, cut or written by something else is refused as a whole. Its keys are the attributes of `Manifest`, and
`false_negatives` (pairs that share a label, by field).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glofnd.files import sha256

__all__ = [
    *("CHECKSUM", "CHECKSUM_END", "FORMAT", "NO_LABEL"),
    *("Manifest", "ManifestError", "Shard", "read_manifest", "verify_shards"),
]

FORMAT = 1
CHECKSUM, CHECKSUM_END = b',\n "checksum": "', b'"}\n'
"""Before and behind the SHA-256 of the text above it, at the end of a manifest."""
NO_LABEL = -1
"""Stands where a sample is left out."""
_AGAIN = "make the shards again: delete their folder and run the workflow, or `python -m glofnd.data shard`"
Index = npt.NDArray[np.int64]


class ManifestError(ValueError):
    """A manifest or shard is not what it should be; the message names the file and, where there is one, the sample."""


@dataclass(frozen=True)
class Shard:
    """One tar of `samples` samples.

    `offsets` int64 `[indices, 2 or 4]`: offset and size of the picture, then of the captions, of each index from
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
    `skipped` says of each sample left out its `index`, `where` it was and the `reason`.
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

    @property
    def indices(self) -> int:
        """One more than the largest sample index: the size of whatever is kept per sample."""
        return self.samples + len(self.skipped)

    @cached_property
    def index(self) -> Index:
        """Indices of all samples, int64 `[samples]`, ascending."""
        return np.delete(np.arange(self.indices), [sample["index"] for sample in self.skipped])

    def sha256(self) -> str:
        """Hex SHA-256 of the manifest file; since it holds the shards' checksums it identifies the whole split."""
        return sha256(self.path)


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
        raise ManifestError(f"{path}: no whole manifest, or changed since it was written; {_AGAIN}")
    content = json.loads(data)
    if (found := content.pop("format")) != FORMAT:
        raise ManifestError(f"{path}: format is {found!r}, this program reads {FORMAT}")
    del content["checksum"], content["false_negatives"]
    shards, columns = content.pop("shards"), 4 if content["captions"] else 2
    for shard in shards:
        shard["path"] = folder / shard.pop("file")
        shard["offsets"] = np.array(shard["offsets"], np.int64).reshape(-1, columns)
    labels = {field: np.array(values, np.int64) for field, values in content.pop("labels").items()}
    return Manifest(path, labels=labels, shards=[Shard(**shard) for shard in shards], **{"skipped": [], **content})


def verify_shards(manifest: Manifest) -> None:
    """Check every shard's size and SHA-256; `ManifestError` names the first that is missing, truncated or changed."""
    for shard in manifest.shards:
        if not shard.path.is_file():
            raise ManifestError(f"{shard.path}: missing; {_AGAIN}")
        if (size := shard.path.stat().st_size) != shard.bytes:
            raise ManifestError(f"{shard.path}: {size} bytes instead of {shard.bytes} (truncated?); {_AGAIN}")
        if sha256(shard.path) != shard.sha256:
            raise ManifestError(f"{shard.path}: SHA-256 differs from the manifest's; {_AGAIN}")
