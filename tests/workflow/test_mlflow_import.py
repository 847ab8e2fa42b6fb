"""MLflow as a projection of the results: complete, repeatable, and following changes."""

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType
from results_tree import write_tree

from workflow.grid import Grid
from workflow.scripts.mlflow_import import HASH, RUN_ID, import_runs
from workflow.scripts.mlflow_records import record


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """An imported benchmark; making the store takes seconds, so tests share it."""
    made = write_tree(tmp_path_factory.mktemp("mlflow"))
    states = _states(made)
    assert len(states) == 12 and set(states.values()) == {"added"}
    return made


def _states(config: dict[str, Any]) -> dict[str, str]:
    return {run: entry["state"] for run, entry in import_runs(config)["runs"].items()}


def _client(config: dict[str, Any]) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{config['paths']['results']}/mlflow.db")


def _runs(config: dict[str, Any], deleted: bool = False) -> dict[str, Any]:
    client = _client(config)
    experiment = client.get_experiment_by_name("exp")
    assert experiment is not None
    view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
    found = client.search_runs([experiment.experiment_id], run_view_type=view)
    return {run.data.tags[RUN_ID]: run for run in found}


RUN = "exp/sogclr/glofnd/seed1"


def test_a_run_holds_its_training_and_all_its_evaluations(tree: dict[str, Any]) -> None:
    run = _runs(tree)[RUN]
    assert run.info.run_name == "sogclr/glofnd/seed1" and run.info.status == "FINISHED"
    assert run.data.params["detector.alpha"] == "0.1" and run.data.params["training.lr"] == "0.001"
    assert run.data.params["detector.clip"] == "null"
    assert run.data.metrics["linear/digits/test/top1/0.1"] == pytest.approx(0.651)
    assert run.data.metrics["discovery/digits/train/f1"] == pytest.approx(0.631)
    assert "discovery/digits/train/precision" not in run.data.metrics  # undefined
    tags = run.data.tags
    assert tags["mlflow.source.git.commit"] == "0123abc" and tags["provenance.packages.torch"] == "2"
    assert tags["checkpoint"].endswith("runs/exp/sogclr/glofnd/seed1/checkpoint.pt")
    assert tags["protocol.linear"] == "linear-protocol"
    assert run.info.end_time - run.info.start_time == 7500  # three results of 2.5 s


def test_epochs_become_steps(tree: dict[str, Any]) -> None:
    history = _client(tree).get_metric_history(_runs(tree)[RUN].info.run_id, "training/loss")
    assert [(entry.step, entry.value) for entry in history] == [(0, 2.0), (1, 1.0)]
    assert _runs(tree)[RUN].data.metrics["training/detection.image.f1"] == 0.44


def test_files_stand_below_the_results(tree: dict[str, Any]) -> None:
    client, key = _client(tree), _runs(tree)[RUN].info.run_id
    assert {entry.path for entry in client.list_artifacts(key, "figures")} == {"figures/training.png"}
    names = {entry.path for entry in client.list_artifacts(key, "results")}
    assert names == {"results/linear.json", "results/discovery.json", "results/training.json"}
    store = Path(tree["paths"]["results"]) / "mlflow-artifacts/exp"
    assert len(list(store.glob("*/artifacts/figures/training.png"))) >= 9
    assert not list(store.glob("**/*.pt"))


def test_a_baseline_is_a_run_without_training(tree: dict[str, Any]) -> None:
    run = _runs(tree)["exp/baseline/raw-pixels/seed2"]
    assert run.data.metrics["linear/digits/test/top1/1"] == pytest.approx(0.482)
    assert not [name for name in run.data.metrics if name.startswith("training/")]


def test_importing_again_adds_nothing_and_a_change_replaces(tree: dict[str, Any]) -> None:
    before = {name: run.info.run_id for name, run in _runs(tree).items()}
    assert set(_states(tree).values()) == {"unchanged"}
    assert {name: run.info.run_id for name, run in _runs(tree).items()} == before

    path = Path(tree["paths"]["results"]) / f"runs/{RUN}/linear/metrics.json"
    content = path.read_text(encoding="utf-8")
    changed = json.loads(content)
    changed["metrics"][0]["value"] = 0.99
    path.write_text(json.dumps(changed), encoding="utf-8")
    states = _states(tree)
    assert [name for name, state in states.items() if state != "unchanged"] == [RUN] and states[RUN] == "updated"
    after = _runs(tree)
    assert after[RUN].data.metrics["linear/digits/test/top1/1"] == 0.99
    assert len(after) == len(before) and after[RUN].info.run_id != before[RUN]
    assert _runs(tree, deleted=True)[RUN].info.run_id == before[RUN]
    path.write_text(content, encoding="utf-8")


def test_an_import_that_was_cut_off_is_done_again(tree: dict[str, Any]) -> None:
    name = "exp/sogclr/oracle/seed3"
    cut = _runs(tree)[name].info.run_id
    _client(tree).delete_tag(cut, HASH)
    assert _states(tree)[name] == "updated"
    assert _runs(tree)[name].info.run_id != cut


def test_two_importers_take_an_experiment_out_of_the_trash(
    tree: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the second one knew of the experiment, that it lies in the trash, is no longer true when it acts."""
    client = _client(tree)
    experiment = client.get_experiment_by_name("exp")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    trashed = client.get_experiment(experiment.experiment_id)
    before = set(_states(tree))
    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", lambda self, name: trashed)
    assert set(_states(tree)) == before
    monkeypatch.undo()
    assert set(_runs(tree)) == before


def test_a_run_that_has_not_finished_is_left_out(tmp_path: Path) -> None:
    made = write_tree(tmp_path)
    grid = Grid(made)
    run = grid.run(RUN)
    assert record(grid, run) is not None
    for path in Path(grid.run_folder(run)).rglob("*.json"):
        path.unlink()
    assert record(grid, run) is None
