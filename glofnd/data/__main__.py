"""`python -m glofnd.data fetch | shard`: from a source to checked shards."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from glofnd.data import fetch, shard
from glofnd.data.catalogue import sources
from glofnd.failures import report


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a user's error is one line on stderr and status 2."""
    parser = argparse.ArgumentParser(prog="python -m glofnd.data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("fetch", help="fetch a source and check it")
    command.add_argument("--source", required=True, choices=sorted(sources()))
    command.add_argument("--out", required=True, type=Path)
    command = commands.add_parser("shard", help="write one split as webdataset tars with a manifest")
    command.add_argument("--dataset-config", required=True, type=json.loads, help="a block of `datasets:`, as JSON")
    command.add_argument("--name", help="its name in the manifest (default: its `dataset`)")
    command.add_argument("--split", required=True)
    command.add_argument("--raw", type=Path, help="folder of the fetched source")
    command.add_argument("--out", required=True, type=Path)
    command.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args(arguments)
    try:
        if given.command == "fetch":
            fetch(given.source, given.out)
        else:
            name = given.name or given.dataset_config.get("dataset", "")
            shard(given.dataset_config, name, given.split, given.raw, given.out, given.processes)
    except Exception as error:
        return report(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
