"""Products of numpy arrays by the fastest library at hand."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["in_a_thread", "row_products"]

Array = NDArray[Any]

_WORTH_TORCH = 4e8
"""Multiplications per product from which some hundred of them save more time than importing torch takes."""


def row_products(dtype: np.dtype[Any], multiplications: float) -> Callable[[Array, Array], Array]:
    """How to get all inner products between the rows of a [n, d] and of b [m, d]: a b^T, [n, m].

    numpy's BLAS takes the best instructions of processors it knows by name, and twice the time on others. Where
    products are large, or torch is there anyway, torch's product is used.

    Args:
        dtype: of a and b.
        multiplications: of one product, about.
    """
    if dtype == np.float32 and (multiplications >= _WORTH_TORCH or "torch" in sys.modules):
        import torch

        return lambda a, b: (torch.from_numpy(a) @ torch.from_numpy(b).T).numpy()
    return lambda a, b: np.asarray(a @ b.T)


def in_a_thread() -> None:
    """Called in a new thread: torch's products then have that thread to themselves, no further ones."""
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)
