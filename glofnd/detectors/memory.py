"""Detectors that remember an embedding of every sample and judge a batch by these memories."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from glofnd.detectors.detector import Batch, Detector, Screening, Tile
from glofnd.state import SampleState

__all__ = ["MemoryDetector"]


class MemoryDetector(Detector):
    """Remembers a vector of every sample, [num_samples, dim], and judges pairs of samples by what it holds of both.

    At each visit m <- normalise(momentum m + (1 - momentum) z), z the normalised mean of the sample's projected, unit
    views in the batch, and m = z at the first; a sample not seen yet has the vector 0. What a rule derives from all
    memories together (`begin_epoch`) is made at the first training batch of each epoch from `start_filter` on and kept
    in buffers, so that it outlasts an interruption and is the same on all ranks. A batch is judged by the memories
    from before it. The verdict of a pair holds for all their views. For image-text pairs the memory is that of the
    anchors' modality, for candidates too: a text is dropped since its image is like the anchor's image.

    Other arguments are those of `Detector`.

    Args:
        dim: width D of the embeddings.
        momentum: weight of the past in the memory; 0 keeps the last visit.
        columns: further per-sample state, as in `SampleState`.
    """

    computed: Tensor

    def __init__(
        self,
        num_samples: int,
        dim: int,
        momentum: float,
        start_update: int,
        start_filter: int,
        treatment: str,
        **columns: float | Tensor,
    ) -> None:
        super().__init__(num_samples, start_update, start_filter, treatment)
        if dim < 1:
            raise ValueError(f"dim must be at least 1, got {dim}")
        self.momentum = momentum
        self.state = SampleState(num_samples, memory=torch.zeros(dim), **columns)
        # The epoch that `begin_epoch` was last called for.
        self.register_buffer("computed", torch.tensor(-1))
        # The same where the host need not wait for a GPU; None: to be read again.
        self._computed: int | None = None
        self.register_load_state_dict_post_hook(self._forget)  # type: ignore[no-untyped-call]

    @staticmethod
    def _forget(detector: MemoryDetector, incompatible: object) -> None:
        detector._computed = None

    def begin_epoch(self, epoch: int) -> None:
        """Derive what the rule needs from all memories; on all ranks together."""
        raise NotImplementedError

    def found(self, anchors: dict[str, Tensor], candidates: dict[str, Tensor]) -> Tensor:
        """Which candidates are false negatives of which anchors, bool [t, C], from their rows of state."""
        raise NotImplementedError

    def surest(self, anchors: dict[str, Tensor], candidates: dict[str, Tensor]) -> Tensor:
        """Those of `found` that become positives under `attract`."""
        return self.found(anchors, candidates)

    def screening(self, batch: Batch, learning: bool, filtering: bool) -> Screening:
        """The memories of a batch at work."""
        if filtering and batch.training:
            if self._computed is None:
                self._computed = int(self.computed)
            if self._computed != batch.epoch:
                # It depends on the memories alone, so a batch that fails later has spoilt nothing.
                self.begin_epoch(batch.epoch)
                self.computed.fill_(batch.epoch)
                self._computed = batch.epoch
        return _MemoryScreening(self, batch, learning, filtering)


class _MemoryScreening(Screening):
    def __init__(self, detector: MemoryDetector, batch: Batch, learning: bool, filtering: bool) -> None:
        super().__init__(batch, learning, filtering)
        self.detector = detector
        self.anchors = detector.state.read(batch.index)
        self.candidates = detector.state.read(batch.candidate_index()) if filtering else {}

    def threshold(self, tile: Tile) -> None:
        return None

    def keep(self, tile: Tile) -> Tensor:
        return self._spread(tile, ~self.detector.found(self._rows(tile), self.candidates))

    def positives(self, tile: Tile, keep: Tensor) -> Tensor:
        positives = self._spread(tile, self.detector.surest(self._rows(tile), self.candidates))
        tile.own_columns(positives).zero_()
        return positives

    def _rows(self, tile: Tile) -> dict[str, Tensor]:
        return {name: value[tile.rows] for name, value in self.anchors.items()}

    @staticmethod
    def _spread(tile: Tile, verdict: Tensor) -> Tensor:
        """From [t, C] over the views of both to [V, t, M]."""
        return verdict.to(tile.similarity.dtype).repeat(tile.views, 1, tile.views)

    def commit(self) -> None:
        if self.learning:
            old, momentum = self.anchors["memory"], self.detector.momentum
            new = normalize(self.batch.embeddings.mean(0), dim=1).to(old.dtype)
            mixed = normalize(momentum * old + (1 - momentum) * new, dim=1)
            seen = old.any(1, keepdim=True)
            self.detector.state.write(self.batch.index, {"memory": torch.where(seen, mixed, new)})
