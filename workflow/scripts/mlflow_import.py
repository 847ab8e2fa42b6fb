"""Project finished runs into MLflow: metrics.json stays the source of truth, so this can be repeated at any time.

    python -m workflow.scripts.mlflow_import --benchmark results/benchmark.json --out results/mlflow-import.json

One MLflow experiment per experiment of the config (its name behind `mlflow.prefix`), one MLflow run per run of the grid
with its training and all its evaluations. A run is found again by its id and by a hash of its results: what has not
changed is left alone, what has changed replaces the older import (which goes to MLflow's trash), and an import that was
cut off is done again. Several importers may work at once (`mlflow_claims`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# A server that does not answer is reported after seconds, not minutes: the import can be repeated at any time.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from glofnd.command_line import Parser
from glofnd.files import none_from_the_future, write_json
from glofnd.lifetime import end_with_caller
from glofnd.progress import Progress
from workflow.benchmark_file import read_benchmark
from workflow.credentials import ADVICE, has_secret
from workflow.grid import Grid
from workflow.scripts.mlflow_claims import OWNER, abandoned, alone, keep_one, owner, trash
from workflow.scripts.mlflow_failures import quiet, report_store
from workflow.scripts.mlflow_figures import figures
from workflow.scripts.mlflow_records import Record, record

__all__ = ["HASH", "RUN_ID", "import_runs"]

RUN_ID, HASH = "glofnd.run", "glofnd.content_hash"

_BATCH = {"metrics": 1000, "params": 100, "tags": 100}
"""Largest batch the tracking API takes."""


def _uri(config: dict[str, Any]) -> str:
    stated = config["mlflow"]["tracking_uri"]
    if has_secret(stated or ""):
        raise ValueError(f"mlflow.tracking_uri: there is a password in it, which is not repeated here; {ADVICE}")
    return str(stated or f"sqlite:///{Path(config['paths']['results']) / 'mlflow.db'}")


def _experiment(client: MlflowClient, name: str, results: Path) -> str:
    """Id of the experiment, made (or taken out of the trash) where needed."""
    found = client.get_experiment_by_name(name)
    if found is None:
        remote = client.tracking_uri.startswith(("http", "databricks"))
        location = None if remote else (results / "mlflow-artifacts" / name).absolute().as_uri()
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException:
            # Another importer may have made it in this moment.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        try:
            client.restore_experiment(found.experiment_id)
        except MlflowException:
            # Another importer may have done so in this moment.
            if client.get_experiment(found.experiment_id).lifecycle_stage == "deleted":
                raise
    return str(found.experiment_id)


def _imported(client: MlflowClient, experiment: str, run_id: str | None = None) -> dict[str, list[Run]]:
    """What an experiment already holds, by our run ids; of one of them alone where it is named."""
    runs: dict[str, list[Run]] = {}
    query, token = f"tags.`{RUN_ID}` = '{run_id}'" if run_id else "", None
    while True:
        page = client.search_runs([experiment], query, max_results=1000, page_token=token)
        for run in page:
            runs.setdefault(run.data.tags.get(RUN_ID, ""), []).append(run)
        token = page.token
        if not token:
            return runs


def _write(client: MlflowClient, experiment: str, found: Record) -> None:
    """Import one run; its hash is set last, so that a cut-off import shows."""
    run = client.create_run(
        experiment,
        start_time=found.start,
        tags={RUN_ID: found.run_id, OWNER: owner(), **found.tags},
        run_name=found.name,
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
    client.set_terminated(key, "FINISHED", end_time=found.end)
    # Nothing may follow: from here on another importer may take the run for a double of its own and delete it.
    client.log_batch(key, tags=[RunTag(HASH, found.content_hash)])


def import_runs(config: dict[str, Any]) -> dict[str, Any]:
    """Import every finished run of a benchmark.

    Args:
        config: resolved config.

    Returns:
        `tracking_uri` and, per run id, the MLflow run and whether it was added, updated or unchanged.
    """
    Path(config["paths"]["results"]).mkdir(parents=True, exist_ok=True)
    with alone(_uri(config)):
        return _import(MlflowClient(tracking_uri=_uri(config)), config)


def _import_run(client: MlflowClient, experiment: str, found: Record, older: list[Run]) -> tuple[str, str]:
    """MLflow run and state of one run after its import; `older` is what the store holds of it."""
    same = [run for run in older if run.data.tags.get(HASH) == found.content_hash]
    changed = [run for run in older if run not in same and (HASH in run.data.tags or abandoned(run))]
    unchanged = bool(same)
    if not same:
        _write(client, experiment, found)
        now = _imported(client, experiment, found.run_id)[found.run_id]
        same = [run for run in now if run.data.tags.get(HASH) == found.content_hash]
    key = keep_one(client, same)
    # Only now: an importer that is killed leaves an older import rather than none.
    for run in changed:
        trash(client, run.info.run_id)
    return key, "unchanged" if unchanged else "updated" if changed else "added"


def _import(client: MlflowClient, config: dict[str, Any]) -> dict[str, Any]:
    grid, results = Grid(config), Path(config["paths"]["results"])
    done: dict[str, Any] = {}
    runs = list(grid.all_runs)
    bar = Progress(len(runs), "MLflow import", "runs")
    for name in config["experiments"]:
        experiment = _experiment(client, config["mlflow"]["prefix"] + name, results)
        known = _imported(client, experiment)
        for run in (run for run in runs if run.experiment == name):
            found = record(grid, run)
            if found is None:
                continue
            key, state = _import_run(client, experiment, found, known.get(run.id, []))
            done[run.id] = {"mlflow_run": key, "content_hash": found.content_hash, "state": state}
            bar.advance()
    bar.close()
    return {"tracking_uri": client.tracking_uri, "runs": done}


def main() -> None:
    """Run the command line."""
    parser = Parser(prog="python -m workflow.scripts.mlflow_import", description=__doc__)
    parser.add_argument("--benchmark", required=True, type=Path, help="benchmark.json")
    parser.add_argument("--out", required=True, type=Path, help="mlflow-import.json: what was imported")
    arguments = parser.parse_args()
    end_with_caller()
    quiet()
    try:
        config = read_benchmark(arguments.benchmark)
        result, grid = import_runs(config), Grid(config)
        write_json(arguments.out, result)
        none_from_the_future([arguments.benchmark, *grid.training_metrics(), *grid.evaluation_metrics()])
    except Exception as error:
        raise SystemExit(report_store(error, arguments.benchmark.parent / "mlflow.db")) from None
    states = [entry["state"] for entry in result["runs"].values()]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("added", "updated", "unchanged"))
    print(f"{result['tracking_uri']}: {counts}")


if __name__ == "__main__":
    main()
