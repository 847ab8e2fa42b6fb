"""What MLflow is told about one run: its parameters, metrics, tags and files, read from the run's folder."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glofnd.files import making_sense, read_json
from glofnd.provenance import config_hash
from workflow.grid import Grid, Run

__all__ = ["Record", "record"]


@dataclass(frozen=True)
class Record:
    """One run as MLflow sees it; times are in milliseconds, `metrics` are (name, value, step)."""

    run_id: str
    name: str
    content_hash: str
    start: int
    end: int
    params: dict[str, str]
    metrics: list[tuple[str, float, int]]
    tags: dict[str, str]
    files: dict[str, Any]
    epochs: list[dict[str, Any]]


def _flat(value: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested mappings as dotted names."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _metric_name(*parts: object) -> str:
    """A name of the characters MLflow takes."""
    return re.sub(r"[^\w\-. /:]", "-", "/".join(str(part) for part in parts if part is not None))


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _epoch_metrics(epochs: list[dict[str, Any]]) -> Iterator[tuple[str, float, int]]:
    for entry in epochs:
        for name, value in _flat({key: item for key, item in entry.items() if key != "epoch"}):
            if _number(value):
                yield f"training/{_metric_name(name)}", float(value), int(entry["epoch"])


def _final_metrics(results: dict[str, Any]) -> Iterator[tuple[str, float, int]]:
    for evaluation, result in results.items():
        for metric in result["metrics"]:
            if _number(metric["value"]):
                fraction = metric.get("fraction")
                share = None if fraction is None else f"{fraction:g}"
                name = _metric_name(evaluation, metric["dataset"], metric["split"], metric["metric"], share)
                yield name, float(metric["value"]), 0


def _tags(training: dict[str, Any] | None, results: dict[str, Any], checkpoint: Path) -> dict[str, str]:
    source = (training or next(iter(results.values()), {})).get("provenance") or {}
    tags: dict[str, Any] = {f"provenance.{name}": value for name, value in _flat(source) if value is not None}
    tags |= {f"protocol.{name}": result["protocol"] for name, result in results.items()}
    if source.get("git_commit"):
        tags["mlflow.source.git.commit"] = source["git_commit"]
    if skipped := (training or {}).get("training", {}).get("skipped"):
        tags["data.skipped"] = skipped
    if checkpoint.is_file():
        tags["checkpoint"] = str(checkpoint)
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in tags.items()}


def _metrics(path: Path) -> dict[str, Any]:
    """One metrics.json, with what is imported of it."""
    found: dict[str, Any] = read_json(path)
    with making_sense(path):
        found["protocol"], (found.get("provenance") or {}).get("wall_seconds", 0)
        for metric in found["metrics"]:
            metric["dataset"], metric["split"], metric["metric"], metric["value"]
    return found


def _epochs(path: Path) -> list[dict[str, Any]]:
    """The epochs of a history.json, none where it is not there."""
    if not path.is_file():
        return []
    found = read_json(path)
    with making_sense(path):
        return [{**epoch, "epoch": int(epoch["epoch"])} for epoch in found["epochs"]]


def record(grid: Grid, run: Run) -> Record | None:
    """What is there of a run; `None` while nothing of it is finished.

    Raises:
        ValueError: a result is there but cannot be read.
    """
    folder = Path(grid.run_folder(run))
    places = {name: folder / name / "metrics.json" for name in grid.evaluations(run)}
    results = {name: _metrics(path) for name, path in places.items() if path.is_file()}
    trained = folder / "metrics.json"
    training = _metrics(trained) if trained.is_file() else None
    epochs = _epochs(folder / "history.json")
    if training is None and not results:
        return None
    config = grid.run_config(run)
    finished = [path for path in (trained, *places.values()) if path.is_file()]
    end = int(max(path.stat().st_mtime for path in finished) * 1000)
    seconds = sum(
        (result.get("provenance") or {}).get("wall_seconds", 0) for result in (training, *results.values()) if result
    )
    files = {f"results/{name}.json": result for name, result in results.items()}
    files |= {"results/training.json": training} if training else {}
    params = {name: json.dumps(value) if not isinstance(value, str) else value for name, value in _flat(config)}
    return Record(
        run_id=run.id,
        name=run.id.partition("/")[2],
        content_hash=config_hash([config, training, results, epochs]),
        start=end - int(seconds * 1000),
        end=end,
        params=params,
        metrics=[*_epoch_metrics(epochs), *_final_metrics(results)],
        tags=_tags(training, results, folder / "checkpoint.pt"),
        files=files,
        epochs=epochs,
    )
