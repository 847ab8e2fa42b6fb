"""Imports finished runs into MLflow. `metrics.json` stays the source of truth, so this can be repeated at any time.

One MLflow experiment per experiment of the config (its name behind `mlflow.prefix`). One parent run per method, with
mean and spread over its seeds; below it one run per seed with its training and all its evaluations. A run is found
again by its name (tag `glofnd.run`) and the hash of its results: what has not changed is left alone; what has changed
is written anew, and the older import then goes to MLflow's trash, as does one that was cut off.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# A server that does not answer is reported after seconds, not minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.entities import Run as Imported
from mlflow.exceptions import MlflowException
from sqlalchemy import URL, make_url
from sqlalchemy.exc import SQLAlchemyError
from tqdm import tqdm

from glofnd.files import making_sense, read_json, write_json
from glofnd.provenance import config_hash
from workflow.grid import Grid, Run
from workflow.report.figures import looks, training

__all__ = ["import_runs", "reached"]

NAME, HASH = "glofnd.run", "glofnd.hash"
"""Tags of every imported run; the hash is set last, so that an import that was cut off shows."""

METRICS, PARAMS, RUNS = 1000, 100, 50_000
"""The most that the tracking API takes in a batch, and gives in an answer."""


@dataclass(frozen=True)
class Record:
    """What MLflow is told about one run; `metrics` are (name, value, step), times in milliseconds since the epoch."""

    name: str
    hash: str
    start: int
    end: int
    params: dict[str, str]
    metrics: list[tuple[str, float, int]]
    tags: dict[str, str]
    files: dict[str, Any]
    epochs: list[dict[str, Any]]
    inputs: dict[str, str]


def import_runs(benchmark: dict[str, Any], out: Path) -> dict[str, dict[str, str]]:
    """Import every finished run of a resolved config.

    Returns:
        run id -> its `mlflow_run`, and its `state`: added, updated or unchanged; `out` (JSON) says so, too.

    Raises:
        ValueError: a result cannot be read.
        OSError: the store cannot be reached or written.
    """
    store = benchmark["mlflow"]["tracking_uri"] or f"sqlite:///{benchmark['paths']['results']}/mlflow.db"
    client, done = reached(store), dict[str, dict[str, str]]()
    with _explained(store):
        for experiment in benchmark["experiments"]:
            done |= _import_experiment(client, benchmark, experiment)
    write_json(out, {"tracking_uri": store, "runs": done})
    return done


def reached(store: str) -> MlflowClient:
    """A client of a store that answers; one in a SQLite file is made where there is none. Else raises `OSError`."""
    # It logs a traceback of each error that it raises besides.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    with _explained(store):
        if store.startswith("sqlite:///"):
            _create(make_url(store))
        client = MlflowClient(tracking_uri=store)
        client.search_experiments(max_results=1)
    return client


@contextmanager
def _explained(store: str) -> Iterator[None]:
    try:
        yield
    except (MlflowException, SQLAlchemyError, ImportError) as error:
        # SQLAlchemy adds the statement, with all its parameters, and a link.
        text, _, _ = str(error).partition("[SQL:")
        raise OSError(f"MLflow store {store}: {' '.join(text.split())}; call the same command again") from error


def _create(address: URL) -> None:
    """Make an empty store beside its place and put it there whole: one whose tables are half made cannot be opened."""
    path = Path(address.database or "")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        for left in (part, path.with_name(f"{part.name}-journal")):  # by an import that was killed
            left.unlink(missing_ok=True)
        MlflowClient(tracking_uri=str(address.set(database=str(part)))).search_experiments()
        part.replace(path)


def _import_experiment(client: MlflowClient, config: dict[str, Any], name: str) -> dict[str, dict[str, str]]:
    """Run id -> its MLflow run, and whether it was added, updated or unchanged."""
    grid, done = Grid(config), dict[str, dict[str, str]]()
    methods: dict[str, list[Run]] = defaultdict(list)
    for run in grid.all_runs:
        if run.experiment == name:
            methods[f"{name}/{run.objective}/{run.detector}"].append(run)
    experiment = _experiment(client, config, name)
    known = _known(client, experiment)
    for method, runs in tqdm(methods.items(), desc=f"MLflow import of {name}", unit="method", disable=None):
        found = {run.id: record for run in runs if (record := read_run(grid, run)) is not None}
        if not found:
            continue
        summary = _summary(method, list(found.values()))
        parent, done[method] = _store(client, experiment, summary, known[method])
        for run_id, record in found.items():
            record.tags["mlflow.parentRunId"] = parent
            _, done[run_id] = _store(client, experiment, record, known[run_id], parent)
    return done


def _experiment(client: MlflowClient, config: dict[str, Any], name: str) -> str:
    """Id of the MLflow experiment, made (or taken out of the trash) where needed."""
    full, results = config["mlflow"]["prefix"] + name, Path(config["paths"]["results"])
    found = client.get_experiment_by_name(full)
    if found is None:
        remote = client.tracking_uri.startswith(("http", "databricks"))
        # The prefix may have characters, or be longer, than a folder's name can.
        place = None if remote else (results / "mlflow-artifacts" / name).absolute().as_uri()
        return str(client.create_experiment(full, place))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _known(client: MlflowClient, experiment: str) -> dict[str, list[Imported]]:
    """Name -> what the experiment holds of that run."""
    found: dict[str, list[Imported]] = defaultdict(list)
    for run in client.search_runs([experiment], max_results=RUNS):
        found[run.data.tags.get(NAME, "")].append(run)
    return found


def _store(
    client: MlflowClient, experiment: str, record: Record, older: Sequence[Imported], parent: str | None = None
) -> tuple[str, dict[str, str]]:
    """Bring one run up to date; returns its MLflow run id, and what was done."""
    tag = "mlflow.parentRunId"
    same = [r.info.run_id for r in older if r.data.tags.get(HASH) == record.hash and r.data.tags.get(tag) == parent]
    key = str(same[0]) if same else _write(client, experiment, record)
    # Only now: an import that is killed leaves an older one rather than none.
    for run in older:
        if run.info.run_id != key:
            client.delete_run(run.info.run_id)
    state = "unchanged" if same else "updated" if older else "added"
    return key, {"mlflow_run": key, "state": state}


def _write(client: MlflowClient, experiment: str, record: Record) -> str:
    """Import one run; its hash is set last."""
    tags = {NAME: record.name, **record.tags}
    run = client.create_run(experiment, record.start, tags, run_name=record.name.partition("/")[2])
    key = str(run.info.run_id)
    metrics = [Metric(name, value, record.end, step) for name, value, step in record.metrics]
    params = [Param(name, value) for name, value in record.params.items()]
    for start in range(0, len(metrics), METRICS):
        client.log_batch(key, metrics=metrics[start : start + METRICS])
    for start in range(0, len(params), PARAMS):
        client.log_batch(key, params=params[start : start + PARAMS])
    if record.inputs:
        client.log_inputs(key, [_dataset(name, digest) for name, digest in record.inputs.items()])
    for name, content in record.files.items():
        client.log_dict(key, content, name)
    label = record.name.split("/")[2]
    figures = training({label: [record.epochs]}, looks([label]))
    for name, (_, figure) in figures.items():
        client.log_figure(key, figure, f"figures/{name}.html")
    client.set_terminated(key, "FINISHED", record.end)
    client.log_batch(key, tags=[RunTag(HASH, record.hash)])
    return key


def _dataset(name: str, digest: str) -> DatasetInput:
    place = json.dumps({"uri": name})
    return DatasetInput(Dataset(name, digest[:12], "local", place), [InputTag("mlflow.data.context", "training")])


def _summary(method: str, records: Sequence[Record]) -> Record:
    """The parent run of a method: mean and standard deviation of the final metrics of its seeds."""
    values: dict[str, list[float]] = defaultdict(list)
    for record in records:
        for name, value, _ in record.metrics:
            if not name.startswith("training/"):
                values[name].append(value)
    metrics = [(name, fmean(found), 0) for name, found in values.items()]
    spread = [(f"{name} sd", stdev(found), 0) for name, found in values.items() if len(found) > 1]
    lines = [f"| {name} | {mean:.4f} |" for name, mean, _ in metrics if re.search(r"top1|recall-at-10|/f1$", name)]
    note = "\n".join([f"Mean over {len(records)} seeds.", "", "| metric | mean |", "|---|---|", *lines])
    shared = set.intersection(*(set(record.params.items()) for record in records))
    return Record(
        name=method,
        hash=config_hash([record.hash for record in records]),
        start=min(record.start for record in records),
        end=max(record.end for record in records),
        params=dict(sorted(shared)),
        metrics=[*metrics, *spread],
        tags={"mlflow.note.content": note},
        files={},
        epochs=[],
        inputs={},
    )


def read_run(grid: Grid, run: Run) -> Record | None:
    """What is there of a run; `None` while nothing of it is finished.

    Raises:
        ValueError: a result is there but cannot be read.
    """
    folder = Path(grid.run_folder(run))
    places = {"training": folder / "metrics.json"}
    places |= {name: folder / name / "metrics.json" for name in grid.evaluations(run)}
    places = {name: path for name, path in places.items() if path.is_file()}
    if not places:
        return None
    results = {name: read_json(path) for name, path in places.items()}
    metrics: list[tuple[str, float, int]] = []
    for name, path in places.items():
        with making_sense(path):
            metrics += _final_metrics(name, results[name]["metrics"])
    epochs: list[dict[str, Any]] = []
    if (folder / "history.json").is_file():
        with making_sense(folder / "history.json"):
            epochs = [{**e, "epoch": int(e["epoch"])} for e in read_json(folder / "history.json")["epochs"]]
    config = grid.run_config(run)
    made = [result.get("provenance") or {} for result in results.values()]
    end = int(max(path.stat().st_mtime for path in places.values()) * 1000)
    wall = sum(float(m.get("wall_seconds") or 0) for m in made)
    first = results.get("training", {})
    return Record(
        name=run.id,
        hash=config_hash([config, results, epochs]),
        start=end - int(1000 * wall),
        end=end,
        params={name: value if isinstance(value, str) else json.dumps(value) for name, value in _flat(config)},
        metrics=[*_epoch_metrics(epochs), *metrics],
        tags=_tags(first, made[0], folder / "checkpoint.pt"),
        files={f"results/{name}.json": result for name, result in results.items()},
        epochs=epochs,
        inputs={config["dataset"]: made[0]["inputs"]["shards"]} if (made[0].get("inputs") or {}).get("shards") else {},
    )


def _flat(value: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested mappings as dotted names."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _metric_name(*parts: object) -> str:
    """A name of the characters that MLflow takes."""
    return re.sub(r"[^\w\-. /:]", "-", "/".join(str(part) for part in parts if part is not None))


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _epoch_metrics(epochs: Sequence[dict[str, Any]]) -> Iterator[tuple[str, float, int]]:
    for entry in epochs:
        for name, value in _flat({key: item for key, item in entry.items() if key != "epoch"}):
            if _number(value):
                yield f"training/{_metric_name(name)}", float(value), entry["epoch"]


def _final_metrics(evaluation: str, metrics: Iterable[dict[str, Any]]) -> Iterator[tuple[str, float, int]]:
    for metric in metrics:
        if _number(metric["value"]):
            fraction = metric.get("fraction")
            share = None if fraction is None else f"{fraction:g}"
            yield (
                _metric_name(evaluation, metric["dataset"], metric["split"], metric["metric"], share),
                float(metric["value"]),
                0,
            )


def _tags(training: dict[str, Any], made: dict[str, Any], checkpoint: Path) -> dict[str, str]:
    """MLflow's own tags of source and commit, and what people filter by."""
    tags = {
        "mlflow.source.name": "snakemake",
        "mlflow.source.git.commit": made.get("git_commit"),
        "git_dirty": made.get("git_dirty"),
        "config_hash": made.get("config_hash"),
        "device": made.get("device"),
        "container": made.get("container"),
        "data.skipped": (training.get("training") or {}).get("skipped") or None,
        "checkpoint": str(checkpoint.absolute()) if checkpoint.is_file() else None,
    }
    return {name: str(value) for name, value in tags.items() if value is not None}
