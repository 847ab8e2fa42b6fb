"""What `Objective.inspect` tells."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Inspection"]


@dataclass(frozen=True)
class Inspection:
    """What the detector does with one batch at its current state.

    Attributes:
        similarity: [R, C]. Unimodal R = C = 2B (view 1, then view 2); bimodal R = C = B.
        negative: bool [R, C], False on the anchor's own columns.
        dropped: bool [R, C].
        threshold: [R] similarity above which a negative is dropped, or None where there is no such number.
        anchor: sample index per row, int64 [R].
        candidate: sample index per column, int64 [C].
    """

    similarity: Tensor
    negative: Tensor
    dropped: Tensor
    threshold: Tensor | None
    anchor: Tensor
    candidate: Tensor
