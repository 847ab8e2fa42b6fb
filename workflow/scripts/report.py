"""Write the report of a results folder: `python -m workflow.scripts.report --benchmark FILE --out FILE`."""

from pathlib import Path

from glofnd.command_line import Parser
from glofnd.failures import report
from glofnd.lifetime import end_with_caller
from workflow.benchmark_file import read_benchmark
from workflow.report import write_report


def main() -> None:
    """Run the command line."""
    parser = Parser(prog="python -m workflow.scripts.report", description=__doc__)
    parser.add_argument("--benchmark", type=Path, required=True, help="benchmark.json of the results folder")
    parser.add_argument("--out", type=Path, required=True, help="HTML file to write")
    options = parser.parse_args()
    end_with_caller()
    try:
        write_report(read_benchmark(options.benchmark), options.out)
    except Exception as error:
        raise SystemExit(report(error, "raise resources.collect.mem_mb")) from None


if __name__ == "__main__":
    main()
