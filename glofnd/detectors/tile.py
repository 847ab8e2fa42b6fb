"""Similarities of a few anchors to all candidates, in buffers that the next few anchors use again."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["FILL", "Similarities", "Tile", "Workspace"]

# Similarity that stands for "no candidate" (an anchor's own columns): below every threshold, and exp(FILL / tau) is 0.
FILL = -1e6


class Workspace:
    """Memory that is used again from step to step: on a CPU fresh pages cost as much as the arithmetic done in them."""

    def __init__(self) -> None:
        self._memory: dict[tuple[str, torch.dtype, torch.device], Tensor] = {}

    def take(self, name: str, size: int, like: Tensor) -> Tensor:
        """`size` elements with whatever they held before, of the dtype and device of `like`."""
        key = (name, like.dtype, like.device)
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

    Masks are floating point and written into one buffer: comparing into bool and filling under a bool mask are several
    times slower on a CPU than the arithmetic they stand for, and fresh memory for each tile costs as much again.

    Args:
        anchors: unit vectors [V, B, D], V views of B samples.
        candidates: unit vectors [G, C, D]; column (g, offset + i) belongs to the same sample as anchor i.
        offset: position of the first anchor among the candidates.
        rows: anchors per tile.
        workspace: where tiles live.
    """

    def __init__(self, anchors: Tensor, candidates: Tensor, offset: int, rows: int, workspace: Workspace) -> None:
        self.anchors, self.candidates, self.offset, self.workspace = anchors, candidates, offset, workspace
        self.views, self.batch, self.dim = anchors.shape
        self.groups, self.columns = candidates.shape[0], candidates.shape[0] * candidates.shape[1]
        self.negatives = self.columns - self.groups
        self.rows = min(rows, self.batch)

    def tiles(self) -> list[slice]:
        """The anchors, cut into tiles."""
        return [slice(start, min(start + self.rows, self.batch)) for start in range(0, self.batch, self.rows)]

    def tile(self, rows: slice) -> Tile:
        """The similarities of the anchors `rows`; what an earlier tile held is overwritten."""
        size = rows.stop - rows.start
        shape = (self.views, size, self.columns)
        count = self.views * size * self.columns
        similarity, mask = (
            self.workspace.take(name, count, self.anchors).view(shape) for name in ("similarity", "mask")
        )
        anchors = self.anchors[:, rows].reshape(-1, self.dim)
        torch.mm(anchors, self.candidates.view(-1, self.dim).T, out=similarity.view(-1, self.columns))
        first = self.offset + rows.start
        grouped = similarity.view(self.views, size, self.groups, -1)
        own = grouped[..., first : first + size].diagonal(dim1=1, dim2=3)
        positive = torch.stack([own[view, (view + 1) % self.groups] for view in range(self.views)])
        own.fill_(FILL)
        return Tile(rows, similarity, mask, own, positive)


class Tile:
    """Similarities of t anchors in V views to all candidates.

    Attributes:
        rows: which anchors.
        similarity: [V, t, G * C]; an anchor's own columns hold `FILL`.
        positive: similarity of each anchor's other view (or modality), [V, t]: view v goes with group (v + 1) mod G.
        negatives: negatives per row.
    """

    def __init__(self, rows: slice, similarity: Tensor, mask: Tensor, own: Tensor, positive: Tensor) -> None:
        self.rows, self.similarity, self._mask = rows, similarity, mask
        # [V, G, t], a view of the anchors' own columns.
        self._own, self.positive = own, positive
        self.views = similarity.shape[0]
        self.negatives = similarity.shape[2] - own.shape[1]

    def transposed(self) -> Tile:
        """The same similarities, in the same memory, with candidates as anchors; for one view and one group, whole."""
        assert self._own.shape[:2] == (1, 1) and self.similarity.shape[1] == self.similarity.shape[2]
        return Tile(self.rows, self.similarity.mT, self._mask.mT, self._own, self.positive)

    def share_above(self, threshold: Tensor) -> Tensor:
        """Share of each anchor's negatives, over all views, strictly above its threshold ([t] or scalar); [t]."""
        bound = threshold.to(self.similarity.dtype).expand(self.similarity.shape[1]).unsqueeze(-1)
        torch.gt(self.similarity, bound, out=self._mask)
        return self._mask.sum(-1).sum(0).to(threshold.dtype) / (self.views * self.negatives)

    def keep(self, threshold: Tensor) -> Tensor:
        """1 where the similarity is at most the threshold ([V, t]), else 0: [V, t, G * C], until the next call."""
        bound = threshold.to(self.similarity.dtype).unsqueeze(-1)
        return torch.le(self.similarity, bound, out=self._mask)

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
