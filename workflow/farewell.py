"""What a finished benchmark says: where its results are and how to browse them.

python -m workflow.farewell results/benchmark.json
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from glofnd.command_line import Parser
from glofnd.failures import report
from glofnd.files import making_sense, read_json

__all__ = ["farewell"]


def farewell(config: dict[str, Any]) -> str:
    """The last lines of a successful run.

    Args:
        config: resolved config.
    """
    results = Path(config["paths"]["results"])
    store = config["mlflow"]["tracking_uri"] or f"sqlite:///{results / 'mlflow.db'}"
    tables = ["summary.csv", *(["significance.csv"] if config["significance"] else [])]
    remote = store.startswith("http")
    browse = store if remote else f"mlflow server --host 127.0.0.1 --port 5000 --backend-store-uri {shlex.quote(store)}"
    return "\n".join(
        [
            "",
            f"Report:  {(results / 'report.html').absolute()}  (open it in a browser; it needs no network)",
            f"Tables:  {', '.join(str(results / name) for name in tables)}",
            f"MLflow:  {browse}{'' if remote else '  then http://127.0.0.1:5000'}",
        ]
    )


def main() -> None:
    """Print the farewell of a finished benchmark."""
    parser = Parser(prog="python -m workflow.farewell", description="Say where results are.")
    parser.add_argument("benchmark", type=Path, help="benchmark.json of the results folder")
    path = parser.parse_args().benchmark
    try:
        config = read_json(path)
        with making_sense(path, "it must be the resolved config that rule `resolve` writes"):
            print(farewell(config))
    except Exception as error:
        raise SystemExit(report(error)) from None


if __name__ == "__main__":
    main()
