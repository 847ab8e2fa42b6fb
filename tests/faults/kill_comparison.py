"""Results of two runs, to be compared bit for bit but for what differs between any two: times, memory, names."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch

from glofnd.files import read_json


def timeless(value: Any) -> Any:
    """Without what differs between any two runs; tensors and arrays as bytes, so that NaN equals NaN."""
    if isinstance(value, dict):
        times = {"provenance", "seconds", "images_per_second", "source", "origin"}
        return {key: timeless(item) for key, item in value.items() if key not in times}
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    return [timeless(item) for item in value] if isinstance(value, list | tuple) else value


def content(path: Path) -> Any:
    if path.suffix == ".pt":
        return timeless(torch.load(path, weights_only=True))
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return timeless({name: file[name] for name in file.files})
    return timeless(read_json(path)) if path.suffix == ".json" else path.read_bytes()


def results(folder: Path) -> dict[str, Any]:
    """Everything that must be equal, by name: checkpoints, features, predictions, metrics, tables, MLflow's runs."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        other = r"out/(logs|benchmarks|mlflow|report)|\.snakemake|session|raw|shards.*json|.*(lock|verified)$"
        if path.is_file() and not re.match(other, name):
            found[name] = content(path)
    with closing(sqlite3.connect(folder / "out/mlflow.db")) as store:
        found["MLflow"] = sorted(store.execute("select name, status, lifecycle_stage from runs").fetchall())
    return found
