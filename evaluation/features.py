"""Features of one split by one frozen encoder, kept as one .npz so that no evaluation extracts them twice."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from evaluation.results import write_arrays
from evaluation.split_pictures import CHUNK, Pictures
from glofnd.progress import progress

__all__ = ["FORMAT", "RAW_SIDE", "Features", "embed_texts", "features_of", "raw_pixels"]

Array = NDArray[Any]

FORMAT = 3
RAW_SIDE = 16


@dataclass(frozen=True)
class Features:
    """What an encoder makes of a split, in the order of its samples.

    Attributes:
        features: float32 [N, F], encoder output before the projector.
        embedding: float32 [N, D], L2-normalised shared space; `None` for unimodal models.
        text_embedding: float32 [T, D], one row per distinct caption, L2-normalised; `None` where there are none.
        caption_pair: int64 [P, 2], (row of the picture, row of the caption).
    """

    features: Array
    embedding: Array | None = None
    text_embedding: Array | None = None
    caption_pair: Array | None = None


def raw_pixels(images: Tensor) -> Tensor:
    """The trivial encoder: pixels in [0, 1] (bytes are scaled), averaged to 16 x 16 where there are more, [B, F]."""
    pixels = images if images.is_floating_point() else images.float().div(255)
    return (functional.adaptive_avg_pool2d(pixels, RAW_SIDE) if pixels.shape[-1] > RAW_SIDE else pixels).flatten(1)


@torch.inference_mode()
def embed_texts(model: Any, texts: list[str]) -> Array:
    """L2-normalised text embeddings, float32 [len(texts), D]."""
    found = [model.embed_text(texts[start : start + CHUNK]).float() for start in range(0, len(texts), CHUNK)]
    return np.asarray(functional.normalize(torch.cat(found), dim=1).cpu().numpy())


@torch.inference_mode()
def _extract(model: Any | None, pictures: Pictures) -> dict[str, Array]:
    found: dict[str, list[Tensor]] = {"features": []}
    total = -(-len(pictures) // CHUNK)
    for images in progress(pictures.chunks(grey=model is None), total, f"features of {pictures.name}", "batches"):
        if model is None:
            found["features"].append(raw_pixels(images))
            continue
        prepared = model.prepare(images.to(model.mean.device))
        found["features"].append(model.features(prepared).float().cpu())
        if model.modality == "bimodal":
            embedding = functional.normalize(model.project(prepared).float(), dim=1)
            found.setdefault("embedding", []).append(embedding.cpu())
    arrays = {name: torch.cat(values).numpy() for name, values in found.items()}
    captions = pictures.captions() if "embedding" in arrays else None
    if captions is not None:
        distinct = sorted({text for texts in captions for text in texts})
        row = {text: number for number, text in enumerate(distinct)}
        pairs = [(picture, row[text]) for picture, texts in enumerate(captions) for text in dict.fromkeys(texts)]
        arrays |= {"text_embedding": embed_texts(model, distinct), "caption_pair": np.array(pairs, dtype=np.int64)}
    for name, values in arrays.items():
        if name != "caption_pair" and not np.isfinite(values).all():
            row_of = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
            raise ValueError(f"{pictures.name}: {name} of row {row_of} is not finite; the encoder has diverged")
    return arrays


def features_of(model: Any | None, pictures: Pictures, source: dict[str, str], folder: Path) -> Features:
    """Features of a split: those in `folder`, where they are whole and of the same encoder and shards, else new ones.

    Args:
        model: in evaluation mode; `None` takes raw pixels.
        pictures: of the split.
        source: what identifies the encoder.
        folder: where the features of a run are kept, `{dataset}.{split}.npz` each.

    Raises:
        ValueError: a feature is not finite.
    """
    path = folder / f"{pictures.name}.npz"
    origin = json.dumps({"format": FORMAT, "shards": pictures.sha256, **source}, sort_keys=True)
    try:
        # Reading a member compares it with its checksum.
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files} if str(file["origin"]) == origin else {}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        arrays = {}
    if not arrays:
        arrays = {"origin": np.array(origin), **_extract(model, pictures)}
        write_arrays(path, arrays)
    return Features(**{name: values for name, values in arrays.items() if name != "origin"})
