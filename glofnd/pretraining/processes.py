"""The processes that train one run together: one, or those that torchrun has started.

    torchrun --nproc-per-node 4 ...

Gradients are averaged by `DistributedDataParallel`, batch norm is `SyncBatchNorm` on GPUs and ours
on CPUs (`glofnd.encoders.batch_norm`), and the objective shares the batch itself (`Objective.distribute`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from glofnd.encoders.batch_norm import synchronise_batch_norm
from glofnd.ranks import Ranks

__all__ = ["Processes", "processes_of"]

# One rank alone compares the shards with their checksums and writes checkpoints, while the others wait in a collective:
# minutes for terabytes. A rank that is killed is noticed at once by torchrun, which ends the others.
_TIMEOUT = timedelta(minutes=30)


class Processes:
    """This process, as one of `size`; each has an equal part of every batch.

    Attributes:
        rank, size: over all nodes.
        local_rank, local_size: on this node.
    """

    def __init__(self) -> None:
        self.ranks = Ranks() if dist.is_available() and dist.is_initialized() else None
        self.rank, self.size = (0, 1) if self.ranks is None else (self.ranks.rank, self.ranks.size)
        self.local_rank, self.local_size = (int(os.environ.get(key, 0)) for key in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
        self.local_size = self.local_size or 1

    def device(self, name: str) -> torch.device:
        """The device of this process: with `cuda`, or `auto` where a GPU is visible, the GPU of its local rank.

        Raises:
            ValueError: that GPU is not there.
        """
        if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
            return torch.device("cpu")
        if not torch.cuda.is_available():
            raise ValueError("training.device: cuda asked for, but no GPU is visible; use cpu or auto")
        if self.local_size > (visible := torch.cuda.device_count()):
            raise ValueError(f"training.device: {self.local_size} processes need as many GPUs, {visible} visible")
        torch.cuda.set_device(self.local_rank)
        return torch.device("cuda", self.local_rank)

    def synchronise(self, model: nn.Module) -> nn.Module:
        """The model as all processes train it together; where there is one alone, the model itself."""
        if self.ranks is None:
            return model
        return DistributedDataParallel(synchronise_batch_norm(model))

    def gather(self, part: Tensor) -> Tensor:
        """The parts of all processes, one after the other."""
        return part if self.ranks is None else self.ranks.gather(part)

    def largest(self, value: int) -> int:
        """The largest value of all processes."""
        if self.ranks is None:
            return value
        found = torch.tensor([value])
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return int(found)

    def barrier(self) -> None:
        """Wait until all processes are here."""
        self.largest(0)


@contextmanager
def processes_of(device: str) -> Iterator[Processes]:
    """The processes that torchrun's environment variables describe, or a process group that is there already.

    Tensors on GPUs travel by NCCL, those on CPUs by gloo.

    Args:
        device: `training.device`; with `cpu` NCCL is not started even where there are GPUs.
    """
    started = int(os.environ.get("WORLD_SIZE", 1)) > 1 and not dist.is_initialized()
    if started:
        gpu = device != "cpu" and torch.cuda.is_available()
        dist.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo", timeout=_TIMEOUT)
    try:
        yield Processes()
    finally:
        if started:
            dist.destroy_process_group()
