"""The (1 - alpha)-quantile of a row of similarities, from its few largest entries only."""

from __future__ import annotations

import math

from torch import Tensor

__all__ = ["upper_quantile"]


def upper_quantile(similarity: Tensor, alpha: float, negatives: int) -> Tensor:
    """(1 - alpha)-quantile over the last dimension with linear interpolation.

    Args:
        similarity: [..., M] of which `negatives` entries are real and the rest lies below all of them.
        alpha: share above the quantile.
        negatives: number n of real entries, at least 1.

    Returns:
        [...]: the same number as `torch.quantile(real entries, 1 - alpha)`, at the cost of a top-k with k ~ alpha n.
    """
    position = alpha * (negatives - 1)
    # 0.1 * 30 is 3.0000000000000004: without rounding the interpolation would look one entry too far.
    position = round(position) if math.isclose(position, round(position), abs_tol=1e-9) else position
    above = math.floor(position)
    count = min(above + 2, negatives)
    largest = similarity.topk(count, dim=-1).values
    upper, lower = largest[..., above], largest[..., count - 1]
    return upper + (lower - upper) * (position - above)
