"""One epoch as training would see it next, with nothing learned from it: embeddings and what the detector drops."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from evaluation.detection import AnchorCounts, SimilarityHistogram
from glofnd.data.stream import SampleBatch, ShardStream
from glofnd.pretraining import embed_pair
from glofnd.progress import progress
from glofnd.views import TwoViews

__all__ = ["Observation", "observe"]

Array = NDArray[Any]


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
        histograms: similarities of the pairs in the batches, per label field.
        batches: sample indices of each batch.
    """

    anchors: Array
    candidates: Array
    seen: Array
    threshold: Array
    counts: dict[str, AnchorCounts]
    histograms: dict[str, SimilarityHistogram]
    batches: list[Array] = field(default_factory=list)


def _empty(views: int, groups: int, samples: int, width: int, fields: list[str]) -> Observation:
    def zeros() -> Array:
        return np.zeros(samples, np.int64)

    return Observation(
        anchors=np.zeros((views, samples, width), np.float32),
        candidates=np.zeros((groups, samples, width), np.float32),
        seen=np.zeros(samples, bool),
        threshold=np.full(samples, np.nan),
        counts={name: AnchorCounts(zeros(), zeros(), zeros(), zeros()) for name in fields},
        histograms={name: SimilarityHistogram() for name in fields},
    )


def _freeze_statistics(model: nn.Module) -> None:
    """Training mode, in which batch normalisation uses the batch, without moving its running statistics."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 0.0


def _per_sample(rows: Array, anchor: Array, samples: int) -> Array:
    return np.bincount(anchor, weights=rows, minlength=samples).astype(np.int64)


def _record(side: Observation, seen: Any, batch: SampleBatch) -> None:
    """Count the pairs of one inspected batch."""
    index = batch.index.numpy()
    anchor, negative = seen.anchor.cpu().numpy(), seen.negative.cpu().numpy()
    dropped, similarity = seen.dropped.cpu().numpy(), seen.similarity.float().cpu().numpy()
    samples = len(side.seen)
    side.seen[index] = True
    side.batches.append(index)
    if seen.threshold is not None:
        side.threshold[index] = seen.threshold[: len(index)].float().cpu().numpy()
    for name, counts in side.counts.items():
        labels = batch.labels[name].numpy()
        rows = np.tile(labels, len(anchor) // len(labels))
        columns = np.tile(labels, negative.shape[1] // len(labels))
        true = (rows[:, None] == columns) & negative
        counts.pairs[:] += _per_sample(negative.sum(axis=1), anchor, samples)
        counts.dropped[:] += _per_sample(dropped.sum(axis=1), anchor, samples)
        counts.true[:] += _per_sample(true.sum(axis=1), anchor, samples)
        counts.correct[:] += _per_sample((true & dropped).sum(axis=1), anchor, samples)
        side.histograms[name].add(similarity[negative], true[negative])


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
    _freeze_statistics(model)
    objective.eval()
    views = TwoViews(**config["views"], seed=config["seed"])
    fields = list(stream.manifest.labels)
    sides: dict[str, Observation] = {}
    for batch in progress(stream.epoch(epoch), stream.batches_per_epoch, "observing an epoch", "batches"):
        first, second = embed_pair(model, views, batch, epoch, config["training"]["precision"])
        device = first.device
        labels = batch.labels[config["label"]].to(device)
        found = objective.inspect(first, second, batch.index.to(device), labels=labels, epoch=epoch)
        pair = [functional.normalize(z.float(), dim=1).cpu().numpy() for z in (first, second)]
        index = batch.index.numpy()
        for modality, seen in found.items():
            parts = pair if len(found) == 1 else [pair[0] if modality == "image" else pair[1]]
            others = pair if len(found) == 1 else [pair[1] if modality == "image" else pair[0]]
            if modality not in sides:
                width = pair[0].shape[1]
                sides[modality] = _empty(len(parts), len(others), stream.indices, width, fields)
            side = sides[modality]
            side.anchors[:, index], side.candidates[:, index] = np.stack(parts), np.stack(others)
            _record(side, seen, batch)
    return sides
