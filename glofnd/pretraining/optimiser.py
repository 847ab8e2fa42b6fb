"""Optimiser of a run: the model's parameters, and those of the objective (temperatures) in groups of their own."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from glofnd.pretraining.lars import LARS
from glofnd.pretraining.schedule import rate

__all__ = ["build_optimiser", "set_rate"]


def build_optimiser(model: nn.Module, objective: Any, training: dict[str, Any]) -> Optimizer:
    """AdamW, SGD or LARS as `training["optimizer"]` says; one-dimensional parameters get no weight decay."""
    lr, decay = training["lr"], training["weight_decay"]
    trained = [p for p in model.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim > 1], "lr": lr, "weight_decay": decay, "scheduled": True},
        {"params": [p for p in trained if p.ndim <= 1], "lr": lr, "weight_decay": 0.0, "scheduled": True},
    ]
    groups += [{"scheduled": False, **group} for group in objective.parameter_groups()]
    name = training["optimizer"]
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.999), fused=True)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=0.9)
    return LARS(groups, lr=lr, momentum=0.9)


def set_rate(optimiser: Optimizer, base: float, step: int, steps: int, warmup_steps: int) -> float:
    """Set this step's learning rate on the scheduled groups and return it."""
    lr = base * rate(step, steps, warmup_steps)
    for group in optimiser.param_groups:
        if group["scheduled"]:
            group["lr"] = lr
    return lr
