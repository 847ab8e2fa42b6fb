"""exp(s / tau) of a tile of similarities and its sums, for any temperature."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["exponentials"]

# exp of this and its inverse leave room for sums and products in float32.
LARGEST_EXPONENT = 60.0
LOG2_E = math.log2(math.e)


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
    in_range = float(tau if tau.ndim == 0 else tau.amin()) >= 1 / LARGEST_EXPONENT
    scale = (LOG2_E / tau).unsqueeze(-1)
    if in_range:
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
