"""The processes that share one batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch import distributed as dist

__all__ = ["Delivery", "Ranks"]


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

    def first(self, value: Tensor) -> Tensor:
        """Rank 0's value; those of the others must have its shape and dtype."""
        value = value.detach().clone()
        dist.broadcast(value, dist.get_process_group_ranks(self.group)[0], group=self.group)
        return value

    def part(self, size: int) -> slice:
        """Which rows of something gathered are this rank's, each rank holding `size`."""
        return slice(self.rank * size, (self.rank + 1) * size)

    def exchange(self, rows: Tensor, sent: list[int], received: list[int]) -> Tensor:
        """Rows [sum(sent), ...] for rank 0, then for rank 1, ...; returns those for this rank, in the order of ranks.

        Args:
            rows: the first `sent[0]` rows go to rank 0, the next `sent[1]` to rank 1, and so on.
            sent: rows for each rank.
            received: rows from each rank, as the others' `sent` say.
        """
        rows = rows.detach().contiguous()
        found = rows.new_empty((sum(received), *rows.shape[1:]))
        dist.all_to_all_single(found, rows, received, sent, group=self.group)
        return found


class Delivery:
    """The way of rows to the ranks that own them, and of answers back; all ranks make and use it together.

    Every rank sends and receives its own rows alone: O(batch / ranks) where owners are spread evenly.

    Args:
        ranks: the processes.
        owner: rank to which each row goes, int64 [b].
    """

    def __init__(self, ranks: Ranks, owner: Tensor) -> None:
        self.ranks = ranks
        self.order = owner.argsort(stable=True)
        sent = owner.bincount(minlength=ranks.size)
        ones = [1] * ranks.size
        self.sent, self.received = sent.tolist(), ranks.exchange(sent, ones, ones).tolist()

    def send(self, rows: Tensor) -> Tensor:
        """Hand [b, ...] to the owners; returns what this rank owns, [r, ...], by sender and then by its order."""
        return self.ranks.exchange(rows[self.order], self.sent, self.received)

    def answer(self, rows: Tensor) -> Tensor:
        """Hand back [r, ...], one answer for each row received; returns [b, ...]."""
        answers = self.ranks.exchange(rows, self.received, self.sent)
        found = torch.empty_like(answers)
        found[self.order] = answers
        return found
