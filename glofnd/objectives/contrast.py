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
from glofnd.objectives.exponentials import exponentials
from glofnd.products import products

__all__ = ["ClosedForm", "Criterion", "Gradients", "Rows", "Side", "Terms", "contrast", "count"]


@dataclass(frozen=True)
class Rows:
    """What an objective needs to know of t anchors in V views; all [V, t].

    Attributes:
        log_sum: log of the sum of exp(s / tau) over kept negatives, -inf where none is kept.
        mean: gives the mean similarity of the kept negatives weighted by exp(s / tau), 0 where none is kept; costs
            something and must be asked within `terms`.
        kept: number of kept negatives, floating point.
        positive: similarity of the anchor's other view (or other modality).
        alignment: mean similarity of all positives; differs from `positive` only under the treatment `attract`.
        negatives: negatives per row, before anything was dropped.
        empty: rows without any negative left, bool; None where every row has some, which spares much work.
    """

    log_sum: Tensor
    mean: Callable[[], Tensor]
    kept: Tensor
    positive: Tensor
    alignment: Tensor
    negatives: int
    empty: Tensor | None

    def where_kept(self, value: Tensor, otherwise: Tensor | float = 0.0) -> Tensor:
        """`value`, and `otherwise` in empty rows."""
        return value if self.empty is None else torch.where(self.empty, otherwise, value)


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
class Gradients:
    """Where `contrast` adds its gradients: [V, B, D], [V, C, D] (may be the same memory), and a scalar.

    `temperature` is None where that is not learned by the optimiser.
    """

    anchors: Tensor
    candidates: Tensor
    temperature: Tensor | None


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


def contrast(side: Side) -> Tensor:
    """Mean over anchors of the sum over views of an objective; adds its gradients to `side.gradients`."""
    pairs, screening, gradients = side.pairs, side.screening, side.gradients
    if screening is not None and screening.prepass:
        for rows in pairs.tiles():
            screening.learn(pairs.tile(rows))
        screening.settle()
    loss = pairs.anchors.new_zeros(())
    # Gradient with respect to the candidates, [D, V * C]: the layout in which a tile adds to it fastest.
    pulled: Tensor | None = None
    for rows in pairs.tiles():
        tile = pairs.tile(rows)
        if screening is not None and screening.learning and not screening.prepass:
            screening.learn(tile)
        keep = screening.keep(tile) if screening is not None and screening.filtering else None
        value, pull = _treat(side, tile, keep)
        loss += value
        if pull is not None:
            pulled = pull if pulled is None else pulled.add_(pull)
    if gradients is not None and pulled is not None:
        gradients.candidates.add_(pulled.T.contiguous().view_as(gradients.candidates))
    return loss / pairs.batch


def _treat(side: Side, tile: Tile, keep: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Sum of a tile's values, and its gradient with respect to the candidates as `contrast` adds it up."""
    pairs, gradients, rows = side.pairs, side.gradients, tile.rows
    anchors = pairs.anchors[:, rows]
    tau = side.criterion.temperature(rows).to(anchors.dtype)
    kept, empty = count(tile, keep)
    alignment = tile.positive
    if keep is not None and side.attract:
        dropped, found = 1 - keep.view(-1, pairs.columns), pairs.negatives - kept
        attraction = products(dropped, pairs.flat.T).view_as(anchors)
        alignment = (tile.positive + (anchors * attraction).sum(-1)) / (1 + found)
    weight, total, log_sum = exponentials(tile.similarity, keep, tau, tile.similarity)
    # sum_j e^{s_ij / tau} c_j: gives the anchors' gradient, and the weighted mean similarity without another pass.
    pull = products(weight.view(-1, pairs.columns), pairs.flat.T).view_as(anchors)
    inverse = total.reciprocal() if empty is None else total.reciprocal().masked_fill_(empty, 0)
    statistics = Rows(
        log_sum,
        lambda: (anchors * pull).sum(-1) * inverse,
        kept,
        tile.positive,
        alignment,
        pairs.negatives,
        empty,
    )
    terms = side.criterion.terms(rows, statistics)
    value = terms.value.sum()
    if gradients is None:
        return value, None
    scale = (terms.d_log_sum * inverse / (tau * pairs.batch)).unsqueeze(-1)
    gradient = pull.mul_(scale)
    if gradients.temperature is not None:
        gradients.temperature.sub_((anchors * gradient).sum() / tau)
        if terms.d_temperature is not None:
            gradients.temperature.add_(terms.d_temperature.sum() / pairs.batch)
    to_candidates = products((anchors * scale).view(-1, pairs.dim).T, weight.view(-1, pairs.columns).T)
    to_positive = terms.d_alignment.expand_as(tile.positive) / pairs.batch
    if keep is not None and side.attract:
        to_positive = to_positive / (1 + found)
        share = to_positive.unsqueeze(-1)
        gradient.addcmul_(share, attraction)
        to_candidates += products((anchors * share).view(-1, pairs.dim).T, dropped.T)
    if terms.d_positive is not None:
        to_positive = to_positive + terms.d_positive / pairs.batch
    # View v is pulled towards the other view (or modality) of the same sample, and that towards it.
    share = to_positive.unsqueeze(-1)
    own = slice(pairs.offset + rows.start, pairs.offset + rows.stop)
    gradients.candidates[:, own].add_((share * anchors).flip(0))
    gradients.anchors[:, rows].add_(gradient.addcmul_(share, pairs.candidates[:, own].flip(0)))
    return value, to_candidates


def count(tile: Tile, keep: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Negatives kept of each row, and which rows keep none (None: no row), both [V, t]."""
    if keep is None:
        kept = torch.full_like(tile.positive, tile.negatives)
        return kept, None if tile.negatives else kept == 0
    # Own columns count as kept, but have no weight.
    kept = keep.sum(-1) - tile.views
    empty = kept == 0
    return kept, empty if bool(empty.any()) else None


class ClosedForm(torch.autograd.Function):
    """A scalar whose gradients are computed together with it."""

    @staticmethod
    def forward(ctx: Any, compute: Callable[..., tuple[Tensor | None, ...]], *inputs: Tensor) -> Tensor | None:
        """`compute(*inputs, needed)` gives the scalar and one gradient per input, None where that is not needed."""
        loss, *gradients = compute(*inputs, ctx.needs_input_grad[1:])
        ctx.save_for_backward(*gradients)
        ctx.dtypes = [value.dtype for value in inputs]
        return loss

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """The stored gradients, scaled; there is no second derivative."""
        if torch.is_grad_enabled():
            raise RuntimeError("the objectives of glofnd have no second derivative: call backward without create_graph")
        # Rounded to half precision only after it has been scaled: that is what loss scaling is for.
        pairs = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        return None, *(None if g is None else (upstream * g).to(dtype) for g, dtype in pairs)
