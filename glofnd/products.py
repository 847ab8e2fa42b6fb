"""The matrix product everything here spends its time in, by the faster of the two libraries PyTorch brings along.

For float32 on x86, `torch.mm` calls MKL, which runs at well under half of its speed on processors of other makers;
PyTorch's other library, oneDNN, is as fast on all of them.
"""

from __future__ import annotations

import platform
from functools import cache

import torch
from torch import Tensor

__all__ = ["products"]


def products(a: Tensor, b: Tensor) -> Tensor:
    """All inner products between the rows of `a` [n, D] and those of `b` [m, D]: a b^T, [n, m]."""
    if a.dtype == torch.float32 and a.device.type == "cpu" and _onednn():
        found: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")
        return found
    return a @ b.T


@cache
def _onednn() -> bool:
    """Whether oneDNN's product is there and right: its operator has no public name, so it is tried once."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    a = torch.arange(12, dtype=torch.float32).view(3, 4)
    try:
        found: Tensor = torch.ops.mkldnn._linear_pointwise(a, a[:2], None, "none", [], "")
    except (AttributeError, RuntimeError, TypeError):
        return False
    return torch.equal(found, a @ a[:2].T)
