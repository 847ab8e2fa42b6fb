"""Print what a benchmark costs, before it is started.

python -m workflow.plan --configfile configs/imagenet100.yaml [--json plan.json]
make plan CONFIG=configs/imagenet100.yaml
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml
from snakemake.utils import update_config

from glofnd.files import write_json
from workflow.configuration import resolve_or_exit
from workflow.plan.estimate import estimate
from workflow.plan.text import as_text

ROOT = Path(__file__).parents[2]


def _read(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SystemExit(f"error: {path}: {error}".replace("\n", " ")) from None
    if not isinstance(found, dict):
        raise SystemExit(f"error: {path}: not a config; it must hold keys and values")
    return found


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m workflow.plan", description="Print what a benchmark costs.")
    parser.add_argument("--configfile", type=Path, help="laid over config.yaml, as snakemake does")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the plan as JSON")
    arguments = parser.parse_args()
    config = _read(ROOT / "config.yaml")
    if arguments.configfile:
        update_config(config, _read(arguments.configfile))
    plan = estimate(resolve_or_exit(config, files=False))
    if arguments.json:
        write_json(arguments.json, plan)
    sys.stdout.write(as_text(plan))


if __name__ == "__main__":
    main()
