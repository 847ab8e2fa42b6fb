"""One epoch as training would see it next, with nothing learned from it: embeddings and what the detector drops."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from evaluation.discovery.agreement import AnchorCounts
from evaluation.features import raw_pixels
from glofnd.data.stream import ShardStream
from glofnd.encoders import Model
from glofnd.pretraining import embed_pair
from glofnd.progress import progress
from glofnd.views import TwoViews

__all__ = ["Observation", "PixelModel", "observe"]

Array = NDArray[Any]


class PixelModel(Model):
    """The trivial encoder: a view's pixels, averaged to 16 x 16 where it is larger."""

    modality = "unimodal"

    def __init__(self) -> None:
        super().__init__((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

    def features(self, images: Tensor) -> Tensor:
        """Pixels, [B, F]."""
        return raw_pixels(images)

    def project(self, images: Tensor) -> Tensor:
        """The same as `features`."""
        return self.features(images)


@dataclass
class Observation:
    """One modality's side of an epoch, by sample index; N is one more than the largest.

    Samples that the epoch leaves out, and indices without a sample, have `seen` False.

    Attributes:
        anchors: L2-normalised [V, N, D].
        candidates: L2-normalised [G, N, D]; equal to `anchors` for unimodal models.
        seen: bool [N].
        threshold: [N], the first view's threshold, NaN where there is none.
        counts: anchor counts per label field.
        batches: sample indices of each batch.
    """

    anchors: Array
    candidates: Array
    seen: Array
    threshold: Array
    counts: dict[str, AnchorCounts]
    batches: list[Array] = field(default_factory=list)

    def counts_at(self, thresholds: Array, labels: Array) -> AnchorCounts:
        """Counts of the same batches with other thresholds [N]; anchors whose threshold is NaN are left out."""
        counts = AnchorCounts.zeros(len(thresholds))
        for batch in self.batches:
            kept = np.isfinite(thresholds[batch])
            true = (labels[batch][:, None] == labels[batch])[kept]
            other = ~np.eye(len(batch), dtype=bool)[kept]
            for anchors in self.anchors:
                for candidates in self.candidates:
                    similarity = anchors[batch[kept]] @ candidates[batch].T
                    dropped = (similarity > thresholds[batch[kept], None]) & other
                    counts.add(batch[kept], other, dropped, true)
        return counts


def _batch_statistics(model: Any) -> Any:
    """A copy in training mode, in which batch normalisation uses the batch, without moving its running statistics."""
    model = copy.deepcopy(model).train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm):
            module.momentum = 0.0
    return model


@torch.no_grad()
def observe(
    model: Any, objective: Any, stream: ShardStream, config: dict[str, Any], epoch: int
) -> dict[str, Observation]:
    """Run one epoch without learning.

    Pictures are augmented and batched as in training, and batch normalisation uses the statistics of the batch, because
    that is how the similarities arise that thresholds are compared with. Neither model nor detector changes.

    Args:
        model: with the checkpoint's weights.
        objective: with the checkpoint's state.
        stream: of the training split, with the run's batch size and seed.
        config: run config.
        epoch: whose order and augmentation draws are taken; the one after the last trained.

    Returns:
        One observation per modality, `image` and, for bimodal models, `text`.
    """
    model, objective = _batch_statistics(model), objective.eval()
    views = TwoViews(**config["views"], seed=config["seed"])
    fields = list(stream.manifest.labels)
    sides: dict[str, Observation] = {}
    for batch in progress(stream.epoch(epoch), stream.batches_per_epoch, "observing an epoch", "batches"):
        first, second = embed_pair(model, views, batch, epoch, config["training"]["precision"])
        labels = batch.labels[config["label"]].to(first.device) if fields else None
        found = objective.inspect(first, second, batch.index.to(first.device), labels=labels, epoch=epoch)
        pair = np.stack([functional.normalize(z.float(), dim=1).cpu().numpy() for z in (first, second)])
        index = batch.index.numpy()
        for modality, seen in found.items():
            views_of, others = (pair, pair) if len(found) == 1 else (pair[:1], pair[1:])
            if modality == "text":
                views_of, others = others, views_of
            if modality not in sides:
                n, width = stream.indices, pair.shape[2]
                sides[modality] = Observation(
                    np.zeros((len(views_of), n, width), np.float32),
                    np.zeros((len(others), n, width), np.float32),
                    np.zeros(n, bool),
                    np.full(n, np.nan),
                    {name: AnchorCounts.zeros(n) for name in fields or ["unlabelled"]},
                )
            side = sides[modality]
            side.anchors[:, index], side.candidates[:, index], side.seen[index] = views_of, others, True
            side.batches.append(index)
            if seen.threshold is not None:
                side.threshold[index] = seen.threshold[: len(index)].float().cpu().numpy()
            anchor, negative, dropped = (part.cpu().numpy() for part in (seen.anchor, seen.negative, seen.dropped))
            for name, counts in side.counts.items():
                values = batch.labels[name].numpy() if fields else index
                rows, columns = (np.tile(values, size // len(values)) for size in negative.shape)
                counts.add(anchor, negative, dropped, rows[:, None] == columns)
    return sides
