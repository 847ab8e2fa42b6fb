"""Two results folders, compared bit for bit but for what differs between any two runs.

That is: times, memory, checksums of files that hold these, and MLflow's own names of runs.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mlflow import MlflowClient

from glofnd.files import read_json

TIMES = {"provenance", "seconds", "images_per_second", "source"}
LEFT_OUT = re.compile(
    r"(out/(logs|benchmarks|mlflow-artifacts)/|out/mlflow|.*/\.snakemake\.lock|captioned/|cache/|\.snakemake/|session-)"
)
# Lines of the report, and names of metrics, that tell times.
REPORT_TIMES = re.compile(r"<dt>(code \(git commit\)|training time[^<]*|.*memory.*)</dt>")


def timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in TIMES}
    return [timeless(item) for item in value] if isinstance(value, list | tuple) else value


def plain(value: Any) -> Any:
    """Tensors and arrays as type, shape and bytes, so that NaN equals NaN and -0 differs from 0."""
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def content(path: Path) -> Any:
    """What must be equal of a file."""
    match path.suffix:
        case ".pt":
            return plain(timeless(torch.load(path, weights_only=True)))
        case ".npz":
            with np.load(path, allow_pickle=False) as file:
                return plain({name: file[name] for name in file.files})
        case ".json" if "shards" not in path.parts and "raw" not in path.parts:
            return timeless(read_json(path))
        case ".html":
            return [line for line in path.read_text("utf-8").splitlines() if not REPORT_TIMES.search(line)]
        case _:
            return path.read_bytes()


def files(folder: Path) -> set[str]:
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name for name in names if not LEFT_OUT.match(name)}


def store(folder: Path) -> dict[str, Any]:
    """Every active run of the MLflow store by name: status, parameters, metrics with all steps, tags."""
    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'out/mlflow.db'}")
    found: dict[str, Any] = {}
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            name = f"{experiment.name}/{run.info.run_name}"
            assert name not in found, f"{name} twice"
            metrics = {
                key: sorted((point.step, point.value) for point in client.get_metric_history(run.info.run_id, key))
                for key in run.data.metrics
                if not key.endswith(("/seconds", "/images_per_second"))
            }
            tags = {k: v for k, v in run.data.tags.items() if not k.startswith(("provenance.", "glofnd.", "mlflow."))}
            artifacts = [file.path for file in client.list_artifacts(run.info.run_id, "results")]
            found[name] = [run.info.status, run.data.params, metrics, tags, artifacts]
    return found


def differences(left: Path, right: Path) -> Iterator[str]:
    """One line for everything in which the results of two trees differ."""
    mine, others = files(left), files(right)
    yield from (f"only in {left.name}: {name}" for name in sorted(mine - others))
    yield from (f"only in {right.name}: {name}" for name in sorted(others - mine))
    yield from (name for name in sorted(mine & others) if content(left / name) != content(right / name))
    first, second = store(left), store(right)
    yield from (
        f"MLflow: {name}" for name in sorted(first.keys() | second.keys()) if first.get(name) != second.get(name)
    )
    for folder in (left, right):
        with sqlite3.connect(folder / "out/mlflow.db") as database:
            if database.execute("pragma integrity_check").fetchall() != [("ok",)]:
                yield f"MLflow: {folder.name}/out/mlflow.db is damaged"
            query = "select count(*) from runs where status = 'RUNNING' and lifecycle_stage = 'active'"
            if database.execute(query).fetchone() != (0,):
                yield f"MLflow: a run of {folder.name} is left RUNNING"
