"""What a finished benchmark says: where its results are and how to browse them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
    browse = store if remote else f"mlflow server --host 127.0.0.1 --port 5000 --backend-store-uri {store}"
    return "\n".join(
        [
            "",
            f"Report:  {(results / 'report.html').absolute()}  (open it in a browser; it needs no network)",
            f"Tables:  {', '.join(str(results / name) for name in tables)}",
            f"MLflow:  {browse}{'' if remote else '  then http://127.0.0.1:5000'}",
        ]
    )
