"""The training loop, its schedules, and checkpoints."""

from glofnd.pretraining.loop import objective_from, pretrain

__all__ = ["objective_from", "pretrain"]
