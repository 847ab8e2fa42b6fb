"""Learning rate over steps: linear warm-up, then half a cosine to zero."""

from __future__ import annotations

import math

__all__ = ["rate"]


def rate(step: int, steps: int, warmup_steps: int) -> float:
    """Factor on the base learning rate at `step` (from 0) of `steps`, with `warmup_steps` of linear warm-up.

    The first step of the warm-up is 1 / warmup_steps, not zero, so that no step is wasted.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(steps - warmup_steps, 1)))
