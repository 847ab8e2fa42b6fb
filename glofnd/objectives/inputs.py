"""Checks and normalisation of a batch, before anything is computed from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from glofnd.ranks import Ranks
from glofnd.state import on_host

__all__ = ["Index", "Inputs", "prepare"]

Index = Tensor | Sequence[int]

# Norms below this count as this.
SMALLEST_NORM = 1e-12


@dataclass(frozen=True)
class Inputs:
    """One batch, checked.

    Attributes:
        unit: both sets of embeddings with rows of unit length, [2, B, D], in float32 or wider.
        norm: what they were divided by, [2, B, 1].
        index: sample index, int64 [B], on the device of the embeddings.
        labels: [B] on the same device, or None.
    """

    unit: Tensor
    norm: Tensor
    index: Tensor
    labels: Tensor | None

    def gradient(self, gradient: Tensor) -> Tensor:
        """Gradient with respect to the embeddings from that with respect to `unit`; overwrites its argument."""
        along = (gradient * self.unit).sum(-1, keepdim=True)
        return gradient.addcmul_(self.unit, along, value=-1).div_(self.norm)


def prepare(
    z1: Tensor, z2: Tensor, index: Index, labels: Index | None, num_samples: int, ranks: Ranks | None
) -> Inputs:
    """The batch, after everything has been found in order, on all ranks; raises `ValueError` saying what is not."""
    problem: ValueError | None = None
    try:
        samples = _numbers("index", index)
        truth = None if labels is None else _numbers("labels", labels).to(z1.device, non_blocking=True)
        _check_shapes(z1, z2, samples, truth)
        if on_host(samples):
            low, high = (int(bound) for bound in torch.aminmax(samples))
            if low < 0 or high >= num_samples:
                wrong = low if low < 0 else high
                raise ValueError(f"sample index {wrong} is out of range: num_samples is {num_samples}")
        dtype = torch.promote_types(torch.promote_types(z1.dtype, z2.dtype), torch.float32)
        unit = torch.stack([z1.to(dtype), z2.to(dtype)])
        norm = torch.linalg.vector_norm(unit, dim=2, keepdim=True)
        # One sum tells in nearly all cases; it may overflow although every norm is finite.
        if on_host(norm) and not math.isfinite(float(norm.sum())):
            for name, length in zip(("z1", "z2"), norm, strict=True):
                if not bool(length.isfinite().all()):
                    row = int((~length.isfinite()).nonzero()[0, 0])
                    raise ValueError(
                        f"{name} is not finite, or too large, for sample {int(samples[row])}; no state was changed"
                    )
    except ValueError as error:
        problem = error
    if ranks is not None:
        _agree(ranks, z1, problem, labels is not None)
    if problem is not None:
        raise problem
    norm.clamp_(min=SMALLEST_NORM)
    return Inputs(unit.div_(norm), norm, samples.long().to(z1.device, non_blocking=True), truth)


def _numbers(name: str, values: Index) -> Tensor:
    try:
        # numpy's integers of any width, byte order and strides; numpy need not be there.
        if getattr(getattr(values, "dtype", None), "kind", None) in ("i", "u"):
            values = values.astype("int64")  # type: ignore[union-attr]
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{name} must be whole numbers ({error}); let the data set yield each sample's number beside it, as "
            "`return *dataset[i], i`; file names are numbered by `{name: i for i, name in enumerate(sorted(names))}`"
        ) from error


def _check_shapes(z1: Tensor, z2: Tensor, index: Tensor, labels: Tensor | None) -> None:
    if z1.ndim != 2 or z1.shape != z2.shape or z1.numel() == 0:
        raise ValueError(f"z1 and z2 must both be [B, D] and not empty; got {tuple(z1.shape)} and {tuple(z2.shape)}")
    if not (z1.is_floating_point() and z2.is_floating_point()):
        raise ValueError(f"z1 and z2 must be floating point; got {z1.dtype} and {z2.dtype}")
    for name, value in (("index", index), ("labels", labels)):
        if value is None:
            continue
        integers = not (value.is_floating_point() or value.is_complex() or value.dtype == torch.bool)
        if value.shape != z1.shape[:1] or not integers:
            raise ValueError(
                f"{name} must hold {len(z1)} integers, one per row; got {tuple(value.shape)} {value.dtype}"
            )


def _agree(ranks: Ranks, z: Tensor, problem: ValueError | None, labelled: bool) -> None:
    """Tell the other ranks before any of them waits for a rank that has given up."""
    shape = list(z.shape) if problem is None else [-1, -1]
    found = ranks.gather(torch.tensor([[*shape, int(labelled)]], device=z.device)).tolist()
    if problem is not None:
        return
    broken = [rank for rank, (size, _, _) in enumerate(found) if size < 0]
    if broken:
        raise ValueError(f"bad input on rank {broken[0]}; its own message says what; no state was changed")
    if any(entry != found[0] for entry in found):
        sizes = ", ".join(f"{size} x {dim}" for size, dim, _ in found)
        raise ValueError(
            f"every rank must hold a part of the batch of equal size (and labels, if any): got {sizes}; "
            "drop the last, smaller batch or pad it"
        )
