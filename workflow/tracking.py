"""Imports finished runs into MLflow. `metrics.json` stays the source of truth, so this can be repeated at any time.

One MLflow experiment per experiment of the config (its name behind `mlflow.prefix`). One parent run per method, with
mean and spread over its seeds; below it one run per seed with its training and all its evaluations. A run is found
again by its name (tag `glofnd.run`) and the hash of its results: what has not changed is left alone; what was logged
live (`workflow.live`), or cut off, is completed; what has changed is written anew, and the older import then goes to
MLflow's trash.
"""

from __future__ import annotations

import fcntl
import json
import logging
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# A server that does not answer is reported after seconds, not minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.entities import Run as Imported
from mlflow.exceptions import MlflowException
from sqlalchemy import URL, make_url
from sqlalchemy.exc import SQLAlchemyError
from tqdm import tqdm

from glofnd.files import making_sense, read_json, sha256, write_json
from glofnd.provenance import config_hash
from workflow.grid import NONE, Grid, Run
from workflow.report.figures import looks, training

__all__ = ["import_runs", "reached"]

NAME, HASH, PARENT = "glofnd.run", "glofnd.hash", "mlflow.parentRunId"
"""Tags of every imported run; the hash is set last, so that one that is not whole shows."""

CURVES = "curves/"
"""Begins the names of what has a value per epoch; MLflow shows charts by name, so these come before `discovery`."""

LOSS = f"{CURVES}loss"
"""Logged after all else of its epoch: where it is, the epoch is whole."""

METRICS, PARAMS, RUNS = 1000, 100, 50_000
"""The most that the tracking API takes in a batch, and gives in an answer."""


@dataclass(frozen=True)
class Record:
    """What MLflow is told about one run; times in milliseconds since the epoch.

    Attributes:
        metrics: (name, value, step).
        inputs: (data set, digest, what for).
    """

    name: str
    start: int
    end: int
    hash: str = ""
    params: dict[str, str] = field(default_factory=dict)
    metrics: list[tuple[str, float, int]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    files: dict[str, Any] = field(default_factory=dict)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    inputs: list[tuple[str, str, str]] = field(default_factory=list)
    artifacts: list[Path] = field(default_factory=list)


def import_runs(benchmark: dict[str, Any], out: Path) -> dict[str, dict[str, str]]:
    """Import every finished run of a resolved config.

    Returns:
        run id -> its `mlflow_run`, and its `state`: added, updated or unchanged; `out` (JSON) says so, too.

    Raises:
        ValueError: a result cannot be read.
        OSError: the store cannot be reached or written.
    """
    store, done = store_of(benchmark), dict[str, dict[str, str]]()
    with alone(benchmark), explained(store):
        client = reached(store)
        for experiment in benchmark["experiments"]:
            done |= _import_experiment(client, benchmark, experiment)
    write_json(out, {"tracking_uri": store, "runs": done})
    return done


def store_of(benchmark: dict[str, Any]) -> str:
    """Address of the store of a resolved config."""
    return str(benchmark["mlflow"]["tracking_uri"] or f"sqlite:///{benchmark['paths']['results']}/mlflow.db")


@contextmanager
def alone(benchmark: dict[str, Any]) -> Iterator[None]:
    """Import and live tracking of one benchmark take turns."""
    with (Path(benchmark["paths"]["results"]) / ".mlflow.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def reached(store: str) -> MlflowClient:
    """A client of a store that answers; one in a SQLite file is made where there is none. Else raises `OSError`."""
    # It logs a traceback of each error that it raises besides.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    with explained(store):
        if store.startswith("sqlite:///"):
            _create(make_url(store))
        client = MlflowClient(tracking_uri=store)
        client.search_experiments(max_results=1)
    return client


@contextmanager
def explained(store: str) -> Iterator[None]:
    """What goes wrong with the store is an `OSError` of one line."""
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
    experiment = opened(client, config, name)
    there: dict[str, list[Imported]] = defaultdict(list)
    for imported in client.search_runs([experiment], max_results=RUNS):
        there[imported.data.tags.get(NAME, "")].append(imported)
    read = {method: [record for run in runs if (record := read_run(grid, run))] for method, runs in methods.items()}
    baseline = (config["significance"] or {"baseline": NONE})["baseline"]
    for method, records in tqdm(read.items(), desc=f"MLflow import of {name}", unit="method", disable=None):
        if records:
            other = f"{method.rpartition('/')[0]}/{baseline}"
            summary = _summary(method, records, baseline, _finals(read.get(other, []) if method != other else []))
            parent, done[method] = _store(client, experiment, summary, there[method])
            for record in records:
                record.tags[PARENT] = parent
                _, done[record.name] = _store(client, experiment, record, there[record.name])
    if done and (report := _report(Path(config["paths"]["results"]), name)):
        _, done[report.name] = _store(client, experiment, report, there[report.name])
    return done


def opened(client: MlflowClient, config: dict[str, Any], name: str) -> str:
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


def _store(
    client: MlflowClient, experiment: str, record: Record, older: Sequence[Imported]
) -> tuple[str, dict[str, str]]:
    """Bring one run up to date; returns its MLflow run id, and what was done."""
    same = [run for run in older if run.data.tags.get(HASH) == record.hash]
    if same:
        key = str(same[0].info.run_id)
        if same[0].data.tags.get(PARENT) != record.tags.get(PARENT):
            client.set_tag(key, PARENT, record.tags[PARENT])
    else:
        key = write(client, experiment, record, older)
        _complete(client, key, record)
    # Only now: an import that is killed leaves an older one rather than none.
    for run in older:
        if run.info.run_id != key:
            client.delete_run(run.info.run_id)
    state = "unchanged" if same else "updated" if older else "added"
    return key, {"mlflow_run": key, "state": state}


def known(client: MlflowClient, experiment: str, name: str) -> Sequence[Imported]:
    """What the experiment holds of a run."""
    found: Sequence[Imported] = client.search_runs([experiment], f"tags.`{NAME}` = '{name}'")
    return found


def write(client: MlflowClient, experiment: str, record: Record, older: Sequence[Imported]) -> str:
    """Log params and metrics of a run, or what is missing where one of `older` is its beginning; returns its id."""
    for run in older:
        if (logged := _epochs_of_beginning(client, run, record)) is not None:
            break
    else:
        tags, logged = {NAME: record.name, **record.tags}, set[int]()
        run = client.create_run(experiment, record.start, tags, run_name=record.name.partition("/")[2])
    key = str(run.info.run_id)
    metrics = [
        Metric(name, value, record.end, step)
        for name, value, step in record.metrics
        if (step not in logged if name.startswith(CURVES) else name not in run.data.metrics)
    ]
    params = [Param(name, value) for name, value in record.params.items() if name not in run.data.params]
    for start in range(0, len(metrics), METRICS):
        client.log_batch(key, metrics=metrics[start : start + METRICS])
    for start in range(0, len(params), PARAMS):
        client.log_batch(key, params=params[start : start + PARAMS])
    return key


def _epochs_of_beginning(client: MlflowClient, run: Imported, record: Record) -> set[int] | None:
    """The epochs logged of a run that `record` goes on with: one followed live, or an import cut off; else `None`."""
    there, final = run.data.metrics, {n: v for n, v, _ in record.metrics if not n.startswith(CURVES)}
    others = {n: v for n, v in there.items() if not n.startswith((CURVES, "system/"))}
    if HASH in run.data.tags or run.data.params.items() - record.params.items() or others.items() - final.items():
        return None
    losses = {step: value for name, value, step in record.metrics if name == LOSS}
    logged = {m.step: m.value for m in client.get_metric_history(run.info.run_id, LOSS)} if LOSS in there else {}
    return set(logged) if all(losses.get(step, value) == value for step, value in logged.items()) else None


def _complete(client: MlflowClient, key: str, record: Record) -> None:
    """Add what an import has besides params and metrics; the hash comes last."""
    if record.inputs:
        client.log_inputs(key, [_dataset(*given) for given in record.inputs])
    for name, content in record.files.items():
        client.log_dict(key, content, name)
    for path in record.artifacts:
        client.log_artifact(key, str(path))
    if record.epochs:
        label = record.name.split("/")[2]
        for name, (_, figure) in training({label: [record.epochs]}, looks([label])).items():
            client.log_figure(key, figure, f"figures/{name}.html")
    client.set_terminated(key, "FINISHED", record.end)
    client.log_batch(key, tags=[RunTag(name, value) for name, value in record.tags.items()])
    client.log_batch(key, tags=[RunTag(HASH, record.hash)])


def _dataset(name: str, digest: str, purpose: str) -> DatasetInput:
    place = json.dumps({"uri": name})
    return DatasetInput(Dataset(name, digest[:12], "local", place), [InputTag("mlflow.data.context", purpose)])


def _inputs(trained: str, made: Sequence[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Data that results were made of, by the digests in their provenance."""
    digests = {name: digest for result in made for name, digest in (result.get("inputs") or {}).items()}
    read = {name: digest for name, digest in digests.items() if "/" in name}
    own = digests.get("shards")
    found = [(next((n for n in read if read[n] == own), trained), own, "training")] if own else []
    return found + [(name, digest, "evaluation") for name, digest in read.items() if digest != own]


def _finals(records: Sequence[Record]) -> dict[str, list[float]]:
    """Final metric -> its values over seeds."""
    values: dict[str, list[float]] = defaultdict(list)
    for record in records:
        for name, value, _ in record.metrics:
            if not name.startswith(CURVES):
                values[name].append(value)
    return values


def _summary(method: str, records: Sequence[Record], baseline: str, compared: dict[str, list[float]]) -> Record:
    """The parent run of a method: mean and standard deviation of the final metrics of its seeds, also in words.

    Args:
        compared: values of `baseline` over seeds; empty where there is nothing to compare with.
    """
    values = _finals(records)
    metrics = [(name, fmean(found), 0) for name, found in values.items()]
    spread = [(f"{name} sd", stdev(found), 0) for name, found in values.items() if len(found) > 1]
    lines = []
    for name, found in values.items():
        if re.search(r"/(top1|recall-at-10|mean-per-class|f1)(/[^/]*)?$", name):
            sd = f" ± {100 * stdev(found):.1f}" if len(found) > 1 else ""
            less = f"{100 * (fmean(found) - fmean(compared[name])):+.1f}" if name in compared else ""
            lines.append((name, f"{100 * fmean(found):.1f}{sd}", less))
    note = f"{len(records)} seed{'s' * (len(records) > 1)}."
    if lines:
        name, score, less = next((line for line in lines if not line[0].startswith("discovery")), lines[0])
        than = f", {less} points to {baseline}" if less else ""
        note = f"**{name}: {score} %{than}** over {note} Mean ± standard deviation over seeds, in percent:\n\n"
        rows = (f"| {' | '.join(line)} |" for line in lines)
        note += "\n".join([f"| metric | mean | to {baseline} |", "|---|---|---|", *rows])
    shared = set.intersection(*(set(record.params.items()) for record in records))
    tags = dict(set.intersection(*(set(record.tags.items()) for record in records)))
    return Record(
        name=method,
        hash=config_hash([note, *(record.hash for record in records)]),
        start=min(record.start for record in records),
        end=max(record.end for record in records),
        params=dict(sorted(shared)),
        metrics=[*metrics, *spread],
        tags={**tags, "mlflow.note.content": note},
        inputs=records[0].inputs,
    )


def _report(results: Path, name: str) -> Record | None:
    """A run that has the benchmark's report and tables."""
    files = ("report.html", "summary.csv", "summary_mean.csv", "significance.csv")
    there = [path for file in files if (path := results / file).is_file()]
    if not there:
        return None
    end = int(max(path.stat().st_mtime for path in there) * 1000)
    tags = {"mlflow.source.name": "snakemake", "mlflow.source.type": "LOCAL"}
    tags["mlflow.note.content"] = "Report and tables of the whole benchmark, below *Artifacts*."
    digest = config_hash([sha256(path) for path in there])
    return Record(f"{name}/report", end, end, digest, tags=tags, artifacts=there)


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
    epochs = read_epochs(folder / "history.json") if (folder / "history.json").is_file() else []
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
        params=params_of(config),
        metrics=[*epoch_metrics(epochs), *metrics],
        tags=_tags(first, made[0], folder / "checkpoint.pt"),
        files={f"results/{name}.json": result for name, result in results.items()},
        epochs=epochs,
        inputs=_inputs(config["dataset"], made),
    )


def params_of(config: dict[str, Any]) -> dict[str, str]:
    """The params of a run config."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in _flat(config)}


def read_epochs(history: Path) -> list[dict[str, Any]]:
    """The epochs of a history.json."""
    with making_sense(history):
        return [{**entry, "epoch": int(entry["epoch"])} for entry in read_json(history)["epochs"]]


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


def epoch_metrics(epochs: Sequence[dict[str, Any]]) -> Iterator[tuple[str, float, int]]:
    """(name, value, epoch) of all that is recorded of epochs."""
    for entry in epochs:
        rest = {key: item for key, item in entry.items() if key not in ("epoch", "loss")}
        for name, value in _flat({**rest, "loss": entry["loss"]}):
            if _number(value):
                yield f"{CURVES}{_metric_name(name)}", float(value), entry["epoch"]


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
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": made.get("git_commit"),
        "git_dirty": made.get("git_dirty"),
        "config_hash": made.get("config_hash"),
        "device": made.get("device"),
        "container": made.get("container"),
        "data.skipped": (training.get("training") or {}).get("skipped") or None,
        "checkpoint": str(checkpoint.absolute()) if checkpoint.is_file() else None,
    }
    return {name: str(value) for name, value in tags.items() if value is not None}
