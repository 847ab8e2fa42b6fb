"""Reads benchmark.json, the resolved config that rule `resolve` has written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from glofnd.files import making_sense, read_json
from workflow.grid import Grid

__all__ = ["read_benchmark"]


def read_benchmark(path: Path) -> dict[str, Any]:
    """The resolved config of a benchmark.

    Raises:
        ValueError: the file is no such config; names it.
        OSError: it cannot be read.
    """
    config: dict[str, Any] = read_json(path)
    with making_sense(path, "it must be the resolved config that rule `resolve` writes"):
        grid = Grid(config)
        for run in grid.all_runs:
            grid.run_config(run)
            grid.evaluations(run)
        config["significance"], config["mlflow"]["tracking_uri"], config["mlflow"]["prefix"]
    return config
