"""Make the report from a results folder, and optionally its overview as one picture.

    python -m workflow.scripts.report --benchmark results/benchmark.json --out results/report.html [--figure FILE.png]

Runs that have not finished are listed in the report; the rest is shown.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from glofnd.files import atomic_open
from glofnd.lifetime import end_with_caller
from workflow.report.build import render
from workflow.report.figure import overview
from workflow.report.inputs import ReportError, read_results

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; input from which no report can be made is one line on stderr and exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m workflow.scripts.report", description=__doc__.split("\n")[0])
    parser.add_argument("--benchmark", type=Path, required=True, help="benchmark.json of the results folder")
    parser.add_argument("--out", type=Path, required=True, help="HTML file to write")
    parser.add_argument("--figure", type=Path, help="also write the overview as a PNG file")
    options = parser.parse_args(arguments)
    end_with_caller()
    try:
        results = read_results(options.benchmark)
        page = render(results)
        with atomic_open(options.out, "w") as file:
            file.write(page)
        if options.figure:
            with atomic_open(options.figure) as file:
                overview(results, file)
    except ReportError as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
