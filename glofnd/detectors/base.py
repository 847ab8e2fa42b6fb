"""What a detector of false negatives is: a rule that is shown similarities tile by tile and says which to drop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from torch import Tensor, nn

from glofnd.detectors.tile import Tile
from glofnd.parameters import Range
from glofnd.ranks import Ranks

__all__ = ["Alpha", "Batch", "Detector", "Screening", "StartFilter", "StartUpdate", "Treatment"]

Alpha = Annotated[float, Range(gt=0, lt=1), "share of the data set that is to lie above an anchor's threshold"]
StartUpdate = Annotated[int, Range(ge=0), "first epoch in which thresholds learn"]
StartFilter = Annotated[int, Range(ge=0), "first epoch in which negatives are dropped; not before start_update"]
Treatment = Annotated[
    Literal["eliminate", "attract"], "eliminate drops a false negative, attract also makes it a positive of the anchor"
]


@dataclass(frozen=True)
class Batch:
    """One batch as a detector sees it.

    Attributes:
        index: sample index per anchor, int64 [B].
        epoch: absolute epoch, from 0.
        negatives: negatives per row, before anything is dropped.
        training: whether state may change.
        labels: label per anchor, int64 [B], or None.
        candidate_labels: label per column, int64 [M], or None.
        ranks: the processes that share the batch, or None; all other attributes but `candidate_labels` and `negatives`
            are about this process's part.
    """

    index: Tensor
    epoch: int
    negatives: int
    training: bool
    labels: Tensor | None = None
    candidate_labels: Tensor | None = None
    ranks: Ranks | None = None

    def mean_over_anchors(self, total: Tensor) -> Tensor:
        """Mean over the anchors of all processes from the sum over those of this one."""
        if self.ranks is None:
            return total / self.index.numel()
        return self.ranks.sum(total) / (self.index.numel() * self.ranks.size)


class Screening:
    """A detector at work on one batch. Nothing reaches the detector's state before `commit`.

    Similarities come in tiles of t anchors, as `Tile` says.

    Attributes:
        prepass: the rule needs all tiles (`learn`, then `settle`) before it can judge the first.
        filtering: whether `keep` is to be asked in this epoch.
    """

    prepass = False

    def __init__(self, batch: Batch, learning: bool, filtering: bool) -> None:
        self.batch, self.filtering = batch, filtering
        self.learning = learning and batch.training and batch.negatives > 0

    def learn(self, tile: Tile) -> None:
        """Take in one tile."""

    def settle(self) -> None:
        """All tiles have been seen (only where `prepass`)."""

    def threshold(self, tile: Tile) -> Tensor | None:
        """The similarity above which a negative is dropped, [V, t]; None where there is no such number."""
        raise NotImplementedError

    def keep(self, tile: Tile) -> Tensor:
        """0 for the false negatives of the tile, 1 for all else and own columns; shape and dtype of `similarity`."""
        threshold = self.threshold(tile)
        assert threshold is not None, "a rule without thresholds overrides `keep`"
        return tile.keep(threshold)

    def commit(self) -> None:
        """Write what was learned into the detector's state."""


class Detector(nn.Module):
    """Who is a false negative.

    Args:
        num_samples: samples in the data set.
        start_update: first epoch in which state changes.
        start_filter: first epoch in which negatives are dropped.
        treatment: what happens to a found false negative: `eliminate` drops it (the paper), `attract` also makes it a
            positive of the anchor (false-negative cancellation, Huynh et al., WACV 2022).

    Before both epochs a detector neither reads nor changes anything, so training equals that of `KeepAll` bit for bit.
    """

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
        """Learned thresholds: [num_samples], a scalar where all samples share one, None where nothing is learned."""
        return None

    def screen(self, batch: Batch) -> Screening | None:
        """Start work on a batch; None where nothing is to be done in this epoch."""
        learning, filtering = batch.epoch >= self.start_update, batch.epoch >= self.start_filter
        if not filtering and not (learning and batch.training):
            return None
        return self._screening(batch, learning, filtering)

    def _screening(self, batch: Batch, learning: bool, filtering: bool) -> Screening | None:
        raise NotImplementedError
