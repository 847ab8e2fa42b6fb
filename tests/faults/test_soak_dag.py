"""Five hundred short jobs through the real DAG, eight at once: no file, descriptor, process or memory leaks."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from kill_session import Session, children, marked

from glofnd.files import read_json
from workflow.grid import Grid

pytestmark = pytest.mark.slow

JOBS, SEEDS, AT_ONCE = 500, 25, 8
DETECTORS = {
    "none": {},
    "batch-quantile": {"alpha": 0.1, "start_filter": 9},
    "glofnd": {"alpha": 0.1, "start_update": 9, "start_filter": 9},
    "oracle": {"start_filter": 9},
}
CONFIG = {
    "paths": {"raw": "raw", "shards": "shards", "results": "out"},
    "seeds": list(range(1, SEEDS + 1)),
    "datasets": {"mnist": {"image_size": 16}},
    "experiments": {
        "emoji": False,
        "fashion-mnist": {
            "dataset": "digits",
            "training": {"batch_size": 32, "epochs": 20},
            "detectors": DETECTORS,
            "baselines": [],
            "evaluations": {
                "linear": [{"dataset": "digits", "fractions": [1, 0.1]}],
                "transfer": [{"dataset": "mnist"}, {"dataset": "mnist", "protocol": "paper"}],
                "discovery": False,
            },
        },
    },
    "significance": {"bootstrap": 200},
}


@dataclass(frozen=True)
class Look:
    """Snakemake at one moment: finished jobs, open descriptors, threads, resident memory in MiB, and its children."""

    done: int
    descriptors: int
    threads: int
    memory: float
    children: int
    zombies: int


def state_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"


def look(session: Session) -> Look | None:
    place = Path(f"/proc/{session.process.pid}")
    try:
        descriptors = len(list((place / "fd").iterdir()))
        threads = len(list((place / "task").iterdir()))
        memory = int((place / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return None
    states = [state_of(child) for child in children(session.process.pid)]
    done = session.output.count("\nFinished jobid: ")
    return Look(done, descriptors, threads, memory, len(states), states.count("Z"))


@pytest.fixture(scope="module")
def soaked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Session, list[Look]]:
    """The folder, the call and what was seen of it."""
    folder = tmp_path_factory.mktemp("soak")
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    for name in ("bin", "tmp"):
        (folder / name).mkdir()
    stub = folder / "bin" / "python"
    # Isolated and without site-packages, so that a job is mostly Snakemake's own work.
    stub.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{Path(__file__).with_name("soak_commands.py")}" "$@"\n')
    stub.chmod(0o755)
    changes = {"SOAK_PYTHON": sys.executable, "TMPDIR": str(folder / "tmp")}
    session = Session(folder, "soak", cores=AT_ONCE, first_on_path=folder / "bin", **changes)
    seen = []
    while session.running:
        if found := look(session):
            seen.append(found)
        time.sleep(0.5)
    assert session.process.returncode == 0, session.output[-6000:]
    return folder, session, seen


def of_quarter(seen: list[Look], number: int) -> list[Look]:
    """Looks while the second (1) to last (3) quarter of the jobs were done; the first has the start in it."""
    last = max(found.done for found in seen)
    return [found for found in seen if last * number / 4 <= found.done < last * (number + 1) / 4]


def test_snakemake_holds_no_more_after_five_hundred_jobs(soaked: tuple[Path, Session, list[Look]]) -> None:
    _, _, seen = soaked
    middle, end = of_quarter(seen, 1), of_quarter(seen, 3)
    assert seen[-1].done >= JOBS and middle and end
    for name in ("descriptors", "threads", "memory", "children", "zombies"):
        values = [[getattr(found, name) for found in part] for part in (middle, end)]
        print(
            f"{name}: {min(values[0]):.0f} to {max(values[0]):.0f}, later {min(values[1]):.0f} to {max(values[1]):.0f}"
        )
    # A job has a shell, and descriptors of its own while it is started.
    assert max(found.children for found in seen) >= AT_ONCE // 2
    assert max(found.children for found in seen) <= AT_ONCE
    assert max(found.descriptors for found in end) <= max(found.descriptors for found in middle) + 4
    # Each job that starts has an event loop with helpers, so how many there are varies; a leak would raise the least.
    assert min(found.threads for found in end) <= min(found.threads for found in middle) + 4
    assert max(found.memory for found in end) <= max(found.memory for found in middle) + 16
    assert sum(found.zombies for found in end) <= len(end)


def test_nothing_is_left_running_and_no_temporary_file(soaked: tuple[Path, Session, list[Look]]) -> None:
    folder, session, _ = soaked
    assert marked(session.name) == []
    assert [path for path in (folder / "out").rglob("*") if path.name.endswith((".part", "-journal", "-wal"))] == []
    assert [path.name for path in (folder / "tmp").iterdir()] == []
    assert list((folder / ".snakemake/incomplete").iterdir()) == []


def test_the_store_has_every_run_once_and_whole(soaked: tuple[Path, Session, list[Look]]) -> None:
    folder, _, _ = soaked
    grid = Grid(read_json(folder / "out/benchmark.json"))
    with closing(sqlite3.connect(folder / "out/mlflow.db")) as store:
        assert store.execute("pragma integrity_check").fetchall() == [("ok",)]
        runs = store.execute("select name, status, lifecycle_stage from runs").fetchall()
        (values,) = store.execute("select count(*) from metrics where key like 'linear/%' or key like 'transfer%/%'")
    assert sorted(name for name, _, _ in runs) == sorted(run.id.partition("/")[2] for run in grid.all_runs)
    assert len(runs) >= 100 and {tuple(rest) for _, *rest in runs} == {("FINISHED", "active")}
    assert values == (4 * len(runs),)
