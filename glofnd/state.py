"""Per-sample state: one number or vector per sample and column, addressed by the sample's stable index."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from glofnd.ranks import Delivery, Ranks

__all__ = ["LAYOUTS", "SampleState"]

LAYOUTS = ("replicated", "sharded")


def on_host(values: Tensor) -> bool:
    """Whether numbers can be looked at without waiting for a GPU."""
    return values.device.type == "cpu"


class SampleState(nn.Module):
    """A table of `num_samples` rows; every column is a buffer [num_samples], or [num_samples, D] for vectors, so
    `state_dict` holds all of it.

    Reading and writing cost O(batch), whatever `num_samples` is.

    Over several ranks (`distribute`) every rank reads and writes its own part of the batch, and all updates count.
    `replicated`: each rank keeps all rows and applies the updates of all ranks. `sharded`: rank r of W keeps the rows
    r, r + W, r + 2W, ...; reading then asks the owners and writing tells them (`Delivery`), so all ranks must do both
    together.

    Args:
        num_samples: samples in the data set; valid indices are 0 ... num_samples - 1.
        columns: name -> initial value of a row: a number, or a vector [D].
    """

    def __init__(self, num_samples: int, **columns: float | Tensor) -> None:
        super().__init__()
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}")
        self.num_samples = num_samples
        self.columns = tuple(columns)
        self.ranks: Ranks | None = None
        self.sharded = False
        for name, value in columns.items():
            row = torch.as_tensor(value, dtype=torch.get_default_dtype())
            self.register_buffer(name, row.expand(num_samples, *row.shape).clone())

    def distribute(self, ranks: Ranks, layout: str) -> None:
        """Share the table between ranks; all of them must hold the same rows beforehand."""
        if layout not in LAYOUTS:
            raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}; got {layout!r}")
        if self.ranks is not None:
            raise RuntimeError("this state is distributed already")
        self.ranks, self.sharded = ranks, layout == "sharded"
        if self.sharded:
            for name in self.columns:
                self.register_buffer(name, self.column(name)[ranks.rank :: ranks.size].clone())

    @property
    def bytes_per_sample(self) -> int:
        """Bytes of one row."""
        return sum(self.column(n).element_size() * math.prod(self.column(n).shape[1:]) for n in self.columns)

    def column(self, name: str) -> Tensor:
        """The rows this process keeps of one column: [num_samples(, D)], or this rank's share where sharded."""
        column = self._buffers[name]
        assert column is not None
        return column

    def whole(self, name: str) -> Tensor:
        """One column of all samples, [num_samples(, D)]; where sharded, all ranks must call it together."""
        column = self.column(name)
        if self.ranks is None or not self.sharded:
            return column
        longest = -(-self.num_samples // self.ranks.size)
        padded = torch.cat([column, column.new_zeros(longest - len(column), *column.shape[1:])])
        by_rank = self.ranks.gather(padded).view(self.ranks.size, longest, *column.shape[1:])
        return by_rank.transpose(0, 1).flatten(0, 1)[: self.num_samples]

    @torch.no_grad()
    def fill(self, name: str, values: Tensor) -> None:
        """Set one column for all samples: [num_samples(, D)], the same on every rank."""
        if values.shape != (self.num_samples, *self.column(name).shape[1:]):
            raise ValueError(f"{self.num_samples} values are needed, one per sample; got {tuple(values.shape)}")
        mine = values[self.ranks.rank :: self.ranks.size] if self.ranks is not None and self.sharded else values
        self.column(name).copy_(mine)

    def read(self, index: Tensor, *names: str) -> dict[str, Tensor]:
        """The rows of `index` (int64 [B]): name -> [B(, D)], copies; all columns when no name is given."""
        names = names or self.columns
        if self.ranks is None or not self.sharded:
            return {name: self.column(name).index_select(0, index) for name in names}
        delivery = Delivery(self.ranks, index % self.ranks.size)
        rows = delivery.send(index) // self.ranks.size
        return self._unpacked(names, delivery.answer(self._packed([self.column(name)[rows] for name in names])))

    @torch.no_grad()
    def write(self, index: Tensor, values: dict[str, Tensor], valid: Tensor | None = None) -> None:
        """Store the rows of `index`, those of all ranks.

        A sample that occurs several times keeps the mean of its occurrences, so the result does not depend on the order
        of the batch.

        Args:
            index: int64 [B].
            values: name -> [B(, D)].
            valid: bool [B]; occurrences that are False are ignored. All count when absent.
        """
        if self.ranks is not None and self.sharded:
            if valid is not None:
                index, values, valid = index[valid], {name: value[valid] for name, value in values.items()}, None
            delivery = Delivery(self.ranks, index % self.ranks.size)
            table = self._packed([value.to(self.column(name).dtype) for name, value in values.items()])
            index = delivery.send(index) // self.ranks.size
            values = self._unpacked(tuple(values), delivery.send(table))
        elif self.ranks is not None:
            # Gathered even where all count here: they may not on another rank.
            valid = torch.ones_like(index, dtype=torch.bool) if valid is None else valid
            valid = self.ranks.gather(valid.to(torch.uint8)).bool()
            index = self.ranks.gather(index)
            values = {name: self.ranks.gather(value) for name, value in values.items()}
        self._store(index, values, torch.ones_like(index, dtype=torch.bool) if valid is None else valid)

    @staticmethod
    def _packed(values: list[Tensor]) -> Tensor:
        """Columns [B(, D)] side by side, [B, sum of D]."""
        return torch.cat([value.unsqueeze(-1).flatten(1) for value in values], dim=1)

    def _unpacked(self, names: tuple[str, ...], table: Tensor) -> dict[str, Tensor]:
        """The columns that stand side by side in a table."""
        shapes = [self.column(name).shape[1:] for name in names]
        parts = torch.split(table, [math.prod(shape) for shape in shapes], dim=1)
        return {n: part.reshape(len(table), *shape) for n, part, shape in zip(names, parts, shapes, strict=True)}

    def _store(self, index: Tensor, values: dict[str, Tensor], valid: Tensor) -> None:
        if on_host(index) and bool(valid.all()) and len(torch.unique(index)) == len(index):
            for name, value in values.items():
                self.column(name).index_copy_(0, index, value.to(self.column(name).dtype))
            return
        # Without selections by mask and `torch.unique`, for which the host would wait for a GPU.
        ordered, order = index.sort()
        first = torch.ones_like(valid)
        first[1:] = ordered[1:] != ordered[:-1]
        # A number for each sample of the batch, [B] below B.
        sample = torch.empty_like(index).scatter_(0, order, first.cumsum(0) - 1)
        occurrences = torch.zeros_like(index).index_add_(0, sample, valid.long())[sample]
        for name, value in values.items():
            column = self.column(name)
            shape = (-1, *[1] * (column.ndim - 1))
            value = torch.where(valid.view(shape), value.to(column.dtype), 0)
            mean = torch.zeros_like(value).index_add_(0, sample, value)[sample] / occurrences.view(shape)
            # Repeated samples are written several times, with the same value.
            column.index_copy_(0, index, torch.where(occurrences.view(shape) > 0, mean, column[index]))
