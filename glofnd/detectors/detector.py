"""What a detector of false negatives is: a rule that is shown similarities tile by tile and says which to drop."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from glofnd.parameters import Range
from glofnd.ranks import Ranks

__all__ = ["Alpha", "Batch", "Detector", "Screening", "StartFilter", "StartUpdate", "Tile", "Treatment"]

Alpha = Annotated[float, Range(gt=0, lt=1), "share of the data set that is to lie above an anchor's threshold"]
StartUpdate = Annotated[int, Range(ge=0), "first epoch in which thresholds learn"]
StartFilter = Annotated[int, Range(ge=0), "first epoch in which negatives are dropped; not before start_update"]
Treatment = Annotated[
    Literal["eliminate", "attract"], "eliminate drops a false negative, attract also makes it a positive of the anchor"
]

# Similarity that stands for "no candidate" (an anchor's own columns): below every threshold, and exp(FILL / tau) is 0.
FILL = -1e6


@dataclass(frozen=True)
class Batch:
    """One batch as a detector sees it.

    Attributes:
        index: sample index per anchor, int64 [B].
        embeddings: unit vectors of the anchors in V views, [V, B, D]; not to be changed.
        epoch: absolute epoch, from 0.
        negatives: negatives per row, before anything is dropped.
        training: whether state may change.
        labels: label per anchor, int64 [B], or None.
        candidate_labels: label per column, int64 [M], or None.
        ranks: the processes that share the batch, or None; all other attributes but `candidate_labels` and `negatives`
            are about this process's part.
    """

    index: Tensor
    embeddings: Tensor
    epoch: int
    negatives: int
    training: bool
    labels: Tensor | None = None
    candidate_labels: Tensor | None = None
    ranks: Ranks | None = None

    def candidate_index(self) -> Tensor:
        """Sample index per candidate, int64 [C], for the M = V C columns view by view; all ranks must ask together."""
        return self.index if self.ranks is None else self.ranks.gather(self.index)

    def mean_over_anchors(self, total: Tensor) -> Tensor:
        """Mean over the anchors of all processes from the sum over those of this one."""
        if self.ranks is None:
            return total / self.index.numel()
        return self.ranks.sum(total) / (self.index.numel() * self.ranks.size)


class Scratch(dict[tuple[object, ...], Tensor]):
    """Memory that is used again from step to step: on a CPU fresh pages cost as much as the arithmetic done in them."""

    def take(self, name: str, shape: tuple[int, ...], kind: Tensor) -> Tensor:
        """Memory called `name` with whatever it held before, of the dtype and device of `kind`."""
        # What is made in inference mode cannot be written outside of it.
        key, size = (name, kind.dtype, kind.device, torch.is_inference_mode_enabled()), math.prod(shape)
        held = self.get(key)
        if held is None or held.numel() < size:
            held = self[key] = torch.empty(size, dtype=kind.dtype, device=kind.device)
        return held[:size].view(shape)

    def like(self, name: str, other: Tensor) -> Tensor:
        """The same, in shape and strides of `other`, which is dense."""
        return self.take(name, (other.numel(),), other).as_strided(other.shape, other.stride())


class Tile:
    """Similarities of t anchors in V views to all candidates. A row is one anchor in one view.

    Unimodal: V = 2, and the 2B columns are both views of the batch. Bimodal: V = 1, and the B columns are the other
    modality. An anchor's own columns (V of them) are no negatives.

    Args:
        rows: which anchors of the batch.
        similarity: cosine similarities [V, t, M].
        offset: column of the first anchor in the first view.
        scratch: where masks live; the next mask, of this tile or another, overwrites the last.

    Attributes:
        similarity: as given, but an anchor's own columns hold `FILL`.
        own: view of the own columns, [V, V, t]: row (v, i) and the column of its view g.
        positive: similarity to the anchor's other view (or modality), [V, t].
        negatives: negatives per row.
    """

    def __init__(self, rows: slice, similarity: Tensor, offset: int, scratch: Scratch) -> None:
        self.rows, self.similarity, self.offset, self.scratch = rows, similarity, offset, scratch
        self.views = similarity.shape[0]
        self.negatives = similarity.shape[2] - self.views
        self.own = self.own_columns(similarity)
        # A copy, of the entries of view v and view v + 1.
        self.positive = self.own.flip(1).diagonal(dim1=0, dim2=1).mT
        self.own.fill_(FILL)

    def own_columns(self, values: Tensor) -> Tensor:
        """The entries of [V, t, M] that stand for an anchor itself, as a view [V, V, t]."""
        views, anchors, columns = values.shape
        groups = values.view(views, anchors, views, columns // views)
        return groups[..., self.offset : self.offset + anchors].diagonal(dim1=1, dim2=3)

    def transposed(self) -> Tile:
        """The same similarities, in the same memory, with candidates as anchors; for one view, whole."""
        assert self.views == 1 and self.similarity.shape[1] == self.similarity.shape[2]
        other = copy.copy(self)
        other.similarity = self.similarity.mT
        return other

    def share_above(self, threshold: Tensor) -> Tensor:
        """Share of each anchor's negatives, over all views, strictly above its threshold ([t] or scalar); [t]."""
        bound = self._bound(threshold).expand(self.similarity.shape[1]).unsqueeze(-1)
        above = torch.gt(self.similarity, bound, out=self.scratch.like("mask", self.similarity))
        return above.sum(-1).sum(0).to(threshold.dtype) / (self.views * self.negatives)

    def keep(self, threshold: Tensor) -> Tensor:
        """1 where the similarity is at most the threshold ([V, t]), else 0: [V, t, M]."""
        mask = self.scratch.like("mask", self.similarity)
        return torch.le(self.similarity, self._bound(threshold).unsqueeze(-1), out=mask)

    def _bound(self, threshold: Tensor) -> Tensor:
        # Nothing is more similar than 1, but rounding says so of equal embeddings.
        return threshold.to(self.similarity.dtype).masked_fill(threshold >= 1, math.inf)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each anchor's negatives over all views, both [t]."""
        count = self.views * self.negatives
        self.own.zero_()
        mean = self.similarity.sum(-1).sum(0) / count
        squares = torch.mul(self.similarity, self.similarity, out=self.scratch.like("mask", self.similarity))
        square = squares.sum(-1).sum(0) / count
        self.own.fill_(FILL)
        return mean, (square - mean.square()).clamp_min(0).sqrt()

    def upper_quantile(self, alpha: float) -> Tensor:
        """(1 - alpha)-quantile of each row's negatives, [V, t].

        The number `torch.quantile` gives with linear interpolation, at the cost of a top-k with k ~ alpha n.
        """
        position = alpha * (self.negatives - 1)
        # 0.1 * 30 is 3.0000000000000004: without rounding the interpolation would look one entry too far.
        position = round(position) if math.isclose(position, round(position), abs_tol=1e-9) else position
        above = math.floor(position)
        count = min(above + 2, self.negatives)
        largest = self.similarity.topk(count, dim=-1).values
        upper, lower = largest[..., above], largest[..., count - 1]
        return upper + (lower - upper) * (position - above)


class Screening:
    """A detector at work on one batch. Nothing reaches the detector's state before `commit`.

    Args:
        batch: the batch.
        learning: whether the detector's state is to change in this epoch.
        filtering: whether negatives are to be dropped in this epoch.

    Attributes:
        prepass: the rule needs all tiles (`learn`, then `settle`) before it can judge the first.
    """

    prepass = False

    def __init__(self, batch: Batch, learning: bool, filtering: bool) -> None:
        self.batch, self.filtering = batch, filtering
        self.learning = learning and batch.training and batch.negatives > 0

    def learn(self, tile: Tile) -> None:
        """Take in one tile; called once for each where `learning`."""

    def settle(self) -> None:
        """All tiles have been seen (only where `prepass`)."""

    def threshold(self, tile: Tile) -> Tensor | None:
        """The similarity above which a negative is dropped, [V, t]; None where there is no such number."""
        raise NotImplementedError

    def keep(self, tile: Tile) -> Tensor:
        """0 for the false negatives of the tile, else 1, floating point [V, t, M]; own columns do not matter."""
        threshold = self.threshold(tile)
        assert threshold is not None, "a rule without thresholds overrides `keep`"
        return tile.keep(threshold)

    def positives(self, tile: Tile, keep: Tensor) -> Tensor:
        """1 for what becomes a positive of its anchor under `attract`: what `keep` drops, unless a rule is choosier."""
        return 1 - keep

    def commit(self) -> None:
        """Write what was learned into the detector's state."""


class Detector(nn.Module):
    """Who is a false negative.

    Before both epochs a detector neither reads nor changes anything, so training equals that of `KeepAll` bit for bit.

    Args:
        num_samples: samples in the data set.
        start_update: first epoch in which state changes.
        start_filter: first epoch in which negatives are dropped.
        treatment: what happens to a found false negative: `eliminate` drops it (the paper), `attract` also makes it a
            positive of the anchor (false-negative cancellation, Huynh et al., WACV 2022).
    """

    unshared: str | None = None
    """Why all of its state must be in every process; None where it can be sharded."""

    def __init__(
        self, num_samples: int, start_update: int = 0, start_filter: int = 0, treatment: str = "eliminate"
    ) -> None:
        super().__init__()
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}")
        if start_filter < start_update:
            raise ValueError(f"start_filter ({start_filter}) must not come before start_update ({start_update})")
        self.num_samples = num_samples
        self.start_update, self.start_filter, self.treatment = start_update, start_filter, treatment

    @property
    def thresholds(self) -> Tensor | None:
        """Learned thresholds: [num_samples], a scalar where all samples share one, None where nothing is learned.

        Detectors that learn accept an assignment of that shape (over sharded ranks, of all samples, on every rank).
        """
        return None

    def misfit(self) -> str | None:
        """Why its options make no sense for so many samples, `option: why`; a config check asks before training."""
        return nothing_above(getattr(self, "alpha", None), self.num_samples)

    def screen(self, batch: Batch) -> Screening | None:
        """Start work on a batch; None where nothing is to be done in this epoch."""
        learning, filtering = batch.epoch >= self.start_update, batch.epoch >= self.start_filter
        if not filtering and not (learning and batch.training):
            return None
        return self.screening(batch, learning, filtering)

    def screening(self, batch: Batch, learning: bool, filtering: bool) -> Screening | None:
        """The rule at work on a batch, or None where it has nothing to do."""
        raise NotImplementedError


def nothing_above(alpha: float | None, samples: int, name: str = "alpha") -> str | None:
    """Why a share of so many samples cannot be told apart from none."""
    if alpha is None or alpha * (samples - 1) >= 1:
        return None
    return f"{name}: {alpha:g} of {samples} samples is less than one; raise it"
