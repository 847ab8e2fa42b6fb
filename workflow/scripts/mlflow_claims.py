"""Several importers at one MLflow store: who is writing what, and which import stays where two made the same.

A tracking server offers no lock, so nobody waits for anybody: an importer leaves alone what another one is writing,
and after its own work looks for finished doubles. All importers keep the same one of them (the smallest MLflow run id),
so whoever finishes last leaves exactly one.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

__all__ = ["OWNER", "abandoned", "alone", "keep_one", "owner", "trash"]

OWNER = "glofnd.importer"
"""Tag of a run while and after it is written: host, process and time of its importer."""

# Writing one run takes seconds; an importer of another host that has been silent for so long is dead.
_PATIENCE_SECONDS = 600


def owner() -> str:
    """What this process signs its imports with."""
    return f"{socket.gethostname()}:{os.getpid()}:{time.time():.0f}"


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def abandoned(run: Run) -> bool:
    """Whether the importer of an unfinished run is gone. A process never runs two imports at once."""
    host, process, started = run.data.tags.get(OWNER, "::0").rsplit(":", 2)
    # Started in the future: by a clock that was set back since.
    if abs(time.time() - float(started)) > _PATIENCE_SECONDS:
        return True
    return host == socket.gethostname() and (int(process) == os.getpid() or not _alive(int(process)))


def trash(client: MlflowClient, run_id: str) -> None:
    """Delete a run (MLflow's trash keeps it); that another importer was faster is fine."""
    try:
        client.delete_run(run_id)
    except MlflowException:
        if client.get_run(run_id).info.lifecycle_stage != "deleted":
            raise


def keep_one(client: MlflowClient, same: Iterable[Run]) -> str:
    """Of several finished imports of the same results keep the one that all importers keep; its MLflow run id."""
    kept, *doubles = sorted(str(run.info.run_id) for run in same)
    for run_id in doubles:
        trash(client, run_id)
    return kept


@contextmanager
def alone(uri: str) -> Iterator[None]:
    """Hold a local SQLite store for oneself: it takes one writer at a time. Servers and PostgreSQL take many."""
    if not uri.startswith("sqlite:///"):
        yield
        return
    path = Path(uri.removeprefix("sqlite:///"))
    with FileLock(f"{path}.lock"):
        if not path.exists():
            _create(path)
        yield


def _create(path: Path) -> None:
    """Make an empty store beside its place and put it there whole: one whose tables are half made cannot be opened."""
    part = path.with_name(f".{path.name}.part")
    for left in (part, path.with_name(f"{part.name}-journal")):  # by an importer that was killed
        left.unlink(missing_ok=True)
    make: Any = SqlAlchemyStore  # MLflow gives it no types
    make(f"sqlite:///{part}", DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH).engine.dispose()
    part.replace(path)
