"""Write the resolved config of a benchmark, which every later step reads: `benchmark.json`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from glofnd.command_line import Parser
from glofnd.failures import report
from glofnd.files import write_json
from glofnd.lifetime import end_with_caller


def _config(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"not valid JSON ({error})") from error


def main() -> None:
    """Run the command line."""
    parser = Parser(prog="python -m workflow.scripts.resolve", description=__doc__)
    parser.add_argument("--config", required=True, type=_config, metavar="JSON", help="the resolved config")
    parser.add_argument("--out", required=True, type=Path, help="benchmark.json")
    arguments = parser.parse_args()
    end_with_caller()
    try:
        write_json(arguments.out, arguments.config)
    except Exception as error:
        raise SystemExit(report(error)) from None


if __name__ == "__main__":
    main()
