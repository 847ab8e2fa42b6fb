"""Both directions of an image-text objective from one similarity matrix, where that matrix is small enough to be kept.

Text anchors see the transposed matrix: their tile is a transposed view of the same memory. The gradient weights of both
directions are added before they meet the embeddings, so three matrix products do the work of six.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from glofnd.detectors.tile import Tile
from glofnd.objectives.contrast import Rows, Side, count
from glofnd.objectives.exponentials import exponentials
from glofnd.products import products

__all__ = ["contrast_both"]


def contrast_both(image: Side, text: Side) -> Tensor:
    """Sum over both directions of the mean over anchors; adds the gradients to `image.gradients`.

    The treatment of false negatives is `eliminate`, and all anchors fit one tile.

    Args:
        image: images [1, B, D] as anchors, texts [1, B, D] as candidates.
        text: the other way round; its pairs and gradients are not used.
    """
    pairs, gradients = image.pairs, image.gradients
    everything = slice(0, pairs.batch)
    tile = pairs.tile(everything)
    loss = pairs.anchors.new_zeros(())
    to_positive = torch.zeros_like(tile.positive)
    weights: list[Tensor] = []
    for side, view in ((image, tile), (text, tile.transposed())):
        screening, criterion = side.screening, side.criterion
        if screening is not None and screening.learning:
            screening.learn(view)
            screening.settle()
        keep = screening.keep(view) if screening is not None and screening.filtering else None
        kept, empty = count(view, keep)
        tau = criterion.temperature(everything).to(view.similarity.dtype)
        memory = pairs.workspace.take(f"weight {len(weights)}", view.similarity.numel(), view.similarity)
        memory = memory.as_strided(view.similarity.shape, view.similarity.stride())
        weight, total, log_sum = exponentials(view.similarity, keep, tau, memory)
        inverse = total.reciprocal() if empty is None else total.reciprocal().masked_fill_(empty, 0)
        mean = partial(_weighted_mean, view, weight, inverse)
        statistics = Rows(log_sum, mean, kept, view.positive, view.positive, view.negatives, empty)
        terms = criterion.terms(everything, statistics)
        loss += terms.value.sum()
        if gradients is None:
            continue
        if gradients.temperature is not None and terms.d_temperature is not None:
            gradients.temperature.add_(terms.d_temperature.sum() / pairs.batch)
        weights.append(weight.mul_((terms.d_log_sum / tau * inverse).unsqueeze(-1)))
        to_positive += terms.d_alignment
        if terms.d_positive is not None:
            to_positive += terms.d_positive
    if gradients is not None:
        weight = weights[0].add_(weights[1].mT)[0]
        images, texts = pairs.anchors[0], pairs.candidates[0]
        share = to_positive[0].unsqueeze(-1)
        to_images, to_texts = products(weight, texts.T), products(images.T, weight.T).T.contiguous()
        if gradients.temperature is not None:
            gradients.temperature.sub_((images * to_images).sum() / (tau * pairs.batch))
        gradients.anchors[0].add_(to_images.addcmul_(share, texts), alpha=1 / pairs.batch)
        gradients.candidates[0].add_(to_texts.addcmul_(share, images), alpha=1 / pairs.batch)
    return loss / pairs.batch


def _weighted_mean(tile: Tile, weight: Tensor, inverse: Tensor) -> Tensor:
    return tile.weighted_sum(weight) * inverse
