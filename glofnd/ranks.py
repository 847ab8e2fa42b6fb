"""The processes that share one batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch import distributed as dist

__all__ = ["Ranks"]


class Ranks:
    """A process group in which every rank holds an equal, consecutive part of the batch.

    Args:
        group: process group, None for the default one, which must have been initialised.
    """

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        if not (dist.is_available() and dist.is_initialized()):
            raise RuntimeError("no process group: call torch.distributed.init_process_group first")
        self.group = group
        self.size, self.rank = dist.get_world_size(group), dist.get_rank(group)

    def gather(self, part: Tensor) -> Tensor:
        """All parts one after the other along the first dimension: [b, ...] -> [size * b, ...]."""
        part = part.detach().contiguous()
        parts = [torch.empty_like(part) for _ in range(self.size)]
        dist.all_gather(parts, part, group=self.group)
        return torch.cat(parts)

    def sum(self, value: Tensor) -> Tensor:
        """Sum over ranks."""
        total = value.detach().clone()
        dist.all_reduce(total, group=self.group)
        return total

    def part(self, size: int) -> slice:
        """Which rows of something gathered are this rank's, each rank holding `size`."""
        return slice(self.rank * size, (self.rank + 1) * size)
