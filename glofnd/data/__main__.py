"""`python -m glofnd.data fetch | shard`: from a source to checked shards."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from glofnd.command_line import Parser, at_least_one
from glofnd.data import fetch, shard
from glofnd.data.catalogue import SOURCES
from glofnd.failures import report
from glofnd.lifetime import end_with_caller


def _block(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("not a JSON object")
    return value


def _parser() -> Parser:
    parser = Parser(prog="python -m glofnd.data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("fetch", help="fetch a source and check it")
    command.add_argument("--source", required=True, choices=sorted(SOURCES))
    command.add_argument("--out", required=True, type=Path)
    command = commands.add_parser("shard", help="write one split as webdataset tars with a manifest")
    command.add_argument("--dataset-config", required=True, type=_block, metavar="JSON", help="a block of `datasets:`")
    command.add_argument("--name", help="the block's key, in the manifest (default: its `dataset`)")
    command.add_argument("--split", required=True)
    command.add_argument("--raw", type=Path, help="folder of the fetched source")
    command.add_argument("--out", required=True, type=Path)
    command.add_argument("--processes", type=at_least_one, default=os.cpu_count() or 1)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a user's error is one line on stderr and status 2."""
    end_with_caller()
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        if options.command == "fetch":
            fetch(options.source, options.out)
        else:
            config = options.dataset_config
            name = options.name or config.get("dataset")
            if name is None:
                parser.error("--name is missing, and the block names no `dataset`")
            shard(config, name, options.split, options.raw, options.out, options.processes)
    except Exception as error:
        return report(error, "lower resources.shard.threads or raise its mem_mb")
    return 0


if __name__ == "__main__":
    sys.exit(main())
