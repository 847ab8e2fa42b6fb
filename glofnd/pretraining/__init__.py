"""Pretraining: `pretrain` trains one run, resumable at any step."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glofnd.pretraining.loop import pretrain
    from glofnd.pretraining.options import TrainingOptions
    from glofnd.pretraining.signals import Preempted
    from glofnd.pretraining.trainer import embed_pair, objective_from

__all__ = ["Preempted", "TrainingOptions", "embed_pair", "objective_from", "pretrain"]

_MODULES = {"pretrain": "loop", "TrainingOptions": "options", "Preempted": "signals"}


def __getattr__(name: str) -> Any:
    # On first use, so that the options can be imported without torch.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'trainer')}"), name)
