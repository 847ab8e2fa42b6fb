"""Exact quantiles over embeddings averaged over visits (ours)."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from glofnd.detectors.detector import Alpha, StartFilter, StartUpdate, Treatment, nothing_above
from glofnd.detectors.memory import MemoryDetector
from glofnd.parameters import Range, checked

__all__ = ["MemoryQuantile"]

TILE = 2**22

Scope = Annotated[Literal["sample", "global"], "a threshold for each sample, or one for all"]
Candidates = Annotated[int | None, Range(ge=2), "random samples that quantiles are taken over; null: all"]


class MemoryQuantile(MemoryDetector):
    """Drops the negatives whose average embedding is more similar to the anchor's than a quantile over the data set.

    Averages are exponential, over visits and views (`MemoryDetector`). At the start of each epoch from `start_filter`
    on, with m the averages of the samples seen so far,

        scope sample:  lambda_i = (1 - alpha)-quantile of m_i m_j over all j other than i
        scope global:  lambda   = (1 - alpha)-quantile of m_i m_j over all pairs i < j

    with linear interpolation, as `torch.quantile`. A pair of a batch is dropped where m_i m_j > lambda_i; similarities
    of single views are spread more widely than those of averages, and are not held against these thresholds. The work
    is N x N x D multiplications an epoch; with `candidates` j (and i, in scope global) runs over a random subset of so
    many samples, drawn anew each epoch: N x candidates x D.
    """

    single: Tensor

    @checked
    def __init__(
        self,
        num_samples: int,
        dim: int,
        alpha: Alpha = 0.01,
        momentum: Annotated[float, Range(ge=0, lt=1), "weight of the past in the average"] = 0.5,
        scope: Scope = "sample",
        candidates: Candidates = None,
        start_update: StartUpdate = 0,
        start_filter: StartFilter = 1,
        treatment: Treatment = "eliminate",
        attract_alpha: Annotated[
            float | None,
            Range(gt=0, lt=1),
            "share that `attract` makes positives, the surest; null: all that is dropped",
        ] = None,
    ) -> None:
        if attract_alpha is not None and (treatment != "attract" or scope != "sample" or attract_alpha > alpha):
            raise ValueError("attract_alpha: needs treatment attract and scope sample, and is at most alpha")
        self.shares = {"threshold": alpha} if scope == "sample" else {}
        if attract_alpha is not None:
            self.shares["sure"] = attract_alpha
        columns = dict.fromkeys(self.shares, 1.0)
        super().__init__(num_samples, dim, momentum, start_update, start_filter, treatment, **columns)
        self.alpha, self.scope, self.candidates = alpha, scope, candidates
        if candidates is None:
            self.unshared = "memory-quantile without `candidates` compares all averages in every process"
        if scope == "global":
            self.register_buffer("single", torch.tensor(1.0))

    @property
    def thresholds(self) -> Tensor:
        """lambda, of averages: [num_samples], or a scalar in scope global; 1 where there is none yet."""
        return self.single if self.scope == "global" else self.state.whole("threshold")

    @thresholds.setter
    def thresholds(self, values: Tensor) -> None:
        if self.scope == "global":
            self.single.copy_(values)
        else:
            self.state.fill("threshold", values)

    def misfit(self) -> str | None:
        """Also of the candidates alpha is to be one at least; of all pairs it always is."""
        samples = min(self.num_samples, self.candidates or self.num_samples)
        options = zip(("alpha", "attract_alpha"), self.shares.values(), strict=False)
        return next((why for name, share in options if (why := nothing_above(share, samples, name))), None)

    def begin_epoch(self, epoch: int) -> None:
        """Take the quantiles over the averages as they are."""
        device = self.computed.device
        order = torch.randperm(self.num_samples, generator=torch.Generator().manual_seed(epoch))
        chosen = (order[: self.candidates] if self.candidates else order).sort().values.to(device)
        others = normalize(self.state.read(chosen, "memory")["memory"], dim=1)
        seen = others.any(1)
        chosen, others = chosen[seen], others[seen]
        if len(others) < 2:
            return
        if self.scope == "global":
            self.single.copy_(pair_quantile(others, self.alpha))
            return
        found: dict[str, list[Tensor]] = {name: [] for name in self.shares}
        for index in torch.split(torch.arange(self.num_samples, device=device), max(1, TILE // len(others))):
            mine = normalize(self.state.read(index, "memory")["memory"], dim=1)
            similarity = (mine @ others.T).masked_fill(index.unsqueeze(1) == chosen, -math.inf)
            for name, alpha in self.shares.items():
                found[name].append(row_quantile(similarity, alpha).masked_fill(~mine.any(1), 1))
        for name, values in found.items():
            self.state.fill(name, torch.cat(values))

    def found(self, anchors: dict[str, Tensor], candidates: dict[str, Tensor]) -> Tensor:
        """Averages more similar than the anchor's threshold; never those of samples not seen yet."""
        count = len(anchors["memory"])
        return self._above(
            self.single.expand(count) if self.scope == "global" else anchors["threshold"], anchors, candidates
        )

    def surest(self, anchors: dict[str, Tensor], candidates: dict[str, Tensor]) -> Tensor:
        """Those more similar than the anchor's second threshold, where there is one."""
        return (
            self._above(anchors["sure"], anchors, candidates) if "sure" in anchors else self.found(anchors, candidates)
        )

    @staticmethod
    def _above(threshold: Tensor, anchors: dict[str, Tensor], candidates: dict[str, Tensor]) -> Tensor:
        ours, theirs = normalize(anchors["memory"], dim=1), normalize(candidates["memory"], dim=1)
        # Nothing is more similar than 1, but rounding says so of equal averages.
        threshold = threshold.masked_fill(threshold >= 1, math.inf)
        seen = ours.any(1, keepdim=True) & theirs.any(1)
        return (ours @ theirs.T > threshold.unsqueeze(1)) & seen


def row_quantile(values: Tensor, alpha: float) -> Tensor:
    """(1 - alpha)-quantile of each row's finite entries, [r, M] -> [r]; -inf is no entry, every row has one."""
    count = values.isfinite().sum(1, keepdim=True)
    position = alpha * (count - 1).double()
    above = position.floor().long()
    largest = values.topk(min(int(above.max()) + 2, values.shape[1])).values
    upper, lower = largest.gather(1, above), largest.gather(1, torch.minimum(above + 1, count - 1))
    return (upper + (lower - upper) * (position - above)).squeeze(1).to(values.dtype)


def pair_quantile(unit: Tensor, alpha: float) -> Tensor:
    """(1 - alpha)-quantile of the similarities of all pairs i < j of unit vectors [N, D], a scalar.

    Holds about 3 alpha N^2 / 2 numbers: only what may be among the largest is kept from tile to tile.
    """
    position = alpha * (len(unit) * (len(unit) - 1) // 2 - 1)
    wanted = math.floor(position) + 2
    largest, bar = unit.new_empty(0), -math.inf
    for start in range(0, len(unit) - 1, rows := max(1, TILE // len(unit))):
        similarity = unit[start : start + rows] @ unit[start + 1 :].T
        pairs = similarity[torch.ones_like(similarity, dtype=torch.bool).triu()]
        largest = torch.cat([largest, pairs[pairs > bar]])
        if len(largest) > 2 * wanted:
            largest = largest.topk(wanted).values
            bar = float(largest[-1])
    above = math.floor(position)
    largest = largest.topk(min(wanted, len(largest))).values
    return torch.lerp(largest[above], largest[min(above + 1, len(largest) - 1)], position - above)
