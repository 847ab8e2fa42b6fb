"""Batch normalisation over the batches of all ranks.

torch's `SyncBatchNorm` runs on GPUs alone. On CPUs this one takes its place, so that several processes on a machine
without GPUs compute what one process does, which is how the tests prove that they do.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

__all__ = ["SyncBatchNormCPU", "synchronise_batch_norm"]


class _MeanOverRanks(torch.autograd.Function):
    """The mean over ranks. Each rank's loss depends on it, so the gradient is the mean of the ranks' gradients, too."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        mean = value.contiguous().clone()
        dist.all_reduce(mean)
        return mean.div_(dist.get_world_size())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _MeanOverRanks.forward(ctx, gradient)


class SyncBatchNormCPU(nn.BatchNorm2d):
    """Batch norm whose statistics are those of the batches of all ranks, which must be of equal size.

    Running statistics and gradients are what one process with the whole batch has; the gradients of weight and bias are
    this rank's share, as those of any parameter. In `eval()` mode it is plain batch norm.
    """

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, ...] -> the same shape."""
        if not self.training:
            return nn.functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        dimensions, shape = [0, *range(2, input.ndim)], [1, -1, *[1] * (input.ndim - 2)]
        # Sums over bfloat16 entries are kept in float32.
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        mean = _MeanOverRanks.apply(x.mean(dimensions))
        centred = x - mean.view(shape)
        var = _MeanOverRanks.apply(centred.square().mean(dimensions))
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            assert self.momentum is not None
            count = input.numel() // input.shape[1] * dist.get_world_size()
            with torch.no_grad():
                self.num_batches_tracked.add_(1)
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
                self.running_var.lerp_((var * count / (count - 1)).to(self.running_var.dtype), self.momentum)
        scale = torch.rsqrt(var + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        normalised = centred * scale.view(shape)
        if self.bias is not None:
            normalised = normalised + self.bias.view(shape)
        output: Tensor = normalised.to(input.dtype)
        return output


def synchronise_batch_norm(model: nn.Module) -> nn.Module:
    """Let every batch norm of a model use the batches of all ranks; its state_dict keeps its keys.

    Raises:
        ValueError: one of them is more than a batch norm, as timm's with an activation, which would be lost.
    """
    plain = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    if other := [m for m in model.modules() if isinstance(m, plain) and type(m) not in (*plain, SyncBatchNormCPU)]:
        raise ValueError(f"{type(other[0]).__name__} cannot be shared by processes; train this encoder in one process")
    if next(model.parameters()).device.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return converted
    for module in model.modules():
        if isinstance(module, plain):
            # Parameters and buffers stay, so an optimiser that has them keeps them.
            module.__class__ = SyncBatchNormCPU
    return model
