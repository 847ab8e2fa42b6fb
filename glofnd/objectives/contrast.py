"""Loss and gradient of any objective of this package in one pass over tiles of anchors.

Every objective is a function of few numbers per row (one anchor in one view): the log-sum over its kept negatives, the
positive's similarity, the mean similarity of its positives. Its derivative with respect to each similarity follows in
closed form from the derivatives with respect to those numbers, so a tile of similarities is made, judged, turned into
gradient weights and forgotten: three matrix products, and memory for one tile, never for all pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from glofnd.detectors.base import FILL, Screening

__all__ = ["ClosedForm", "Contrast", "Criterion", "Rows", "Terms", "contrast", "similarities"]


@dataclass(frozen=True)
class Rows:
    """What an objective needs to know of t anchors in V views; all [V, t].

    Attributes:
        log_sum: log of the sum of exp(s / tau) over kept negatives, -inf where none is kept.
        mean: mean similarity of the kept negatives weighted by exp(s / tau), 0 where none is kept.
        kept: number of kept negatives, floating point.
        positive: similarity of the anchor's other view (or other modality).
        alignment: mean similarity of all positives; differs from `positive` only under the treatment `attract`.
        negatives: negatives per row, before anything was dropped.
    """

    log_sum: Tensor
    mean: Tensor
    kept: Tensor
    positive: Tensor
    alignment: Tensor
    negatives: int

    @property
    def empty(self) -> Tensor:
        """Rows without any negative left, bool [V, t]."""
        return self.kept == 0


@dataclass(frozen=True)
class Terms:
    """An objective's value per row and its partial derivatives; all [V, t], or scalars where they are constant.

    `d_temperature` is the derivative at fixed `log_sum`; the part that goes through `log_sum` is added by `contrast`.
    `d_log_sum` must be 0 in empty rows.
    """

    value: Tensor
    d_log_sum: Tensor
    d_alignment: Tensor
    d_positive: Tensor | None = None
    d_temperature: Tensor | None = None


class Criterion(Protocol):
    """An objective at work on one batch."""

    def temperature(self, rows: slice) -> Tensor:
        """tau of the anchors `rows`: scalar or [t]."""

    def terms(self, rows: slice, statistics: Rows) -> Terms:
        """Value and derivatives for the anchors `rows`."""

    def commit(self) -> None:
        """Write new per-sample state."""


@dataclass(frozen=True)
class Contrast:
    """Result of `contrast`: mean over anchors of the sum over views, and its gradients."""

    loss: Tensor
    anchors: Tensor
    candidates: Tensor
    temperature: Tensor


def similarities(anchors: Tensor, candidates: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
    """Similarities of the anchors `rows` to all candidates, with the anchors' own columns set to `FILL`.

    Args:
        anchors: [V, B, D].
        candidates: [G, B, D]; column (g, j) belongs to the same sample as anchor j.
        rows: which anchors, t of them.

    Returns:
        similarity [V, t, G * B] and the positives' similarity [V, t]: view v is paired with column (v + 1) mod G.
    """
    views, _, dim = anchors.shape
    groups, batch, _ = candidates.shape
    tile = anchors[:, rows].reshape(-1, dim)
    similarity = (tile @ candidates.reshape(-1, dim).T).view(views, -1, groups, batch)
    local = torch.arange(similarity.shape[1], device=anchors.device)
    own = local + rows.start
    view = torch.arange(views, device=anchors.device)
    positive = similarity[view[:, None], local, ((view + 1) % groups)[:, None], own]
    similarity[:, local, :, own] = FILL
    return similarity.view(views, -1, groups * batch), positive


@torch.no_grad()
def contrast(
    anchors: Tensor,
    candidates: Tensor,
    criterion: Criterion,
    screening: Screening | None,
    attract: bool,
    tile: int,
    with_gradient: bool,
) -> Contrast:
    """Loss and gradients of one set of anchors against one set of candidates.

    Args:
        anchors: unit vectors [V, B, D].
        candidates: unit vectors [G, B, D] (G = V = 2 unimodal, 1 bimodal).
        criterion: the objective at work.
        screening: the detector at work, or None to keep all.
        attract: whether dropped candidates become positives.
        tile: anchors per tile.
        with_gradient: False computes the loss alone.
    """
    views, batch, dim = anchors.shape
    groups = candidates.shape[0]
    negatives = groups * (batch - 1)
    tiles = [slice(start, min(start + tile, batch)) for start in range(0, batch, tile)]
    if screening is not None and screening.prepass:
        for rows in tiles:
            screening.learn(rows, similarities(anchors, candidates, rows)[0])
        screening.settle()

    flat = candidates.reshape(-1, dim)
    grad_anchors, grad_candidates = torch.zeros_like(anchors), torch.zeros_like(candidates)
    loss, grad_temperature = anchors.new_zeros(()), anchors.new_zeros(())
    for rows in tiles:
        similarity, positive = similarities(anchors, candidates, rows)
        dropped = None
        if screening is not None:
            if screening.learning and not screening.prepass:
                screening.learn(rows, similarity)
            if screening.filtering:
                dropped = screening.dropped(rows, similarity)
        tau = criterion.temperature(rows).to(similarity.dtype)
        statistics, weight, found = _statistics(similarity, positive, dropped, tau, negatives, attract)
        terms = criterion.terms(rows, statistics)
        loss += terms.value.sum() / batch
        if not with_gradient:
            continue
        through_tau = -terms.d_log_sum * statistics.mean / tau.square()
        grad_temperature += (through_tau if terms.d_temperature is None else through_tau + terms.d_temperature).sum()
        weight *= (terms.d_log_sum / tau).to(weight.dtype).unsqueeze(-1)
        to_positive = terms.d_alignment.expand_as(positive).to(weight.dtype)
        if found is not None:
            assert dropped is not None
            to_positive = to_positive / (1 + found)
            weight += dropped * to_positive.unsqueeze(-1)
        if terms.d_positive is not None:
            to_positive = to_positive + terms.d_positive
        weight, to_positive = weight.view(-1, weight.shape[-1]) / batch, to_positive.unsqueeze(-1) / batch
        part = anchors[:, rows]
        partner = candidates.roll(-1, 0)[:, rows]
        grad_anchors[:, rows] = (weight @ flat).view_as(part) + to_positive * partner
        grad_candidates.view(-1, dim).addmm_(weight.T, part.reshape(-1, dim))
        for view in range(views):
            grad_candidates[(view + 1) % groups, rows] += to_positive[view] * part[view]
    return Contrast(loss, grad_anchors, grad_candidates, grad_temperature / batch)


def _statistics(
    similarity: Tensor, positive: Tensor, dropped: Tensor | None, tau: Tensor, negatives: int, attract: bool
) -> tuple[Rows, Tensor, Tensor | None]:
    """Row statistics, softmax weights [V, t, M] over kept negatives, and with `attract` the number found per row."""
    kept = torch.full_like(positive, negatives)
    alignment, found = positive, None
    if dropped is not None:
        count = dropped.sum(-1).to(positive.dtype)
        kept = kept - count
        if attract:
            found = count
            alignment = (positive + torch.where(dropped, similarity, 0).sum(-1)) / (1 + found)
        similarity = similarity.masked_fill(dropped, FILL)
    logits = similarity / tau.unsqueeze(-1)
    largest = logits.amax(-1, keepdim=True)
    weight = logits.sub_(largest).exp_()
    total = weight.sum(-1)
    empty = kept == 0
    # An empty row holds FILL everywhere, which looks like a uniform row.
    weight = weight.div_(total.unsqueeze(-1)).masked_fill_(empty.unsqueeze(-1), 0)
    log_sum = (total.log() + largest.squeeze(-1)).masked_fill(empty, -torch.inf)
    mean = (weight * similarity).sum(-1)
    return Rows(log_sum, mean, kept, positive, alignment, negatives), weight, found


class ClosedForm(torch.autograd.Function):
    """A scalar whose gradients are computed together with it."""

    @staticmethod
    def forward(ctx: Any, compute: Callable[..., tuple[Tensor, ...]], *inputs: Tensor) -> Tensor:
        """`compute(*inputs, with_gradient)` gives the scalar and one gradient per input."""
        loss, *gradients = compute(*inputs, any(ctx.needs_input_grad))
        ctx.save_for_backward(*gradients)
        return loss

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """The stored gradients, scaled; there is no second derivative."""
        if torch.is_grad_enabled():
            raise RuntimeError("the objectives of glofnd have no second derivative: call backward without create_graph")
        return None, *(upstream * gradient for gradient in ctx.saved_tensors)
