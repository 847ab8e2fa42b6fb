"""The training loop, its schedules, and checkpoints."""

from glofnd.pretraining.loop import pretrain
from glofnd.pretraining.run import objective_from

__all__ = ["objective_from", "pretrain"]
