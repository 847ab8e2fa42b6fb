"""Pretraining: `pretrain` trains one run, resumable at any step."""

from glofnd.pretraining.loop import pretrain
from glofnd.pretraining.options import TrainingOptions
from glofnd.pretraining.signals import Preempted
from glofnd.pretraining.trainer import embed_pair, objective_from

__all__ = ["Preempted", "TrainingOptions", "embed_pair", "objective_from", "pretrain"]
