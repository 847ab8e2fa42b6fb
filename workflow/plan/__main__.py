"""Print what a benchmark costs, before it is started.

python -m workflow.plan --configfile configs/imagenet100.yaml [--json plan.json]
make plan CONFIG=configs/imagenet100.yaml
"""

from __future__ import annotations

import sys
from pathlib import Path

from snakemake.utils import update_config

from glofnd.command_line import Parser
from glofnd.failures import report
from glofnd.files import write_json
from workflow.config_file import read_config
from workflow.configuration import resolve_or_exit
from workflow.plan.estimate import estimate
from workflow.plan.text import as_text

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Run the command line."""
    parser = Parser(prog="python -m workflow.plan", description="Print what a benchmark costs.")
    parser.add_argument("--configfile", type=Path, help="laid over config.yaml, as snakemake does")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the plan as JSON")
    arguments = parser.parse_args()
    try:
        config = read_config(ROOT / "config.yaml")
        if arguments.configfile:
            update_config(config, read_config(arguments.configfile))
        plan = estimate(resolve_or_exit(config, files=False))
        if arguments.json:
            write_json(arguments.json, plan)
    except Exception as error:
        raise SystemExit(report(error)) from None
    sys.stdout.write(as_text(plan))


if __name__ == "__main__":
    main()
