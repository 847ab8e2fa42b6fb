"""Optimiser and learning rate of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from glofnd.pretraining.options import TrainingOptions

__all__ = ["LARS", "build_optimiser", "rate"]


def rate(step: int, steps: int, warmup_steps: int) -> float:
    """Factor on the base learning rate at `step` (from 0) of `steps`: linear warm-up, then half a cosine to zero.

    The first step of the warm-up is 1 / warmup_steps, not zero, so that no step is wasted.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(steps - warmup_steps, 1)))


def build_optimiser(model: nn.Module, objective: Any, options: TrainingOptions) -> Optimizer:
    """Optimiser of the model's parameters and of those of the objective (temperatures), in groups of their own.

    Parameters with one dimension get no weight decay. Groups that are `scheduled` follow `rate`.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": options.weight_decay, "scheduled": True},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0, "scheduled": True},
    ]
    groups += [{"scheduled": False, **group} for group in objective.parameter_groups()]
    if options.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=options.lr, betas=(0.9, 0.999), fused=True)
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=options.lr, momentum=0.9)
    return LARS(groups, lr=options.lr, momentum=0.9)


class LARS(Optimizer):
    """LARS (You, Gitman & Ginsburg 2017), as SimCLR uses it, which torch does not have.

    SGD with momentum whose step is scaled per tensor by trust * |w| / |g + wd w|. Tensors with one dimension (biases,
    normalisation) get neither weight decay nor scaling.

    Args:
        params: parameters or groups.
        lr: learning rate.
        momentum: heavy-ball momentum.
        weight_decay: L2 penalty, added to the gradient before scaling.
        trust: trust coefficient.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 0.001,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update; a closure is not supported."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                update = parameter.grad
                if parameter.ndim > 1:
                    update = update.add(parameter, alpha=group["weight_decay"])
                    weight_norm, update_norm = parameter.norm(), update.norm()
                    scale = group["trust"] * weight_norm / update_norm
                    update = update * torch.where((weight_norm > 0) & (update_norm > 0), scale, 1.0)
                state = self.state[parameter]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(parameter)
                buffer = state["momentum_buffer"].mul_(group["momentum"]).add_(update)
                parameter.add_(buffer, alpha=-group["lr"])
        return None
