"""From a batch to the two embeddings the objective contrasts; training and discovery share it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from glofnd.data.stream import Batch
from glofnd.encoders import Model
from glofnd.views import TwoViews

__all__ = ["embed_pair", "truth"]


def embed_pair(model: Model, views: TwoViews, batch: Batch, epoch: int, precision: str) -> tuple[Tensor, Tensor]:
    """Embeddings of two views (unimodal), or of one view and its caption (bimodal), each [B, D].

    Both views go through the encoder in one pass, so batch normalisation sees all 2B pictures.

    Raises:
        ValueError: a bimodal model on data without captions.
    """
    device = model.mean.device
    images, index = batch.images.to(device, non_blocking=True), batch.index.to(device, non_blocking=True)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        if model.modality == "unimodal":
            first, second = views(images, index, epoch)
            both = model.project(model.normalise(torch.cat([first, second])))
            return both[: len(index)], both[len(index) :]
        if batch.captions is None:
            raise ValueError("bimodal pretraining needs captions, and these shards have none")
        picture = views.one(images, index, epoch, view=0)
        return model.project(model.normalise(picture)), model.embed_text(batch.captions)


def truth(batch: Batch, label: str) -> Tensor:
    """The label field that decides who is a false negative, int64 [B]."""
    try:
        return batch.labels[label]
    except KeyError:
        known: list[Any] = sorted(batch.labels)
        raise ValueError(f"label: the shards have no field {label!r}; choose from {', '.join(known)}") from None
