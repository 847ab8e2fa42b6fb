"""Runs a frozen encoder over shards and prompts; what comes out are plain arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from evaluation.feature_store import Split, split_name
from evaluation.fingerprints import content_hashes, thumbnails
from evaluation.old_tasks import ZeroShotTask
from evaluation.prompts import fill, read_templates
from glofnd.data.stream import SampleBatch, ShardStream
from glofnd.progress import progress

__all__ = ["BATCH", "Encoder", "class_prompts", "embed_split", "embed_texts", "model_encoder", "raw_pixels"]

Array = NDArray[Any]
BATCH = 256
RAW_SIDE = 16

Encoder = Callable[[Tensor], dict[str, Tensor]]
"""uint8 pictures [B, C, H, W] -> `features` [B, F], and `embedding` [B, D] where there is a shared space."""


def raw_pixels(images: Tensor) -> dict[str, Tensor]:
    """The trivial baseline: pixels in [0, 1], averaged down to 16 x 16 where the picture is larger."""
    pixels = images.float().div(255)
    if pixels.shape[-1] > RAW_SIDE:
        pixels = functional.adaptive_avg_pool2d(pixels, RAW_SIDE)
    return {"features": pixels.flatten(1)}


def model_encoder(model: Any) -> Encoder:
    """A model in evaluation mode; a bimodal one also gives its normalised image embedding."""
    device = model.mean.device

    def encode(images: Tensor) -> dict[str, Tensor]:
        prepared = model.prepare(images.to(device))
        found = {"features": model.features(prepared)}
        if model.modality == "bimodal":
            found["embedding"] = functional.normalize(model.project(prepared).float(), dim=1)
        return found

    return encode


def _batches(stream: ShardStream) -> Iterable[SampleBatch]:
    name = split_name(stream.manifest.dataset, stream.manifest.split)
    total = -(-stream.samples // BATCH)
    return progress(stream.in_order(BATCH), total, f"features of {name}", "batches")


@torch.inference_mode()
def embed_texts(model: Any, texts: list[str]) -> Array:
    """L2-normalised text embeddings, float32 [len(texts), D]."""
    parts = [model.embed_text(texts[start : start + BATCH]).float() for start in range(0, len(texts), BATCH)]
    return np.asarray(functional.normalize(torch.cat(parts), dim=1).cpu().numpy())


@torch.inference_mode()
def embed_split(stream: ShardStream, encode: Encoder, dataset: str, split: str, model: Any | None) -> Split:
    """Features of every sample of a split, by index.

    Args:
        stream: the split.
        encode: what turns pictures into features.
        dataset, split: names under which they are stored (the config's, which need not be the catalogue's).
        model: a bimodal model whose text tower reads the captions; `None` for none.
    """
    found: dict[str, list[Array]] = {}
    for batch in _batches(stream):
        pictures = batch.images.numpy()
        arrays = {name: values.float().cpu().numpy() for name, values in encode(batch.images).items()}
        for name, values in (arrays | {"content": content_hashes(pictures), "thumbnail": thumbnails(pictures)}).items():
            found.setdefault(name, []).append(values)
    arrays = {name: np.concatenate(parts) for name, parts in found.items()}
    captions = stream.captions() if model is not None else None
    if model is not None and captions is not None:
        distinct = sorted({text for texts in captions for text in texts})
        row = {text: number for number, text in enumerate(distinct)}
        pairs = [(picture, row[text]) for picture, texts in enumerate(captions) for text in dict.fromkeys(texts)]
        arrays["text_embedding"] = embed_texts(model, distinct)
        arrays["caption_pair"] = np.array(pairs, dtype=np.int64)
    return Split(
        name=split_name(dataset, split),
        index=stream.manifest.index,
        labels={field: values[stream.manifest.index] for field, values in stream.manifest.labels.items()},
        **arrays,
    )


def class_prompts(model: Any, stream: ShardStream, task: ZeroShotTask) -> dict[str, Array]:
    """Prompt embeddings of a zero-shot task: `<label>.<templates>.classes` [C] and `.embedding` [C, D].

    The embedding of a class is the normalised mean of its templates' normalised embeddings (Radford et al., 2021,
    arXiv 2103.00020, section 3.1.4).

    Raises:
        ValueError: the split has no such label field.
    """
    manifest = stream.manifest
    if task.label not in manifest.labels:
        known = ", ".join(sorted(manifest.labels))
        raise ValueError(
            f"zero-shot: {task.dataset}/{task.split} has no label field {task.label!r}; choose from {known}"
        )
    names, templates = manifest.classes[task.label], read_templates(task.templates)
    classes = np.arange(len(names)) if task.among == "all" else np.unique(manifest.labels[task.label][manifest.index])
    texts = [prompt for number in classes for prompt in fill(templates, names[number])]
    each = embed_texts(model, texts).reshape(len(classes), len(templates), -1)
    mean = each.mean(axis=1)
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    prefix = f"{task.label}.{task.templates}.{task.among}"
    return {f"{prefix}.classes": classes.astype(np.int64), f"{prefix}.embedding": mean.astype(np.float32)}
