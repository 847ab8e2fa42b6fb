"""Project finished runs into MLflow: metrics.json stays the source of truth, so this can be repeated at any time.

    python -m workflow.scripts.mlflow_import --benchmark results/benchmark.json --out results/mlflow-import.json

One MLflow experiment per experiment of the config, one MLflow run per run of the grid with its training and all its
evaluations. A run is found again by its id and by a hash of its results: what has not changed is left alone, what has
changed replaces the older import (which goes to MLflow's trash), and an import that was cut off is done again.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from glofnd.files import read_json, write_json
from glofnd.progress import Progress
from workflow.grid import Grid
from workflow.scripts.mlflow_figures import figures
from workflow.scripts.mlflow_records import Record, record

__all__ = ["HASH", "RUN_ID", "import_runs"]

RUN_ID, HASH = "glofnd.run", "glofnd.content_hash"

_BATCH = {"metrics": 1000, "params": 100, "tags": 100}
"""Largest batch the tracking API takes."""


def _uri(config: dict[str, Any]) -> str:
    stated = config["mlflow"]["tracking_uri"]
    return str(stated or f"sqlite:///{Path(config['paths']['results']) / 'mlflow.db'}")


def _experiment(client: MlflowClient, name: str, results: Path) -> str:
    """Id of the experiment, made (or taken out of the trash) where needed."""
    found = client.get_experiment_by_name(name)
    if found is None:
        remote = client.tracking_uri.startswith(("http", "databricks"))
        location = None if remote else (results / "mlflow-artifacts" / name).absolute().as_uri()
        return str(client.create_experiment(name, artifact_location=location))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _imported(client: MlflowClient, experiment: str) -> dict[str, list[Run]]:
    """What an experiment already holds, by our run ids."""
    runs: dict[str, list[Run]] = {}
    token = None
    while True:
        page = client.search_runs([experiment], max_results=1000, page_token=token)
        for run in page:
            runs.setdefault(run.data.tags.get(RUN_ID, ""), []).append(run)
        token = page.token
        if not token:
            return runs


def _write(client: MlflowClient, experiment: str, found: Record) -> str:
    """Import one run; its hash is set last, so that a cut-off import shows."""
    run = client.create_run(
        experiment, start_time=found.start, tags={RUN_ID: found.run_id, **found.tags}, run_name=found.name
    )
    key: str = run.info.run_id
    metrics = [Metric(name, value, found.end, step) for name, value, step in found.metrics]
    params = [Param(name, value) for name, value in found.params.items()]
    for start in range(0, len(metrics), _BATCH["metrics"]):
        client.log_batch(key, metrics=metrics[start : start + _BATCH["metrics"]])
    for start in range(0, len(params), _BATCH["params"]):
        client.log_batch(key, params=params[start : start + _BATCH["params"]])
    for name, content in found.files.items():
        client.log_dict(key, content, name)
    for name, figure in figures(found.epochs).items():
        client.log_figure(key, figure, name)
    client.log_batch(key, tags=[RunTag(HASH, found.content_hash)])
    client.set_terminated(key, "FINISHED", end_time=found.end)
    return key


def import_runs(config: dict[str, Any]) -> dict[str, Any]:
    """Import every finished run of a benchmark.

    Args:
        config: resolved config.

    Returns:
        `tracking_uri` and, per run id, the MLflow run and whether it was added, updated or unchanged.
    """
    client, grid, results = MlflowClient(tracking_uri=_uri(config)), Grid(config), Path(config["paths"]["results"])
    Path(results).mkdir(parents=True, exist_ok=True)
    done: dict[str, Any] = {}
    runs = list(grid.all_runs)
    bar = Progress(len(runs), "MLflow import", "runs")
    for name in config["experiments"]:
        experiment = _experiment(client, name, results)
        known = _imported(client, experiment)
        for run in (run for run in runs if run.experiment == name):
            found = record(grid, run)
            if found is None:
                continue
            older = known.get(run.id, [])
            same = [entry for entry in older if entry.data.tags.get(HASH) == found.content_hash]
            for entry in older:
                if entry not in same[:1]:
                    client.delete_run(entry.info.run_id)
            state = "unchanged" if same else "updated" if older else "added"
            key = same[0].info.run_id if same else _write(client, experiment, found)
            done[run.id] = {"mlflow_run": key, "content_hash": found.content_hash, "state": state}
            bar.advance()
    bar.close()
    return {"tracking_uri": client.tracking_uri, "runs": done}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m workflow.scripts.mlflow_import", description=__doc__)
    parser.add_argument("--benchmark", required=True, type=Path, help="benchmark.json")
    parser.add_argument("--out", required=True, type=Path, help="mlflow-import.json: what was imported")
    arguments = parser.parse_args()
    try:
        result = import_runs(read_json(arguments.benchmark))
    except (ValueError, OSError, MlflowException) as error:
        print(f"error: MLflow import: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    write_json(arguments.out, result)
    states = [entry["state"] for entry in result["runs"].values()]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("added", "updated", "unchanged"))
    print(f"{result['tracking_uri']}: {counts}")


if __name__ == "__main__":
    main()
