"""Similarities of a few anchors to all candidates, in buffers that the next few anchors use again."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from glofnd.products import products

__all__ = ["FILL", "Similarities", "Tile", "Workspace"]

# Similarity that stands for "no candidate" (an anchor's own columns): below every threshold, and exp(FILL / tau) is 0.
FILL = -1e6


class Workspace:
    """Memory that is used again from step to step: on a CPU fresh pages cost as much as the arithmetic done in them."""

    def __init__(self) -> None:
        self._memory: dict[tuple[str, torch.dtype, torch.device, bool], Tensor] = {}

    def take(self, name: str, size: int, like: Tensor) -> Tensor:
        """`size` elements with whatever they held before, of the dtype and device of `like`."""
        # What is made in inference mode cannot be written outside of it.
        key = (name, like.dtype, like.device, torch.is_inference_mode_enabled())
        held = self._memory.get(key)
        if held is None or held.numel() < size:
            held = self._memory[key] = torch.empty(size, dtype=like.dtype, device=like.device)
        return held[:size]

    def __deepcopy__(self, memo: object) -> Workspace:
        return Workspace()

    def __reduce__(self) -> tuple[type[Workspace], tuple[()]]:
        return Workspace, ()


class Similarities:
    """All similarities between a set of anchors and a set of candidates, made tile by tile.

    Args:
        anchors: unit vectors [V, B, D], V views of B samples.
        candidates: unit vectors [V, C, D]; column (g, offset + i) belongs to the same sample as anchor i.
        offset: position of the first anchor among the candidates.
        rows: anchors per tile.
        workspace: where masks live.
    """

    def __init__(self, anchors: Tensor, candidates: Tensor, offset: int, rows: int, workspace: Workspace) -> None:
        self.anchors, self.candidates, self.offset, self.workspace = anchors, candidates, offset, workspace
        self.views, self.batch, self.dim = anchors.shape
        self.columns = self.views * candidates.shape[1]
        self.negatives = self.columns - self.views
        self.rows = min(rows, self.batch)
        # One candidate per row, [V * C, D].
        self.flat = candidates.view(-1, self.dim)

    def tiles(self) -> list[slice]:
        """The anchors, cut into tiles."""
        return [slice(start, min(start + self.rows, self.batch)) for start in range(0, self.batch, self.rows)]

    def product(self, rows: slice) -> Tensor:
        """The similarities of the anchors `rows`, own columns included: [V, t, V * C]."""
        anchors = self.anchors[:, rows]
        return products(anchors.reshape(-1, self.dim), self.flat).view(self.views, -1, self.columns)

    def tile(self, rows: slice) -> Tile:
        """The similarities of the anchors `rows`; an earlier tile's masks are overwritten."""
        similarity = self.product(rows)
        size, first = similarity.shape[1], self.offset + rows.start
        group = self.columns // self.views
        own = similarity.as_strided(
            (self.views, self.views, size), (size * self.columns, group, self.columns + 1), first
        )
        # A copy, of the entries of view v and group v + 1.
        positive = own.flip(1).diagonal(dim1=0, dim2=1).mT
        own.fill_(FILL)
        mask = self.workspace.take("mask", similarity.numel(), similarity).view(similarity.shape)
        return Tile(rows, similarity, mask, own, positive)


class Tile:
    """Similarities of t anchors in V views to all candidates.

    Attributes:
        rows: which anchors.
        similarity: [V, t, V * C]; an anchor's own columns hold `FILL`.
        positive: similarity of each anchor's other view (or modality), [V, t].
        negatives: negatives per row.
    """

    def __init__(self, rows: slice, similarity: Tensor, mask: Tensor, own: Tensor, positive: Tensor) -> None:
        self.rows, self.similarity, self._mask = rows, similarity, mask
        # [V, V, t], a view of the anchors' own columns.
        self._own, self.positive = own, positive
        self.views = similarity.shape[0]
        self.negatives = similarity.shape[2] - own.shape[1]

    def transposed(self) -> Tile:
        """The same similarities, in the same memory, with candidates as anchors; for one view, whole."""
        assert self.views == 1 and self.similarity.shape[1] == self.similarity.shape[2]
        return Tile(self.rows, self.similarity.mT, self._mask.mT, self._own, self.positive)

    def share_above(self, threshold: Tensor) -> Tensor:
        """Share of each anchor's negatives, over all views, strictly above its threshold ([t] or scalar); [t]."""
        bound = self._bound(threshold).expand(self.similarity.shape[1]).unsqueeze(-1)
        torch.gt(self.similarity, bound, out=self._mask)
        return self._mask.sum(-1).sum(0).to(threshold.dtype) / (self.views * self.negatives)

    def keep(self, threshold: Tensor) -> Tensor:
        """1 where the similarity is at most the threshold ([V, t]), else 0: [V, t, V * C], until the next call."""
        return torch.le(self.similarity, self._bound(threshold).unsqueeze(-1), out=self._mask)

    def _bound(self, threshold: Tensor) -> Tensor:
        # Nothing is more similar than 1, but rounding says so of equal embeddings.
        return threshold.to(self.similarity.dtype).masked_fill(threshold >= 1, math.inf)

    def weighted_sum(self, weight: Tensor) -> Tensor:
        """Sum over candidates of weight times similarity, [V, t]; own columns must have no weight."""
        return torch.mul(self.similarity, weight, out=self._mask).sum(-1)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each anchor's negatives over all views, both [t]."""
        count = self.views * self.negatives
        self._own.zero_()
        mean = self.similarity.sum(-1).sum(0) / count
        square = torch.mul(self.similarity, self.similarity, out=self._mask).sum(-1).sum(0) / count
        self._own.fill_(FILL)
        return mean, (square - mean.square()).clamp_min(0).sqrt()
