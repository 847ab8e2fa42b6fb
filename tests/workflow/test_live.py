"""Live tracking: epochs while they are trained, in the run that the import completes; nothing twice."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType
from results_tree import metrics, write_tree

from glofnd.files import read_json, write_json
from workflow.grid import Grid
from workflow.live import Follower
from workflow.tracking import HASH, NAME, import_runs, reached

RUN = "exp/sogclr/glofnd/seed1"


def client_of(config: dict[str, Any]) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{config['paths']['results']}/mlflow.db")


def run_of(config: dict[str, Any], name: str = RUN, view: int = ViewType.ACTIVE_ONLY) -> Any:
    """The only run of that name."""
    client = client_of(config)
    experiment = client.get_experiment_by_name("exp")
    found = client.search_runs([experiment.experiment_id], f"tags.`{NAME}` = '{name}'", run_view_type=view)
    assert len(found) == 1
    return found[0]


def logged(config: dict[str, Any], name: str) -> list[tuple[int, float]]:
    key = run_of(config).info.run_id
    return [(entry.step, entry.value) for entry in client_of(config).get_metric_history(key, name)]


class Training:
    """Leaves what a training leaves, epoch by epoch."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.grid = Grid(config)
        self.folder = Path(self.grid.run_folder(self.grid.run(RUN)))
        self.epochs = read_json(self.folder / "history.json")["epochs"]
        shutil.rmtree(self.folder)

    def write(self, epochs: int) -> None:
        write_json(self.folder / "history.json", {"epochs": self.epochs[:epochs]})

    def end(self) -> None:
        write_json(self.folder / "metrics.json", {**metrics(self.grid.run(RUN), "pretraining"), "metrics": []})
        (self.folder / "checkpoint.pt").write_bytes(b"weights")
        for name in self.grid.evaluations(self.grid.run(RUN)):
            write_json(self.folder / name / "metrics.json", metrics(self.grid.run(RUN), name))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store, which takes MLflow seconds to make."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    reached(f"sqlite:///{path}")
    return path


@pytest.fixture
def config(tmp_path: Path, store: Path) -> dict[str, Any]:
    made = write_tree(tmp_path)
    made["seeds"], made["experiments"]["exp"]["baselines"] = [1], []
    shutil.copy(store, tmp_path)
    return made


def imported(config: dict[str, Any]) -> dict[str, Any]:
    return import_runs(config, Path(config["paths"]["results"]) / "mlflow-import.json")


def test_a_training_is_logged_live_goes_on_after_a_restart_and_is_completed(config: dict[str, Any]) -> None:
    training = Training(config)
    follower = Follower(training.grid, system=False)
    training.write(0)
    follower.look()
    key = run_of(config).info.run_id
    training.write(1)
    follower.look()
    run = run_of(config)
    assert run.info.run_id == key and run.info.status == "RUNNING" and run.data.metrics["curves/loss"] == 2
    assert run.data.params["detector.alpha"] == "0.1"
    assert run.data.tags["mlflow.parentRunId"] == run_of(config, RUN.rpartition("/")[0]).info.run_id
    follower.close()
    assert run_of(config).info.status == "KILLED"

    again = Follower(training.grid, system=False)
    training.write(1)
    again.look()
    assert run_of(config).info.status == "RUNNING"
    training.write(2)
    again.look()
    assert logged(config, "curves/detection.image.f1") == [(1, 0.44)]
    training.end()
    again.look()
    assert run_of(config).info.status == "FINISHED"

    assert imported(config)[RUN]["mlflow_run"] == key
    run = run_of(config)
    assert HASH in run.data.tags and run.data.metrics["linear/digits/test/top1/1"] > 0.5
    assert logged(config, "curves/loss") == [(0, 2.0), (1, 1.0)]
    assert {entry["state"] for entry in imported(config).values()} == {"unchanged"}


def test_what_was_logged_of_other_numbers_is_replaced(config: dict[str, Any]) -> None:
    training = Training(config)
    follower = Follower(training.grid, system=False)
    training.write(1)
    follower.look()
    key = run_of(config).info.run_id
    training.epochs[0]["loss"] = 3.0
    training.write(2)
    training.end()
    assert imported(config)[RUN]["mlflow_run"] != key
    assert logged(config, "curves/loss") == [(0, 3.0), (1, 1.0)]
    assert run_of(config, view=ViewType.DELETED_ONLY).info.run_id == key


def test_a_look_that_comes_after_the_import_adds_nothing(config: dict[str, Any]) -> None:
    training = Training(config)
    follower = Follower(training.grid, system=False)
    training.write(len(training.epochs))
    training.end()
    imported(config)
    before = run_of(config)
    follower.look()
    follower.close()
    after = run_of(config, view=ViewType.ALL)
    assert (after.info.run_id, after.info.status) == (before.info.run_id, "FINISHED")
    assert {run["state"] for run in imported(config).values()} == {"unchanged"}


def test_a_failed_job_shows_and_a_trunk_is_the_beginning_of_a_run(config: dict[str, Any]) -> None:
    training = Training(config)
    follower = Follower(training.grid, system=False)
    (trunk,) = training.grid.trunks
    write_json(Path(training.grid.trunk_folder(trunk)) / "history.json", {"epochs": training.epochs[:1]})
    training.write(1)
    follower.look()
    assert run_of(config, "exp/sogclr/none/seed1").data.metrics["curves/loss"] == 2
    (training.folder / "history.json").unlink()
    follower.look()
    assert run_of(config).info.status == "FAILED"


def test_what_a_lost_store_has_missed_is_logged_later(config: dict[str, Any]) -> None:
    training = Training(config)
    follower = Follower(training.grid, system=False)
    training.write(2)
    config["mlflow"]["tracking_uri"] = "http://127.0.0.1:9"
    with pytest.raises(OSError, match="MLflow store http"):
        follower.look()
    config["mlflow"]["tracking_uri"] = None
    follower.look()
    assert logged(config, "curves/loss") == [(0, 2.0), (1, 1.0)]
