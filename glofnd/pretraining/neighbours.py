"""Accuracy while training: is a picture's label that of its nearest neighbours among a few training pictures?"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot
from torchvision.transforms.functional import resize

from glofnd.data.stream import SampleBatch
from glofnd.encoders import Model

__all__ = ["NEIGHBOURS", "neighbour_accuracy", "vote"]

NEIGHBOURS, CHUNK = 5, 256


def vote(features: Tensor, labels: Tensor) -> Tensor:
    """The label that the `NEIGHBOURS` most similar other rows have, each weighted by its cosine similarity, [n].

    Args:
        features: [n, F].
        labels: int64 [n], not negative.
    """
    unit = normalize(features, dim=1)
    similarity = unit @ unit.T
    similarity.fill_diagonal_(-1)
    weight, neighbour = similarity.topk(min(NEIGHBOURS, len(unit) - 1))
    return (one_hot(labels[neighbour]) * (1 + weight).unsqueeze(-1)).sum(1).argmax(1)


@torch.no_grad()
def neighbour_accuracy(model: Model, batch: SampleBatch, field: str, size: int | None) -> float:
    """Share of the pictures, as they are, whose label the frozen features of the others tell (leave-one-out).

    Draws no random number and leaves the statistics of batch norm alone, so training goes on as if nothing had been.

    Args:
        model: in training mode.
        batch: the pictures.
        field: of its labels.
        size: side in pixels that the model is trained with; None: that of the pictures.
    """
    device = model.mean.device
    images = batch.images if size is None else resize(batch.images, [size, size])
    model.eval()
    parts = [model.features(model.prepare(part.to(device))).float() for part in images.split(CHUNK)]
    model.train()
    labels = batch.labels[field].to(device)
    return float((vote(torch.cat(parts), labels) == labels).float().mean())
