"""`python -m glofnd.pretraining`: train one run, alone or as one of the processes that torchrun has started.

Exit codes: 0 done; 75 stopped on request, run the same command again; 2 bad input, as the message says; 69 another rank
is gone.
"""

from __future__ import annotations

import contextlib
import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from glofnd.command_line import Parser
from glofnd.failures import report
from glofnd.files import none_from_the_future
from glofnd.lifetime import end_with_caller
from glofnd.pretraining.loop import pretrain
from glofnd.pretraining.preemption import EXIT_CODE, Preempted, stop_at_once
from glofnd.pretraining.team import LOST_RANK, Team, is_lost, join
from glofnd.registry import EXECUTION, TRAINING
from glofnd.run_config import parse_run_config, why_not

_LESS = "lower training.batch_size or training.workers, or raise resources.pretrain.mem_mb"
_TYPES = {"integer": int, "number": float, "string": str}


def _parser() -> Parser:
    parser = Parser(prog="python -m glofnd.pretraining", description="Pretrain one run.")
    parser.add_argument("--run-config", required=True, help="run config as JSON, or the path of a JSON file")
    parser.add_argument("--shards", required=True, type=Path, help="folder of the training split (manifest.json)")
    parser.add_argument("--out", required=True, type=Path, help="output folder")
    parser.add_argument("--from", dest="trunk", type=Path, help="trunk checkpoint to branch from")
    parser.add_argument("--until-epoch", type=int, help="stop after this many epochs (makes a trunk)")
    speed = parser.add_argument_group("how, not what", "win over the run config, change no number beyond rounding")
    for key in EXECUTION:
        schema = TRAINING[key]
        option = f"--{key.replace('_', '-')}"
        speed.add_argument(option, type=_TYPES[schema["type"]], choices=schema.get("enum"), help=f"training.{key}")
    return parser


def _config(arguments: Namespace) -> dict[str, Any]:
    config = parse_run_config(arguments.run_config)
    given = {key: value for key in EXECUTION if (value := getattr(arguments, key)) is not None}
    for key, value in given.items():
        if why := why_not(value, TRAINING[key]):
            raise ValueError(f"--{key.replace('_', '-')}: {why}")
    return {**config, "training": {**config["training"], **given}}


def main() -> None:
    """Parse the command line and train."""
    stop_at_once()
    end_with_caller()
    arguments = _parser().parse_args()
    who = ""
    team = Team()
    try:
        config = _config(arguments)
        team = join(config["training"].get("device", TRAINING["device"]["default"]))
        who = f" (rank {team.rank} of {team.size})" if team.size > 1 else ""
        pretrain(config, arguments.shards, arguments.out, arguments.trunk, arguments.until_epoch, team)
        if team.first:
            none_from_the_future([arguments.shards / "manifest.json", *([arguments.trunk] if arguments.trunk else [])])
    except Preempted as preempted:
        # The same signal may have ended whoever read what is printed.
        with contextlib.suppress(OSError):
            if team.first:
                print(preempted, file=sys.stderr, flush=True)
        raise SystemExit(EXIT_CODE) from None
    except Exception as error:
        if not isinstance(error, RuntimeError) or not is_lost(error):
            raise SystemExit(report(error, _LESS, head=f"error{who}")) from None
        print(f"error{who}: another rank is gone ({str(error).splitlines()[0]})", file=sys.stderr, flush=True)
        # The process group would wait for the rank that is gone.
        os._exit(LOST_RANK)
    finally:
        team.silence()
    team.close()


if __name__ == "__main__":
    main()
