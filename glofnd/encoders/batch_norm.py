"""Batch normalisation over the batches of all ranks.

torch's SyncBatchNorm runs on GPUs alone; this one runs wherever the process group does, so that what trains on eight
GPUs is what the tests compare with one process.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from glofnd.ranks import Ranks

__all__ = ["SyncedBatchNorm", "synchronise"]


class _Normalise(torch.autograd.Function):
    """Normalise by given statistics of the whole batch, with a gradient that goes through them on all ranks.

    With x^ = (x - mean) / sqrt(var + eps) and N entries per channel over all ranks (Ioffe & Szegedy 2015):
    dx = weight / sqrt(var + eps) * (dy - sum(dy) / N - x^ * sum(dy x^) / N), sums over all ranks.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        var: Tensor,
        eps: float,
        count: float,
        ranks: Ranks,
    ) -> Tensor:
        # Sums over bfloat16 entries are kept in the type of the weight.
        ctx.save_for_backward(x, torch.ones_like(mean) if weight is None else weight, mean, var)
        ctx.affine, ctx.eps, ctx.count, ctx.ranks = weight is not None, eps, count, ranks
        return functional.batch_norm(x, mean, var, weight, bias, training=False, eps=eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, var = ctx.saved_tensors
        # Statistics as constants: dx is the first term of the sum above, d_weight = sum(dy x^), d_bias = sum(dy).
        fixed = torch.ops.aten.native_batch_norm_backward
        dx, d_weight, d_bias = fixed(dy, x, weight, mean, var, None, None, False, ctx.eps, [True, True, True])
        sums = ctx.ranks.sum(torch.stack([d_weight, d_bias])) / ctx.count
        scale = (var + ctx.eps).rsqrt()
        slope = -weight * sums[0] * scale.square()
        offset = -weight * sums[1] * scale - slope * mean
        shape = [1, -1, *[1] * (x.ndim - 2)]
        # Added in float32 where the pictures are bfloat16.
        dx = torch.addcmul(offset.view(shape), x, slope.view(shape)).add_(dx).to(x.dtype)
        return dx, d_weight if ctx.affine else None, d_bias if ctx.affine else None, None, None, None, None, None


class SyncedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm in any number of dimensions whose statistics are those of the batches of all ranks together.

    Running statistics and gradients are what one process with the whole batch has; the gradients of weight and bias are
    this rank's share, as those of any parameter. In `eval()` mode it is plain batch norm.

    Args:
        plain: the batch norm it takes the place of, whose parameters and buffers it shares.
        ranks: who shares the batch.
    """

    def __init__(self, plain: nn.modules.batchnorm._BatchNorm, ranks: Ranks) -> None:
        super().__init__(plain.num_features, plain.eps, plain.momentum, plain.affine, plain.track_running_stats)
        self.weight, self.bias = plain.weight, plain.bias
        self.running_mean, self.running_var = plain.running_mean, plain.running_var
        self.num_batches_tracked = plain.num_batches_tracked
        self.training, self.ranks = plain.training, ranks

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"batch norm takes [B, C, ...], got {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, ...] -> the same shape."""
        self._check_input_dim(input)
        if not self.training:
            return super().forward(input)
        mean, var, count = self._statistics(input)
        if self.track_running_stats:
            self._track(mean, var, count)
        normalised: Tensor = _Normalise.apply(input, self.weight, self.bias, mean, var, self.eps, count, self.ranks)
        return normalised

    @torch.no_grad()
    def _statistics(self, input: Tensor) -> tuple[Tensor, Tensor, float]:
        """Mean and variance per channel over all ranks, which hold equally many entries, and how many these are."""
        wide = input.to(torch.promote_types(input.dtype, torch.float32))
        var, mean = torch.var_mean(wide, [0, *range(2, input.ndim)], correction=0)
        means, variances = self.ranks.gather(torch.stack([mean, var]).unsqueeze(0)).unbind(1)
        mean = means.mean(0)
        count = input.numel() / input.shape[1] * self.ranks.size
        return mean, variances.mean(0) + (means - mean).square().mean(0), count

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor, count: float) -> None:
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        rate = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), rate)
        self.running_var.lerp_((var * count / (count - 1)).to(self.running_var.dtype), rate)


def synchronise(model: nn.Module, ranks: Ranks) -> None:
    """Put a `SyncedBatchNorm` in the place of every batch norm of a model; its state_dict keeps its keys."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.modules.batchnorm._BatchNorm):
                setattr(module, name, SyncedBatchNorm(child, ranks))
