"""Make the report from a results folder, and optionally its overview as one picture.

    python -m workflow.scripts.report --benchmark results/benchmark.json --out results/report.html [--figure FILE.png]

Runs that have not finished are listed in the report; the rest is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from glofnd.command_line import Parser
from glofnd.failures import report
from glofnd.files import atomic_open, none_from_the_future, read_json
from glofnd.lifetime import end_with_caller
from workflow.grid import Grid
from workflow.report.build import render
from workflow.report.figure import overview
from workflow.report.inputs import ReportError, read_results

__all__ = ["main"]


def _read_by(benchmark: Path) -> list[str | Path]:
    """The files that Snakemake knows as inputs of the report."""
    grid = Grid(read_json(benchmark))
    tables = ("summary.parquet", "significance.csv", "significance_overall.csv")
    return [
        benchmark,
        *(benchmark.parent / name for name in tables),
        *grid.training_metrics(),
        *grid.evaluation_metrics(),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; input from which no report can be made is one line on stderr and exit code 2."""
    parser = Parser(prog="python -m workflow.scripts.report", description=__doc__.split("\n")[0])
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
        none_from_the_future(_read_by(options.benchmark))
    except Exception as error:
        raise SystemExit(report(error, "raise resources.collect.mem_mb", also=(ReportError,))) from None


if __name__ == "__main__":
    main()
