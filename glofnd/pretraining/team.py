"""The processes that train one run together: one, or as many as torchrun has started."""

from __future__ import annotations

import os
from datetime import timedelta

import torch
from torch import Tensor, nn
from torch import distributed as dist

from glofnd.pretraining.pulse import PATIENCE, LostRankError, Pulse
from glofnd.ranks import Ranks

__all__ = ["LOST_RANK", "Team", "is_lost", "join"]

LOST_RANK = 69
"""Exit code of a rank that another has left alone (EX_UNAVAILABLE of sysexits.h)."""

# How long a rank waits for the others within a step, so that a run whose machine has vanished, or one of whose ranks is
# frozen, ends within a minute. Where one of them may have minutes of work to do, they wait by `Pulse`.
_STEP = timedelta(seconds=40)


class Team:
    """W processes, each with an equal part of every batch.

    Args:
        ranks: all of them; None for this process alone.
        pulse: how they wait for each other; needed where there are several.
        local_rank: number of this process on its node.
        local_size: processes on its node.

    Attributes:
        rank, size: of this process, and how many there are.
    """

    def __init__(
        self, ranks: Ranks | None = None, pulse: Pulse | None = None, local_rank: int = 0, local_size: int = 1
    ) -> None:
        self.ranks, self._pulse, self.local_rank, self.local_size = ranks, pulse, local_rank, local_size
        self.rank, self.size = (0, 1) if ranks is None else (ranks.rank, ranks.size)
        if ranks is not None:
            # Its own timeout must not come before that of the pulse.
            group = dist.new_group(backend="gloo", timeout=timedelta(seconds=2 * PATIENCE))
            assert isinstance(group, dist.ProcessGroup)
            self._patient = group

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def device(self, name: str) -> torch.device:
        """The device of this process: with `cuda`, or `auto` where a GPU is visible, the GPU of its local rank.

        Raises:
            ValueError: that GPU is not there.
        """
        if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
            return torch.device("cpu")
        if not torch.cuda.is_available():
            raise ValueError("training.device: cuda asked for, but no GPU is visible; use cpu or auto")
        if self.size == 1:
            return torch.device("cuda")
        if self.local_size > (visible := torch.cuda.device_count()):
            raise ValueError(
                f"resources.pretrain.processes: {self.local_size} per node need as many GPUs, {visible} visible"
            )
        torch.cuda.set_device(self.local_rank)
        return torch.device("cuda", self.local_rank)

    def gather(self, part: Tensor) -> Tensor:
        """The parts of all processes, one after the other."""
        return part if self.ranks is None else self.ranks.gather(part)

    def average_gradients(self, model: nn.Module) -> None:
        """The mean over all processes in the place of each gradient.

        They travel in one piece and in a fixed order, so that a run that was interrupted adds the same numbers in the
        same order as one that was not; `DistributedDataParallel` orders them anew after each start.
        """
        if self.ranks is None:
            return
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        mean = self.ranks.sum(torch.cat([g.flatten() for g in gradients])).div_(self.size)
        for gradient, part in zip(gradients, torch.split(mean, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def agree(self, wish: int) -> int:
        """The largest wish of all processes; all must ask together."""
        if self.ranks is None:
            return wish
        largest = torch.tensor([wish])
        dist.all_reduce(largest, dist.ReduceOp.MAX)
        return int(largest)

    def meet(self) -> None:
        """Wait until all processes are here, for up to an hour while those that are not are alive.

        Raises:
            LostRankError: one of them is not.
        """
        if self._pulse is not None:
            barrier = dist.barrier(self._patient, async_op=True)
            assert barrier is not None
            self._pulse.wait(barrier.is_completed)
            barrier.wait()

    def silence(self) -> None:
        """Give no more signs of life, however the process ends."""
        if self._pulse is not None:
            self._pulse.close()

    def close(self) -> None:
        """Part, at the end of a process that has done its work."""
        if self.ranks is not None:
            dist.destroy_process_group()


def join(device: str) -> Team:
    """The team that torchrun's environment variables describe, a single process without them.

    Tensors on GPUs travel by NCCL, those of the CPU by gloo.

    Args:
        device: `training.device`; with `cpu` NCCL is not started even where there are GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return Team()
    gpu = device != "cpu" and torch.cuda.is_available()
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo", timeout=_STEP)
    ranks = Ranks()
    where = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    # Both are documented, but not marked as exported.
    store = dist.TCPStore(*where, is_master=False, timeout=_STEP)  # type: ignore[attr-defined]
    pulse = Pulse(dist.PrefixStore("pulse", store), ranks.rank, ranks.size)  # type: ignore[attr-defined]
    return Team(ranks, pulse, int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"]))


def is_lost(error: RuntimeError) -> bool:
    """Whether waiting failed because another rank is not there any more."""
    if isinstance(error, LostRankError | dist.DistError):
        return True
    # gloo has no exception type of its own.
    return "gloo" in str(error) and any(word in str(error) for word in ("onnection", "imed out", "imeout"))
