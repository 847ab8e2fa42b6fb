"""MLflow as a projection of the results: complete, repeatable, following changes, whole after a kill."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType
from results_tree import write_tree

from tests.faults.kill_at_line import killed_before_line
from workflow import tracking
from workflow.grid import Grid
from workflow.tracking import HASH, NAME, import_runs, read_run

RUN = "exp/sogclr/glofnd/seed1"


def imported(config: dict[str, Any]) -> dict[str, str]:
    """Import; run id -> what was done."""
    done = import_runs(config, Path(config["paths"]["results"]) / "mlflow-import.json")
    return {run: entry["state"] for run, entry in done.items()}


def client_of(config: dict[str, Any]) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{config['paths']['results']}/mlflow.db")


def runs_of(config: dict[str, Any], view: int = ViewType.ACTIVE_ONLY) -> dict[str, Any]:
    """Name -> run, of which there must be one."""
    client = client_of(config)
    experiment = client.get_experiment_by_name("exp")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], run_view_type=view)
    assert len({run.data.tags[NAME] for run in found}) == len(found)
    return {run.data.tags[NAME]: run for run in found}


def change(config: dict[str, Any], value: float) -> None:
    path = Path(config["paths"]["results"]) / f"runs/{RUN}/linear/metrics.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["metrics"][0]["value"] = value
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """An imported benchmark: 4 methods with 3 seeds each."""
    made = write_tree(tmp_path_factory.mktemp("mlflow"))
    states = imported(made)
    assert len(states) == 4 + 10 and set(states.values()) == {"added"}
    return made


def test_a_run_holds_its_training_and_all_its_evaluations(tree: dict[str, Any]) -> None:
    runs = runs_of(tree)
    run = runs[RUN]
    assert run.info.run_name == "sogclr/glofnd/seed1" and run.info.status == "FINISHED"
    assert run.data.params["detector.alpha"] == "0.1" and run.data.params["detector.clip"] == "null"
    assert run.data.metrics["linear/digits/test/top1/0.1"] == pytest.approx(0.651)
    assert "discovery/digits/train/precision" not in run.data.metrics  # undefined
    tags = run.data.tags
    assert tags["mlflow.source.git.commit"] == "0123abc" and tags["checkpoint"].endswith(f"{RUN}/checkpoint.pt")
    assert len([name for name in tags if not name.startswith("mlflow.")]) <= 10
    assert tags["mlflow.parentRunId"] == runs["exp/sogclr/glofnd"].info.run_id
    assert run.info.end_time - run.info.start_time == 7500  # three results of 2.5 s
    history = client_of(tree).get_metric_history(run.info.run_id, "curves/loss")
    assert [(entry.step, entry.value) for entry in history] == [(0, 2.0), (1, 1.0)]
    assert run.data.metrics["curves/detection.image.f1"] == 0.44


def test_the_parent_has_mean_and_spread_over_seeds(tree: dict[str, Any]) -> None:
    runs, name = runs_of(tree), "linear/digits/test/top1/1"
    values = [runs[f"exp/sogclr/glofnd/seed{seed}"].data.metrics[name] for seed in (1, 2, 3)]
    parent = runs["exp/sogclr/glofnd"].data
    assert parent.metrics[name] == pytest.approx(sum(values) / 3) and parent.metrics[f"{name} sd"] > 0
    assert parent.params["detector.alpha"] == "0.1" and "seed" not in parent.params
    difference = 100 * (sum(values) / 3 - runs["exp/sogclr/none"].data.metrics[name])
    assert f"{difference:+.1f} points to none" in parent.tags["mlflow.note.content"]
    assert parent.tags["mlflow.source.git.commit"] == "0123abc" and len(parent.tags) < 16


def test_artifacts_are_the_results_and_the_figures_of_the_report(tree: dict[str, Any]) -> None:
    client, key = client_of(tree), runs_of(tree)[RUN].info.run_id
    figures = {entry.path for entry in client.list_artifacts(key, "figures")}
    assert {"figures/loss.html", "figures/precision.html", "figures/threshold.html"} <= figures
    names = {entry.path for entry in client.list_artifacts(key, "results")}
    assert names == {"results/linear.json", "results/discovery.json", "results/training.json"}
    assert not list((Path(tree["paths"]["results"]) / "mlflow-artifacts").glob("**/*.pt"))


def test_importing_again_adds_nothing_and_a_change_replaces(tree: dict[str, Any]) -> None:
    before = {name: run.info.run_id for name, run in runs_of(tree).items()}
    assert set(imported(tree).values()) == {"unchanged"}
    assert {name: run.info.run_id for name, run in runs_of(tree).items()} == before
    change(tree, 0.99)
    states = imported(tree)
    assert states[RUN] == states["exp/sogclr/glofnd"] == "updated"
    after = runs_of(tree)
    assert after[RUN].data.metrics["linear/digits/test/top1/1"] == 0.99 and len(after) == len(before)
    assert before[RUN] in {run.info.run_id for run in runs_of(tree, ViewType.DELETED_ONLY).values()}
    parents = {after[name].info.run_id for name in after if name.count("/") == 2}
    assert {run.data.tags["mlflow.parentRunId"] for name, run in after.items() if name.count("/") == 3} == parents


def test_an_import_that_was_cut_off_is_completed(tree: dict[str, Any]) -> None:
    name = "exp/sogclr/oracle/seed3"
    cut = runs_of(tree)[name].info.run_id
    client_of(tree).delete_tag(cut, HASH)
    assert imported(tree)[name] == "updated"
    run = runs_of(tree)[name]
    assert run.info.run_id == cut and HASH in run.data.tags
    for metric in run.data.metrics:
        steps = [entry.step for entry in client_of(tree).get_metric_history(cut, metric)]
        assert len(set(steps)) == len(steps), metric


def test_any_prefix_and_an_address_with_options(tmp_path: Path) -> None:
    made = _two_runs(tmp_path)
    prefix = "../100 %/?#ä" + "実" * 130
    made["mlflow"] = {"tracking_uri": f"sqlite:///{tmp_path}/own runs/%20.db?timeout=60", "prefix": prefix}
    imported(made)
    assert sorted(path.name for path in (tmp_path / "own runs").iterdir()) == ["%20.db"]
    client = MlflowClient(tracking_uri=made["mlflow"]["tracking_uri"])
    runs = client.search_runs([client.get_experiment_by_name(f"{prefix}exp").experiment_id])
    assert [bool(client.list_artifacts(run.info.run_id)) for run in runs].count(True) == 2
    assert [path.name for path in (tmp_path / "mlflow-artifacts").iterdir()] == ["exp"]


def test_a_run_that_has_not_finished_is_left_out_and_a_broken_result_is_named(tmp_path: Path) -> None:
    made = write_tree(tmp_path)
    grid = Grid(made)
    folder = Path(grid.run_folder(grid.run(RUN)))
    (folder / "linear/metrics.json").write_text('{"metrics": [{}]}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"linear/metrics\.json"):
        read_run(grid, grid.run(RUN))
    shutil.rmtree(folder)
    assert read_run(grid, grid.run(RUN)) is None


def _done(action: Callable[[], object]) -> None:
    """In a process of its own: this one must not keep a store open that is replaced."""
    assert not killed_before_line(action, 10**9)


def _two_runs(folder: Path) -> dict[str, Any]:
    made = write_tree(folder)
    experiment = made["experiments"]["exp"]
    made["seeds"], experiment["baselines"] = [1], []
    experiment["detectors"] = {name: experiment["detectors"][name] for name in ("none", "glofnd")}
    return made


@pytest.mark.slow
def test_a_first_import_that_was_killed_is_completed(tmp_path: Path) -> None:
    from mlflow.store.db import utils

    made = _two_runs(tmp_path)
    assert killed_before_line(lambda: imported(made), 60, utils), "while MLflow makes its tables"
    assert not (tmp_path / "mlflow.db").exists()
    assert killed_before_line(lambda: imported(made), 150, tracking)
    assert (tmp_path / "mlflow.db").exists()
    _done(lambda: imported(made))
    _done(lambda: _whole(made))


def _whole(config: dict[str, Any], value: float | None = None) -> None:
    found = runs_of(config)
    assert len(found) == 4 and all(HASH in run.data.tags for run in found.values())
    assert value is None or found[RUN].data.metrics["linear/digits/test/top1/1"] == value
