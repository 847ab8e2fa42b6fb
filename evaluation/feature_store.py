"""Features of one run on disk: one .npz per data set and split, and a manifest that vouches for them."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.old_results import write_arrays
from glofnd.files import making_sense, read_json, sha256, write_json

__all__ = ["FORMAT", "FeatureStore", "FeatureStoreError", "Split", "StoreWriter", "split_name"]

FORMAT = 2
Array = NDArray[Any]


class FeatureStoreError(ValueError):
    """Features that are missing, stale or damaged; the message names the file and what to do."""


def split_name(dataset: str, split: str) -> str:
    """Name of a data set's split in the store."""
    return f"{dataset}.{split}"


@dataclass(frozen=True)
class Split:
    """Features of one split.

    Attributes:
        name: `<dataset>.<split>`.
        features: float32 [N, F], encoder output before the projector.
        index: int64 [N], stable sample index.
        labels: int64 [N] per label field.
        content: int64 [N], hash of the decoded picture: equal pictures have equal numbers.
        thumbnail: uint8 [N, 16, 16], grey; near-duplicates are recognised by it.
        embedding: float32 [N, D], L2-normalised shared space; `None` for unimodal models.
        text_embedding: float32 [T, D], one row per distinct caption, L2-normalised; `None` where there are none.
        caption_pair: int64 [P, 2], (row of the picture, row of the caption).
    """

    name: str
    features: Array
    index: Array
    labels: dict[str, Array]
    content: Array
    thumbnail: Array
    embedding: Array | None = None
    text_embedding: Array | None = None
    caption_pair: Array | None = None

    def label(self, name: str) -> Array:
        """Labels of one field; an unknown one raises `FeatureStoreError` with the choices."""
        if name not in self.labels:
            raise FeatureStoreError(
                f"{self.name}: no label field {name!r}; choose from {', '.join(sorted(self.labels))}"
            )
        return self.labels[name]

    def arrays(self) -> dict[str, Array]:
        """The content of the .npz file."""
        optional = {name: getattr(self, name) for name in ("embedding", "text_embedding", "caption_pair")}
        return {
            "features": self.features,
            "index": self.index,
            "content": self.content,
            "thumbnail": self.thumbnail,
            **{f"label_{name}": values for name, values in self.labels.items()},
            **{name: values for name, values in optional.items() if values is not None},
        }


def _checked(path: Path, arrays: dict[str, Array]) -> None:
    rows = len(arrays["index"])
    for name in ("features", "content", "thumbnail", "embedding", *(n for n in arrays if n.startswith("label_"))):
        if name in arrays and len(arrays[name]) != rows:
            raise FeatureStoreError(
                f"{path}: {name} has {len(arrays[name])} rows, index has {rows}; extract them again"
            )
    for name in ("features", "embedding", "text_embedding"):
        if name in arrays and not np.isfinite(arrays[name]).all():
            row = int(np.flatnonzero(~np.isfinite(arrays[name]).all(axis=1))[0])
            raise FeatureStoreError(f"{path}: {name} of row {row} is not finite; the encoder has diverged")


@dataclass
class StoreWriter:
    """Writes features and, last of all, the manifest."""

    folder: Path
    head: dict[str, Any]
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, split: Split, shards: str) -> None:
        """Write one split; `shards` is the SHA-256 of the shard manifest it comes from."""
        path = self.folder / f"{split.name}.npz"
        _checked(path, split.arrays())
        self._write(split.name, path, split.arrays(), {"shards": shards, "shape": list(split.features.shape)})

    def add_prompts(self, name: str, arrays: dict[str, Array]) -> None:
        """Write the class prompts of one split (`evaluation.prompts`)."""
        self._write(f"{name}.prompts", self.folder / f"{name}.prompts.npz", arrays, {})

    def _write(self, name: str, path: Path, arrays: dict[str, Array], details: dict[str, Any]) -> None:
        write_arrays(path, arrays)
        self.files[name] = {"file": path.name, "sha256": sha256(path), **details}

    def close(self, provenance: dict[str, Any]) -> None:
        """Write the manifest."""
        head = {"format": FORMAT, **self.head}
        write_json(self.folder / "manifest.json", {**head, "files": self.files, "provenance": provenance})


class FeatureStore:
    """Reads and verifies what `StoreWriter` wrote.

    Attributes:
        run: the `run` block of metrics.json.
        modality: `unimodal` or `bimodal`; raw pixels are unimodal.
        inputs: checksums that provenance refers to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / "manifest.json"
        if not path.is_file():
            raise FeatureStoreError(f"{path}: missing; extract the features first (python -m evaluation features)")
        manifest = read_json(path)
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise FeatureStoreError(f"{path}: not a feature manifest of format {FORMAT}; extract the features again")
        with making_sense(path, "extract the features again"):
            self.run: dict[str, Any] = manifest["run"]
            self.modality: str = manifest["modality"]
            self.files: dict[str, dict[str, Any]] = manifest["files"]
            self.inputs = {"features": sha256(path), **manifest["source"]}
            [(entry["file"], entry["sha256"]) for entry in self.files.values()]
        self._splits: dict[str, Split] = {}

    def shards_of(self, dataset: str, split: str) -> str:
        """SHA-256 of the shard manifest behind a split."""
        return str(self._entry(split_name(dataset, split))["shards"])

    def split(self, dataset: str, split: str) -> Split:
        """Features of one split, read once.

        Raises:
            FeatureStoreError: not extracted, changed since, or not finite.
        """
        name = split_name(dataset, split)
        if name not in self._splits:
            arrays = self._read(name)
            _checked(self.folder / f"{name}.npz", arrays)
            labels = {key.removeprefix("label_"): v for key, v in arrays.items() if key.startswith("label_")}
            rest = {key: v for key, v in arrays.items() if not key.startswith("label_")}
            self._splits[name] = Split(name=name, labels=labels, **rest)
        return self._splits[name]

    def prompts(self, dataset: str, split: str) -> dict[str, Array]:
        """Class prompts embedded for one split."""
        return self._read(f"{split_name(dataset, split)}.prompts")

    def _entry(self, name: str) -> dict[str, Any]:
        if name not in self.files:
            known = ", ".join(sorted(self.files)) or "nothing"
            raise FeatureStoreError(f"{self.folder}: no features of {name} (there are: {known}); extract them too")
        return self.files[name]

    def _read(self, name: str) -> dict[str, Array]:
        entry = self._entry(name)
        path = self.folder / entry["file"]
        if not path.is_file():
            raise FeatureStoreError(f"{path}: missing, though the manifest names it; extract the features again")
        if sha256(path) != entry["sha256"]:
            raise FeatureStoreError(f"{path}: SHA-256 differs from the manifest's; extract the features again")
        try:
            with np.load(path, allow_pickle=False) as file:
                return {key: file[key] for key in file.files}
        except (zipfile.BadZipFile, ValueError) as error:
            raise FeatureStoreError(f"{path}: not readable ({error}); extract the features again") from error
