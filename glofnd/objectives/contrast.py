"""Loss and gradient of any objective of this package in one pass over tiles of anchors.

Every objective is a function of few numbers per row (one anchor in one view): the log-sum over its kept negatives, the
positive's similarity, the mean similarity of its positives. Its derivative with respect to each similarity follows in
closed form from the derivatives with respect to those numbers, so a tile of similarities is made, judged, turned into
gradients and forgotten: three matrix products, and memory for one tile, never for all pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from glofnd.detectors.base import Screening
from glofnd.detectors.tile import Similarities, Tile

__all__ = ["ClosedForm", "Criterion", "Gradients", "Rows", "Side", "Terms", "contrast", "exponentials"]

# exp of this and its inverse leave room for sums and products in float32.
LARGEST_EXPONENT = 60.0


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

    def through_temperature(self, mean: Tensor, tau: Tensor) -> Tensor:
        """The whole derivative with respect to the temperature; `mean` as in `Rows`."""
        through_log_sum = -self.d_log_sum * mean / tau.square()
        return through_log_sum if self.d_temperature is None else through_log_sum + self.d_temperature


class Criterion(Protocol):
    """An objective at work on one batch."""

    def temperature(self, rows: slice) -> Tensor:
        """tau of the anchors `rows`: scalar or [t]."""

    def terms(self, rows: slice, statistics: Rows) -> Terms:
        """Value and derivatives for the anchors `rows`."""

    def commit(self) -> None:
        """Write new per-sample state."""


@dataclass(frozen=True)
class Gradients:
    """Where `contrast` adds its gradients: [V, B, D], [G, C, D] (may be the same memory) and a scalar."""

    anchors: Tensor
    candidates: Tensor
    temperature: Tensor


@dataclass(frozen=True)
class Side:
    """One set of anchors at work on one batch.

    Attributes:
        pairs: anchors and candidates.
        criterion: the objective at work.
        screening: the detector at work, or None to keep all.
        attract: whether dropped candidates become positives.
        gradients: what the gradients are added to; None computes the loss alone.
    """

    pairs: Similarities
    criterion: Criterion
    screening: Screening | None
    attract: bool
    gradients: Gradients | None

    def commit(self) -> None:
        """Write all new state."""
        self.criterion.commit()
        if self.screening is not None:
            self.screening.commit()


@torch.no_grad()
def contrast(side: Side) -> Tensor:
    """Mean over anchors of the sum over views of an objective; adds its gradients to `side.gradients`."""
    pairs, screening = side.pairs, side.screening
    if screening is not None and screening.prepass:
        for rows in pairs.tiles():
            screening.learn(pairs.tile(rows))
        screening.settle()
    loss = pairs.anchors.new_zeros(())
    for rows in pairs.tiles():
        tile = pairs.tile(rows)
        if screening is not None and screening.learning and not screening.prepass:
            screening.learn(tile)
        keep = screening.keep(tile) if screening is not None and screening.filtering else None
        loss += _add_tile(side, tile, keep)
    return loss


def _add_tile(side: Side, tile: Tile, keep: Tensor | None) -> Tensor:
    pairs, gradients, rows = side.pairs, side.gradients, tile.rows
    anchors = pairs.anchors[:, rows]
    flat = pairs.candidates.view(-1, pairs.dim)
    tau = side.criterion.temperature(rows).to(anchors.dtype)
    kept, alignment = torch.full_like(tile.positive, pairs.negatives), tile.positive
    dropped = None
    if keep is not None:
        # Own columns count as kept, but have no weight.
        kept = keep.sum(-1) - pairs.groups
        if side.attract:
            dropped = 1 - keep.view(-1, pairs.columns)
            found = pairs.negatives - kept
            attraction = (dropped @ flat).view_as(anchors)
            alignment = (tile.positive + (anchors * attraction).sum(-1)) / (1 + found)
    empty = kept == 0

    weight, shift = exponentials(tile.similarity, keep, tau)
    total = weight.sum(-1)
    # sum_j e^{s_ij / tau} c_j: gives the anchors' gradient, and the weighted mean similarity without another pass.
    pull = (weight.view(-1, pairs.columns) @ flat).view_as(anchors)
    inverse = torch.where(empty, 0, 1 / total)
    log_sum = torch.where(empty, -torch.inf, total.log() + shift)
    mean = (anchors * pull).sum(-1) * inverse

    terms = side.criterion.terms(rows, Rows(log_sum, mean, kept, tile.positive, alignment, pairs.negatives))
    loss = terms.value.sum() / pairs.batch
    if gradients is None:
        return loss
    gradients.temperature.add_(terms.through_temperature(mean, tau).sum() / pairs.batch)

    scale = (terms.d_log_sum / tau * inverse / pairs.batch).to(anchors.dtype).unsqueeze(-1)
    to_positive = terms.d_alignment.expand_as(tile.positive) / pairs.batch
    gradient = scale * pull
    gradients.candidates.view(-1, pairs.dim).addmm_(
        weight.view(-1, pairs.columns).T, (scale * anchors).view(-1, pairs.dim)
    )
    if dropped is not None:
        to_positive = to_positive / (1 + found)
        share = to_positive.unsqueeze(-1)
        gradient += share * attraction
        gradients.candidates.view(-1, pairs.dim).addmm_(dropped.T, (share * anchors).view(-1, pairs.dim))
    if terms.d_positive is not None:
        to_positive = to_positive + terms.d_positive / pairs.batch
    own = slice(pairs.offset + rows.start, pairs.offset + rows.stop)
    for view in range(pairs.views):
        partner = (view + 1) % pairs.groups
        share = to_positive[view].unsqueeze(-1).to(anchors.dtype)
        gradient[view] += share * pairs.candidates[partner, own]
        gradients.candidates[partner, own] += share * anchors[view]
    gradients.anchors[:, rows] += gradient
    return loss


def exponentials(similarity: Tensor, keep: Tensor | None, tau: Tensor) -> tuple[Tensor, Tensor]:
    """exp(s / tau - shift) over kept candidates and 0 elsewhere, in the memory of `similarity`, and shift [V, t]."""
    inverse = (1 / tau).unsqueeze(-1)
    if float(inverse.max()) <= LARGEST_EXPONENT:
        weight = similarity.mul_(inverse).exp_()
        return (weight if keep is None else weight.mul_(keep)), weight.new_zeros(())
    if keep is None:
        largest = similarity.amax(-1, keepdim=True)
        return similarity.sub_(largest).mul_(inverse).exp_(), (largest * inverse).squeeze(-1)
    # The largest kept similarity: 1 + s is not negative, so what is dropped counts as -1.
    largest = torch.addcmul(keep, keep, similarity).amax(-1, keepdim=True) - 1
    weight = similarity.sub_(largest).mul_(inverse).clamp_(max=LARGEST_EXPONENT).exp_().mul_(keep)
    return weight, (largest * inverse).squeeze(-1)


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
