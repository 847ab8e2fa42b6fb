"""Per-sample state: one number per sample and column, addressed by the sample's stable index."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["SampleState"]


class SampleState(nn.Module):
    """A table of `num_samples` rows; every column is a buffer of shape [num_samples], so `state_dict` holds all of it.

    Reading and writing cost O(batch), whatever `num_samples` is.

    Args:
        num_samples: samples in the data set; valid indices are 0 ... num_samples - 1.
        columns: name -> initial value.
    """

    def __init__(self, num_samples: int, **columns: float) -> None:
        super().__init__()
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}")
        self.num_samples = num_samples
        self.columns = tuple(columns)
        for name, value in columns.items():
            self.register_buffer(name, torch.full((num_samples,), float(value)))

    def column(self, name: str) -> Tensor:
        """One column, [num_samples]."""
        return self.get_buffer(name)

    def read(self, index: Tensor) -> dict[str, Tensor]:
        """The rows of `index` (int64 [B]): name -> [B]."""
        return {name: self.column(name)[index] for name in self.columns}

    @torch.no_grad()
    def write(self, index: Tensor, values: dict[str, Tensor], valid: Tensor | None = None) -> None:
        """Store the rows of `index`.

        A sample that occurs several times in `index` keeps the mean of its occurrences, so the result does not depend
        on the order of the batch.

        Args:
            index: int64 [B].
            values: name -> [B].
            valid: bool [B]; occurrences that are False are ignored. All count when absent.
        """
        if valid is not None and not bool(valid.all()):
            index, values = index[valid], {name: value[valid] for name, value in values.items()}
        unique, inverse = torch.unique(index, return_inverse=True)
        repeated = unique.numel() != index.numel()
        if repeated:
            occurrences = torch.bincount(inverse, minlength=unique.numel())
        for name, value in values.items():
            column = self.column(name)
            value = value.to(column.dtype)
            if repeated:
                value = torch.zeros_like(unique, dtype=column.dtype).index_add_(0, inverse, value) / occurrences
                column[unique] = value
            else:
                column[index] = value
