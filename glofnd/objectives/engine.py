"""Loss and gradients of any objective, tile by tile.

A row is one anchor in one view. Most objectives are a function of a few numbers per row (`Rows`): the log-sum over its
kept negatives, its positive's similarity, and so on. Autograd gives the derivative of that function with respect to
those numbers; from there the derivative with respect to each similarity is known in closed form,

    d log_sum / d s_j = e^{s_j / tau} / (tau sum_k e^{s_k / tau}),

so a tile of similarities is made, judged by the detector, turned into gradients by two matrix products, and forgotten.
An objective that needs every similarity by itself (`Pairs`) gets autograd inside the tile instead. Memory is that of a
tile, never that of all pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from glofnd.detectors import Screening, Tile
from glofnd.detectors.detector import Scratch
from glofnd.state import SampleState, on_host

__all__ = ["ClosedForm", "Formula", "Pairs", "Rows", "Side", "contrast", "contrast_both"]

# exp of this and its inverse leave room for sums and products in float32.
LARGEST_EXPONENT = 60.0
LOG2_E = math.log2(math.e)
# Exponent of what is left out: exp of it is 0 beside any other.
NOTHING = -1e9


@dataclass(frozen=True)
class Context:
    """What both `Rows` and `Pairs` know beside similarities.

    Attributes:
        positive: similarity to the anchor's other view (or other modality), [V, t].
        negatives: negatives per row, before anything was dropped.
        kept: number of kept negatives, floating point [V, t].
        shared: the objective's learned scalars, by name (`Objective.shared`).
        state: per-sample state of the anchors before this batch, name -> [t].
        epoch: absolute epoch.
        new: what `store` was given.
    """

    positive: Tensor
    negatives: int
    kept: Tensor
    shared: dict[str, Tensor]
    state: dict[str, Tensor]
    epoch: int
    new: dict[str, Tensor] = field(default_factory=dict, kw_only=True)

    @property
    def temperature(self) -> Tensor:
        """tau: the anchors' own, [t], where the objective keeps one per sample, else the shared scalar."""
        return self.state["temperature"] if "temperature" in self.state else self.shared["temperature"]

    @cached_property
    def empty(self) -> Tensor:
        """Rows without any negative left, bool [V, t]."""
        return self.kept == 0

    def mean_over_views(self, values: Tensor) -> Tensor:
        """Mean of [V, t] over the views in which the anchor has negatives, [t]; 0 where it has none."""
        return values.masked_fill(self.empty, 0).sum(0) / (~self.empty).sum(0).clamp_min(1)

    def store(self, **values: Tensor) -> None:
        """New per-sample state of the anchors, [t] each; anchors without negatives in any view keep the old one."""
        self.new.update(values)


@dataclass(frozen=True)
class Rows(Context):
    """What an objective needs to know of t anchors in V views; all [V, t].

    Attributes:
        log_sum: log of the sum of exp(s / tau) over kept negatives, -inf where none is kept.
        gain: what the found false negatives add to the alignment; 0 unless the treatment is `attract`.
        weighted_mean: computes `mean`.
    """

    log_sum: Tensor
    gain: Tensor
    weighted_mean: Callable[[], Tensor]

    @property
    def alignment(self) -> Tensor:
        """Mean similarity of all positives: the anchor's own, and under `attract` what its detector found."""
        return self.positive + self.gain

    @property
    def log_mean(self) -> Tensor:
        """log of the mean of exp(s / tau) over kept negatives, -inf where none is kept."""
        return self.log_sum - self.kept.clamp_min(1).log()

    @cached_property
    def mean(self) -> Tensor:
        """Mean similarity of the kept negatives weighted by exp(s / tau), 0 where none is kept; not differentiated."""
        return self.weighted_mean()


@dataclass(frozen=True)
class Pairs(Context):
    """All similarities of t anchors in V views; [V, t, M].

    Attributes:
        similarity: to all candidates; 0 in the anchors' own columns.
        keep: 1 for kept negatives, else 0.
        found: 1 for false negatives that are to become positives (treatment `attract`), else 0.
    """

    similarity: Tensor
    keep: Tensor
    found: Tensor

    @cached_property
    def gain(self) -> Tensor:
        """As in `Rows`: mean similarity of the positive and what was found, less that of the positive, [V, t]."""
        found = self.found.sum(-1)
        return ((self.found * self.similarity).sum(-1) - found * self.positive) / (1 + found)

    def log_mean(self, scale: Tensor) -> Tensor:
        """log of the mean of exp(scale * s) over kept negatives, [V, t]; -inf where none is kept.

        Args:
            scale: scalar or [t].
        """
        exponent = torch.where(self.keep > 0, self.similarity * scale.unsqueeze(-1), NOTHING)
        # A finite stand-in, whose gradient is 0 and not NaN.
        log_mean = exponent.logsumexp(-1) - self.kept.clamp_min(1).log()
        return log_mean.masked_fill(self.empty, -math.inf)

    def softmax(self, logits: Tensor) -> Tensor:
        """exp(logits) of kept negatives, made to sum to 1 over each row, [V, t, M]; 0 elsewhere."""
        return torch.where(self.keep > 0, logits, NOTHING).softmax(-1) * self.keep


Formula = Callable[[Any], Tensor]
"""What an objective states: values of `Rows` or `Pairs`, [V, t], whose sum over views and mean over anchors is the
loss."""


@dataclass(eq=False)
class Side:
    """One set of anchors at work on one batch.

    Attributes:
        anchors: unit vectors [V, B, D], V views of B samples.
        candidates: unit vectors [V, C, D]; column (g, offset + i) belongs to the same sample as anchor i.
        offset: position of the first anchor among the candidates.
        formula: the objective's values.
        by_pairs: whether `formula` takes `Pairs` and not `Rows`.
        index: sample index per anchor.
        epoch: absolute epoch.
        shared: learned scalars, detached.
        state: table of the objective's per-sample state, or None.
        screening: the detector at work, or None to keep all.
        attract: whether dropped candidates become positives.
        scratch: where tiles live.
        to_anchors: [V, B, D], gradients are added to it; None computes the loss alone.
        to_candidates: [V, C, D]; may be the same memory.
        to_shared: gradients of the learned scalars, added up.
    """

    anchors: Tensor
    candidates: Tensor
    offset: int
    formula: Formula
    by_pairs: bool
    index: Tensor
    epoch: int
    shared: dict[str, Tensor]
    state: SampleState | None
    screening: Screening | None
    attract: bool
    scratch: Scratch
    to_anchors: Tensor | None
    to_candidates: Tensor | None
    to_shared: dict[str, Tensor]

    def __post_init__(self) -> None:
        self.views, self.batch, self.dim = self.anchors.shape
        # One candidate per row, [M, D].
        self.flat = self.candidates.reshape(-1, self.dim)
        self.old = {} if self.state is None else self.state.read(self.index)
        self.new = {name: value.clone() for name, value in self.old.items()}
        self.changed = torch.zeros_like(self.index, dtype=torch.bool)

    def tiles(self, anchors: int) -> Iterator[Tile]:
        """All similarities, `anchors` anchors at a time."""
        for start in range(0, self.batch, anchors):
            rows = slice(start, min(start + anchors, self.batch))
            block = self.anchors[:, rows].reshape(-1, self.dim)
            memory = self.scratch.take("similarity", (len(block), len(self.flat)), block)
            similarity = torch.mm(block, self.flat.T, out=memory)
            yield Tile(rows, similarity.view(self.views, -1, len(self.flat)), self.offset + start, self.scratch)

    @property
    def prepass(self) -> bool:
        """Whether the detector learns from all tiles before it judges the first."""
        return self.screening is not None and self.screening.learning and self.screening.prepass

    def learn_first(self, tiles: Iterable[Tile]) -> None:
        """Show all tiles to the detector."""
        assert self.screening is not None
        for tile in tiles:
            self.screening.learn(tile)
        self.screening.settle()

    def judge(self, tile: Tile) -> Tensor | None:
        """1 for kept negatives and own columns, 0 for dropped ones, [V, t, M]; None where all are kept."""
        if self.screening is None:
            return None
        if self.screening.learning and not self.screening.prepass:
            self.screening.learn(tile)
        if not self.screening.filtering:
            return None
        keep = self.screening.keep(tile)
        tile.own_columns(keep).fill_(1)
        return keep

    def positives(self, tile: Tile, keep: Tensor | None) -> Tensor | None:
        """1 for the false negatives that become positives, [V, t, M]; None where none do."""
        if keep is None or self.screening is None or not self.attract:
            return None
        return self.screening.positives(tile, keep)

    def values(self, rows: Rows | Pairs, tile: Tile, leaves: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Sum of the formula's values, and its gradients with respect to `leaves`; takes in new state."""
        learned = self.to_anchors is not None
        inputs = [*leaves, *self.shared.values()] if learned else []
        for leaf in inputs:
            leaf.requires_grad_()
        with torch.set_grad_enabled(learned):
            value = self.formula(rows).sum()
        slopes = [torch.zeros_like(leaf) for leaf in inputs]
        if value.requires_grad:
            found = torch.autograd.grad(value, inputs, allow_unused=True)
            slopes = [zero if slope is None else slope for zero, slope in zip(slopes, found, strict=True)]
        for leaf in inputs:
            leaf.requires_grad_(False)
        for name, slope in zip(self.shared, slopes[len(leaves) :], strict=False):
            self.to_shared[name] += slope / self.batch
        for name, new in rows.new.items():
            self.new[name][tile.rows] = new.detach().to(self.new[name].dtype)
        self.changed[tile.rows] = ~rows.empty.all(0)
        return value.detach(), slopes[: len(leaves)]

    def context(self, tile: Tile, keep: Tensor | None) -> dict[str, Any]:
        """The fields of `Context`."""
        kept = torch.full_like(tile.positive, tile.negatives) if keep is None else keep.sum(-1) - tile.views
        state = {name: value[tile.rows].to(tile.similarity.dtype) for name, value in self.old.items()}
        return {
            "positive": tile.positive,
            "negatives": tile.negatives,
            "kept": kept,
            "shared": self.shared,
            "state": state,
            "epoch": self.epoch,
        }

    def temperature(self, tile: Tile) -> Tensor:
        """tau of the tile's anchors: [t] where every sample has its own, else a scalar."""
        own = self.old.get("temperature")
        return self.shared["temperature"] if own is None else own[tile.rows].to(tile.similarity.dtype)

    def warm(self, anchors: Tensor, gradient: Tensor) -> None:
        """Add the gradient of a shared temperature that goes through similarities: each appears as s / tau."""
        if "temperature" in self.shared:
            self.to_shared["temperature"] -= (anchors * gradient).sum() / self.shared["temperature"]

    def pull(self, tile: Tile, slope: Tensor) -> None:
        """Add the gradient of each anchor's positive, `slope` [V, t], to both ends."""
        assert self.to_anchors is not None and self.to_candidates is not None
        own = slice(tile.offset, tile.offset + slope.shape[1])
        share = (slope / self.batch).unsqueeze(-1)
        # View v is pulled towards the other view (or modality) of the same sample, and that towards it.
        self.to_candidates[:, own] += (share * self.anchors[:, tile.rows]).flip(0)
        self.to_anchors[:, tile.rows] += share * self.candidates[:, own].flip(0)

    def commit(self) -> None:
        """Write all new state."""
        if self.state is not None:
            self.state.write(self.index, self.new, self.changed)
        if self.screening is not None:
            self.screening.commit()


def contrast(side: Side, anchors: int) -> Tensor:
    """Mean over anchors of the sum over views of an objective; adds its gradients to those of `side`.

    Args:
        side: one set of anchors.
        anchors: anchors per tile.
    """
    if side.prepass:
        side.learn_first(side.tiles(anchors))
    loss = side.anchors.new_zeros(())
    # Gradient with respect to the candidates, [D, M]: the layout in which a tile adds to it fastest.
    pulled = side.anchors.new_zeros((side.dim, len(side.flat)))
    for tile in side.tiles(anchors):
        loss += (_by_pairs if side.by_pairs else _by_rows)(side, tile, pulled)
    if side.to_candidates is not None:
        side.to_candidates += pulled.T.view_as(side.to_candidates)
    return loss / side.batch


def _by_rows(side: Side, tile: Tile, pulled: Tensor) -> Tensor:
    """Sum of a tile's values; adds its gradients."""
    anchors, tau = side.anchors[:, tile.rows], side.temperature(tile)
    keep, context, weight, inverse, log_sum = _weigh(side, tile, tile.similarity)
    gain = torch.zeros_like(tile.positive)
    if (positives := side.positives(tile, keep)) is not None:
        found, positives = positives.sum(-1), positives.flatten(0, 1)
        attraction = (positives @ side.flat).view_as(anchors)
        gain = (tile.positive + (anchors * attraction).sum(-1)) / (1 + found) - tile.positive
    # sum_j e^{s_ij / tau} c_j: gives the anchors' gradient, and the weighted mean similarity without another pass.
    pull = (weight.flatten(0, 1) @ side.flat).view_as(anchors)
    rows = Rows(log_sum=log_sum, gain=gain, weighted_mean=lambda: (anchors * pull).sum(-1) * inverse, **context)
    value, slopes = side.values(rows, tile, [log_sum, tile.positive, gain])
    if side.to_anchors is None:
        return value
    to_log_sum, to_positive, to_gain = slopes
    scale = (to_log_sum * inverse / (tau * side.batch)).unsqueeze(-1)
    gradient = pull.mul_(scale)
    side.warm(anchors, gradient)
    pulled.addmm_((anchors * scale).reshape(-1, side.dim).T, weight.flatten(0, 1))
    if positives is not None:
        to_found = to_gain / (1 + found)
        to_positive = to_positive - to_gain + to_found
        share = (to_found / side.batch).unsqueeze(-1)
        gradient.addcmul_(share, attraction)
        pulled.addmm_((anchors * share).reshape(-1, side.dim).T, positives)
    side.to_anchors[:, tile.rows] += gradient
    side.pull(tile, to_positive)
    return value


def _by_pairs(side: Side, tile: Tile, pulled: Tensor) -> Tensor:
    """The same for a formula of all similarities, by autograd inside the tile."""
    keep, anchors = side.judge(tile), side.anchors[:, tile.rows]
    context, similarity = side.context(tile, keep), tile.similarity
    found = side.positives(tile, keep)
    keep = torch.ones_like(similarity) if keep is None else keep
    found = torch.zeros_like(keep[..., :1]).expand_as(keep) if found is None else found
    tile.own_columns(keep).zero_()
    tile.own.zero_()
    pairs = Pairs(similarity=similarity, keep=keep, found=found, **context)
    value, slopes = side.values(pairs, tile, [similarity, tile.positive])
    if side.to_anchors is not None:
        slope = (slopes[0] / side.batch).flatten(0, 1)
        side.to_anchors[:, tile.rows] += (slope @ side.flat).view_as(anchors)
        pulled.addmm_(anchors.reshape(-1, side.dim).T, slope)
        side.pull(tile, slopes[1])
    return value


def contrast_both(image: Side, text: Side) -> Tensor:
    """Sum over both directions of `contrast` by rows, from one matrix of similarities, where that is small enough.

    Text anchors see the transposed matrix: their tile is a transposed view of the same memory. The weights of both
    directions are added before they meet the embeddings, so three matrix products do the work of six. Candidates are
    eliminated, not attracted.
    """
    (tile,) = image.tiles(image.batch)
    loss, weights = image.anchors.new_zeros(()), list[Tensor]()
    for side, view in ((image, tile), (text, tile.transposed())):
        if side.prepass:
            side.learn_first([view])
        memory = image.scratch.like(f"weight {len(weights)}", view.similarity)
        _, context, weight, inverse, log_sum = _weigh(side, view, memory)
        mean = partial(_weighted_mean, view.similarity, weight, inverse)
        rows = Rows(log_sum=log_sum, gain=torch.zeros_like(log_sum), weighted_mean=mean, **context)
        value, slopes = side.values(rows, view, [log_sum, view.positive])
        loss += value
        if side.to_anchors is not None:
            scale = slopes[0] * inverse / (side.temperature(view) * side.batch)
            weights.append(weight.mul_(scale.unsqueeze(-1)))
            side.pull(view, slopes[1])
    if image.to_anchors is not None and image.to_candidates is not None:
        weight = weights[0].add_(weights[1].mT)[0]
        gradient = weight @ text.anchors[0]
        image.warm(image.anchors[0], gradient)
        image.to_anchors[0] += gradient
        image.to_candidates[0] += (image.anchors[0].T @ weight).T
    return loss / image.batch


def _weigh(side: Side, tile: Tile, out: Tensor) -> tuple[Tensor | None, dict[str, Any], Tensor, Tensor, Tensor]:
    """Keep-mask, fields of `Context`, exp(s / tau) of kept negatives in `out`, 1 / its sum, and log of its sum."""
    keep = side.judge(tile)
    context = side.context(tile, keep)
    weight, total, log_sum = exponentials(tile.similarity, keep, side.temperature(tile), out)
    empty = context["kept"] == 0
    return keep, context, weight, total.reciprocal().masked_fill_(empty, 0), log_sum.masked_fill_(empty, -math.inf)


def _weighted_mean(similarity: Tensor, weight: Tensor, inverse: Tensor) -> Tensor:
    mean: Tensor = torch.linalg.vecdot(similarity, weight)
    return mean * inverse


def exponentials(similarity: Tensor, keep: Tensor | None, tau: Tensor, out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """exp(s / tau) over kept candidates and 0 elsewhere, its sum over a row [V, t], and the logarithm of that sum.

    The first two are divided by a common factor per row where they would otherwise leave the range of numbers. Powers
    of 2, since on a CPU they are computed four times as fast as powers of e, and to the same error.

    Args:
        similarity: [V, t, M].
        keep: 1 or 0, [V, t, M], or None to keep all.
        tau: scalar or [t].
        out: [V, t, M], memory for the result; may be that of `similarity`.
    """
    scale = (LOG2_E / tau).unsqueeze(-1)
    # Where a GPU holds tau, waiting for it takes longer than what is saved here.
    if on_host(tau) and float(tau.amin()) >= 1 / LARGEST_EXPONENT:
        weight = torch.mul(similarity, scale, out=out).exp2_()
        total = (weight if keep is None else weight.mul_(keep)).sum(-1)
        return weight, total, total.log()
    if keep is None:
        largest = similarity.amax(-1, keepdim=True)
        weight = torch.sub(similarity, largest, out=out).mul_(scale).exp2_()
    else:
        # The largest kept similarity: 1 + s is not negative, so what is dropped counts as -1.
        largest = torch.addcmul(keep, keep, similarity).amax(-1, keepdim=True) - 1
        weight = torch.sub(similarity, largest, out=out).mul_(scale).clamp_(max=LARGEST_EXPONENT * LOG2_E)
        weight.exp2_().mul_(keep)
    total = weight.sum(-1)
    return weight, total, total.log() + largest.squeeze(-1) / tau


class ClosedForm(torch.autograd.Function):
    """A scalar whose gradients are computed together with it."""

    @staticmethod
    def forward(ctx: Any, compute: Callable[..., tuple[Tensor | None, ...]], *inputs: Tensor) -> Tensor | None:
        """`compute(*inputs, needed)` gives the scalar and one gradient per input, None where that is not needed."""
        loss, *gradients = compute(*inputs, any(ctx.needs_input_grad[1:]))
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
