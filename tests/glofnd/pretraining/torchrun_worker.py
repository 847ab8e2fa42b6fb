"""One rank of a tiny run: torchrun torchrun_worker.py CONFIG SHARDS OUT."""

import json
import sys
from pathlib import Path

from glofnd.pretraining import Preempted, pretrain
from glofnd.pretraining.trainer import Trainer
from tests.glofnd.pretraining import tiny_run  # noqa: F401 -- registers its encoders

train_step = Trainer.train_step


def announced(trainer, batch):
    if trainer.step == 0:
        print("started", file=sys.stderr, flush=True)
    return train_step(trainer, batch)


# Not at its start: only then are signals waited for.
Trainer.train_step = announced
try:
    pretrain(json.loads(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
except Preempted:
    sys.exit(75)
