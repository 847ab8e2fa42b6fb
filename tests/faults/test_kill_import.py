"""The MLflow importer, killed anywhere: the next import makes the store what it would have been."""

import json
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kill_at_line import killed_before_line, lines_of

from tests.workflow.results_tree import write_tree
from workflow.scripts import mlflow_claims, mlflow_import
from workflow.scripts.mlflow_import import RUN_ID, import_runs

pytestmark = pytest.mark.slow

MODULES = (mlflow_import, mlflow_claims)
KEPT, VALUE = "exp/sogclr/glofnd/seed1", "linear/digits/test/top1/1"
POINTS = 6


def benchmark(folder: Path) -> dict[str, Any]:
    """Two runs of one experiment."""
    made = write_tree(folder)
    experiment = made["experiments"]["exp"]
    made["seeds"], experiment["baselines"] = [1], []
    experiment["detectors"] = {label: experiment["detectors"][label] for label in ("none", "glofnd")}
    return made


def change(made: dict[str, Any], value: float) -> None:
    path = Path(made["paths"]["results"]) / f"runs/{KEPT}/linear/metrics.json"
    content = json.loads(path.read_text())
    content["metrics"][0]["value"] = value
    path.write_text(json.dumps(content))


def rows(made: dict[str, Any], query: str, *values: str) -> list[Any]:
    """Not through MLflow, which would keep the file open here, where processes are forked and the file is replaced."""
    with closing(sqlite3.connect(Path(made["paths"]["results"]) / "mlflow.db")) as store:
        assert store.execute("pragma integrity_check").fetchall() == [("ok",)]
        return store.execute(query, values).fetchall()


def active(made: dict[str, Any]) -> dict[str, Any]:
    """Status, parameters and metrics of each run, of which there must be one."""
    runs = rows(
        made,
        "select run_uuid, t.value, status from runs join tags t using (run_uuid) "
        "where lifecycle_stage = 'active' and t.key = ?",
        RUN_ID,
    )
    assert len({name for _, name, _ in runs}) == len(runs), "a run stands there twice"
    return {
        name: (
            status,
            sorted(rows(made, "select key, value from params where run_uuid = ?", run)),
            sorted(rows(made, "select key, step, value from metrics where run_uuid = ?", run)),
        )
        for run, name, status in runs
    }


def seen(made: dict[str, Any]) -> set[float]:
    """Values of the changed result that a user finds."""
    query = "select m.value from metrics m join runs r using (run_uuid) join tags t using (run_uuid)"
    query += " where r.lifecycle_stage = 'active' and t.key = ? and t.value = ? and m.key = ?"
    return {value for (value,) in rows(made, query, RUN_ID, KEPT, VALUE)}


@pytest.fixture
def imported(tmp_path: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    """A benchmark with a finished import, and a copy of its results to go back to."""
    made = benchmark(tmp_path / "results")
    change(made, 0.25)
    assert not killed_before_line(lambda: import_runs(made), 10**9)
    yield made, shutil.copytree(tmp_path / "results", tmp_path / "copy")


def points(last: int) -> list[int]:
    """Lines to be killed at, spread over all of them; the last ones are those that replace and remove."""
    draw = random.Random(4)
    spread = [draw.randrange(last * k // POINTS, last * (k + 1) // POINTS) for k in range(POINTS)]
    return sorted({*spread, *range(last - 12, last, 4)})


def go_back(made: dict[str, Any], copy: Path) -> None:
    shutil.rmtree(made["paths"]["results"])
    shutil.copytree(copy, made["paths"]["results"])


def test_a_changed_run_is_never_missing_and_the_next_import_mends_the_store(
    imported: tuple[dict[str, Any], Path],
) -> None:
    made, copy = imported
    change(made, 0.75)

    def action() -> object:
        return import_runs(made)

    last = lines_of(action, *MODULES)
    go_back(made, copy)
    for number in points(last):
        change(made, 0.75)
        assert killed_before_line(action, number, *MODULES), number
        assert seen(made), f"killed at line {number} of {last}: the run is not there"
        assert not killed_before_line(action, 10**9)
        found = active(made)
        assert len(found) == 2 and {status for status, _, _ in found.values()} == {"FINISHED"}
        assert seen(made) == {0.75}
        go_back(made, copy)


def test_a_first_import_that_was_killed_is_done_again(tmp_path: Path) -> None:
    """Also while MLflow makes its tables, of which there are too many for one transaction."""
    made = benchmark(tmp_path / "results")
    store = Path(made["paths"]["results"]) / "mlflow.db"

    def action() -> object:
        return import_runs(made)

    last = lines_of(action, *MODULES)
    expected = active(made)
    assert len(expected) == 2
    for number in [line for line in points(last) if line % 4 == 0]:
        for left in store.parent.glob("*mlflow*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        assert killed_before_line(action, number, *MODULES), number
        assert not killed_before_line(action, 10**9)
        assert active(made) == expected


def test_tables_that_are_half_made_are_made_anew(tmp_path: Path) -> None:
    from mlflow.store.db import utils

    made = benchmark(tmp_path / "results")
    results = Path(made["paths"]["results"])
    assert killed_before_line(lambda: import_runs(made), 60, utils)
    assert not (results / "mlflow.db").exists()
    assert list(results.glob(".mlflow.db.part"))
    assert not killed_before_line(lambda: import_runs(made), 10**9)
    assert len(active(made)) == 2 and not list(results.glob(".mlflow*"))
