"""One rank of a tiny run: torchrun torchrun_worker.py CONFIG SHARDS OUT."""

import json
import sys
from pathlib import Path

from glofnd.pretraining import Preempted, pretrain
from glofnd.pretraining.trainer import Trainer
from tests.glofnd.pretraining import tiny_run  # noqa: F401 -- registers its encoders

start = Trainer.start


def announced(trainer):
    start(trainer)
    print("started", file=sys.stderr, flush=True)


Trainer.start = announced
try:
    pretrain(json.loads(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
except Preempted:
    sys.exit(75)
