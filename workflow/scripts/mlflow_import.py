"""Import finished runs into MLflow: `python -m workflow.scripts.mlflow_import --benchmark FILE --out FILE`."""

from pathlib import Path

from glofnd.command_line import Parser
from glofnd.failures import report
from glofnd.lifetime import end_with_caller
from workflow.benchmark_file import read_benchmark
from workflow.tracking import import_runs


def main() -> None:
    """Run the command line."""
    parser = Parser(prog="python -m workflow.scripts.mlflow_import", description=__doc__)
    parser.add_argument("--benchmark", required=True, type=Path, help="benchmark.json")
    parser.add_argument("--out", required=True, type=Path, help="mlflow-import.json: what was imported")
    arguments = parser.parse_args()
    end_with_caller()
    try:
        import_runs(read_benchmark(arguments.benchmark), arguments.out)
    except Exception as error:
        raise SystemExit(report(error, "raise resources.collect.mem_mb")) from None


if __name__ == "__main__":
    main()
