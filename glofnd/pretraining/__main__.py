"""`python -m glofnd.pretraining`: train one run, alone or as one of the processes that torchrun has started.

Exit codes: 0 done; 75 stopped on request, run the same command again; 2 bad input, as the message says.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from glofnd.command_line import Parser
from glofnd.failures import report
from glofnd.parameters import parameters
from glofnd.pretraining import Preempted, TrainingOptions, pretrain
from glofnd.pretraining.options import EXECUTION
from glofnd.run_config import parse_run_config

_LESS = "lower training.batch_size or training.workers, or raise resources.pretrain.mem_mb"


def main() -> None:
    """Parse the command line and train."""
    parser = Parser(prog="python -m glofnd.pretraining", description="Pretrain one run.")
    parser.add_argument("--run-config", required=True, help="run config as JSON, or the path of a JSON file")
    parser.add_argument("--shards", required=True, type=Path, help="folder of the training split (manifest.json)")
    parser.add_argument("--out", required=True, type=Path, help="output folder")
    parser.add_argument("--from", dest="trunk", type=Path, help="trunk checkpoint to branch from")
    parser.add_argument("--until-epoch", type=int, help="stop after this many epochs (makes a trunk)")
    declared = parameters(TrainingOptions)
    for key in EXECUTION:
        one, choices = declared[key], declared[key].choices
        kind = str if choices else one.type
        parser.add_argument(f"--{key.replace('_', '-')}", type=kind, choices=choices, help=one.description)
    given = parser.parse_args()
    try:
        config = parse_run_config(given.run_config)
        execution = {key: value for key in EXECUTION if (value := getattr(given, key)) is not None}
        config = {**config, "training": {**config["training"], **execution}}
        pretrain(config, given.shards, given.out, given.trunk, given.until_epoch)
    except Preempted as preempted:
        if int(os.environ.get("RANK", 0)) == 0:
            print(preempted, file=sys.stderr)
        raise SystemExit(75) from None
    except Exception as error:
        raise SystemExit(report(error, _LESS)) from None


if __name__ == "__main__":
    main()
