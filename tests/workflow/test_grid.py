"""From a resolved config to runs, trunks and their configs."""

from pathlib import Path
from typing import Any

import pytest
from results_tree import config

from workflow.grid import BASELINE, Grid, Run, Trunk, digest


def _config(detectors: dict[str, Any], seeds: list[int] | None = None, **experiment: Any) -> dict[str, Any]:
    task = {"dataset": "digits", "train": "train", "test": "test", "label": "label"}
    evaluations = {"linear": [task], "discovery": [{"dataset": "digits", "split": "train"}]}
    made = config(Path("results"), **{"detectors": detectors, "evaluations": evaluations, **experiment})
    return made | {"seeds": seeds or [1, 2]}


DETECTORS = {
    "none": {"method": "none"},
    "early": {"method": "glofnd", "start_update": 0, "start_filter": 4},
    "glofnd": {"method": "glofnd", "start_update": 2, "start_filter": 5},
    "oracle": {"method": "oracle", "start_filter": 5},
}


def test_runs_are_the_product_and_baselines_stand_beside_them() -> None:
    grid = Grid(_config(DETECTORS))
    assert len(grid.runs) == 8 and len(grid.baselines) == 1
    assert grid.run("exp/sogclr/glofnd/seed2") == Run("exp", "sogclr", "glofnd", 2)
    assert grid.run("exp/baseline/raw-pixels/seed1").kind == "baseline"
    with pytest.raises(KeyError):
        grid.run("exp/sogclr/glofnd/seed9")


def test_the_first_look_needs_two_runs_and_their_trunk() -> None:
    grid = Grid(_config(DETECTORS) | {"significance": None})
    assert [run.id for run in grid.first_look] == ["exp/sogclr/none/seed1", "exp/sogclr/early/seed1"]
    assert all(grid.urgency(name) > 0 for name in ("exp/sogclr/seed1", "exp/sogclr/none/seed1"))
    assert not grid.urgency("exp/sogclr/seed2") and not grid.urgency("exp/sogclr/glofnd/seed1")
    assert not Grid(_config({"none": DETECTORS["none"]}) | {"significance": None}).first_look


def test_runs_branch_where_their_detector_first_touches_anything() -> None:
    grid = Grid(_config(DETECTORS))
    assert grid.trunk_epochs == {"exp": [2, 5]}
    starts = {run.detector: grid.start_of_run(run) for run in grid.runs.values() if run.seed == 1}
    assert starts == {
        "none": Trunk("exp", "sogclr", 1, 5),  # nothing ever differs from the trunk, so it leaves from the last one
        "early": None,  # learns from epoch 0: no trunk
        "glofnd": Trunk("exp", "sogclr", 1, 2),
        "oracle": Trunk("exp", "sogclr", 1, 5),
    }
    assert grid.start_of_trunk(Trunk("exp", "sogclr", 1, 5)) == Trunk("exp", "sogclr", 1, 2)
    assert grid.start_of_trunk(Trunk("exp", "sogclr", 1, 2)) is None
    assert Grid(_config({"none": {"method": "none"}, "oracle": {"method": "oracle"}})).trunk_epochs == {"exp": []}


def test_rivals_run_without_a_detector_or_a_trunk() -> None:
    grid = Grid(_config(DETECTORS, rivals={"dcl": {"method": "dcl", "prior": 0.01}}))
    assert len(grid.runs) == 8 + 2
    run = grid.run("exp/dcl/none/seed1")
    assert grid.start_of_run(run) is None and all(trunk.objective == "sogclr" for trunk in grid.trunks)
    config = grid.run_config(run)
    assert config["objective"] == {"label": "dcl", "method": "dcl", "prior": 0.01}
    assert config["detector"] == {"label": "none", "method": "none"}


def test_what_decides_a_run_depends_on_no_other_run_and_not_on_how_it_is_executed() -> None:
    """Snakemake reruns what has another digest, so another detector, seed or number of threads must not show in it."""
    whole = _config(DETECTORS)
    few, many = Grid(_config({"none": DETECTORS["none"]}, [1])), Grid(whole)
    run = Run("exp", "sogclr", "none", 1)
    assert few.run_config(run) == many.run_config(run)
    assert few.run_config(run)["detector"] == {"label": "none", "method": "none"}
    whole["experiments"]["exp"]["training"]["threads"] = 7
    assert Grid(whole).deciding(Grid(whole).run_config(run)) == few.deciding(few.run_config(run))
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})


def test_a_trunk_config_does_not_depend_on_its_epoch_or_the_detectors() -> None:
    grid = Grid(_config(DETECTORS))
    config = grid.trunk_config(Trunk("exp", "sogclr", 1, 2))
    assert config == grid.trunk_config(Trunk("exp", "sogclr", 1, 5))
    assert config["detector"] == {"label": "none", "method": "none"}
    assert config["run"] == "exp/sogclr/trunk/seed1"


def test_baselines_are_evaluated_as_far_as_they_can_be() -> None:
    task = {"dataset": "digits", "train": "train", "test": "test"}
    tower = {"dataset": "digits", "split": "test"}
    evaluations = {
        "zero-shot": [tower],
        "retrieval": [tower],
        "discovery": [{}],
        "fine-tuning": [task],
        "linear": [task],
    }
    grid = Grid(_config(DETECTORS, modality="bimodal", evaluations=evaluations))
    assert grid.evaluations(Run("exp", BASELINE, "random-init", 1)) == list(evaluations)
    assert grid.evaluations(Run("exp", BASELINE, "raw-pixels", 1)) == ["linear"]
    models = {"resnet": _model(model="timm/resnet18"), "clip": _model(model="open_clip/ViT-B-32@openai")}
    grid = Grid(_config(DETECTORS, modality="bimodal", evaluations=evaluations, models=models))
    assert grid.evaluations(Run("exp", BASELINE, "clip", 1)) == list(evaluations)
    assert grid.evaluations(Run("exp", BASELINE, "resnet", 1)) == ["linear"]


def _model(**given: str) -> dict[str, Any]:
    return {"model": None, "weights": None, **given}


def test_models_stand_beside_baselines_with_a_file_or_one_for_each_seed() -> None:
    models = {"one": _model(weights="one.pt"), "each": _model(weights="of-{seed}.pt")}
    grid = Grid(_config(DETECTORS, models=models, init_from=_model(weights="first.pt")))
    names = ["baseline/raw-pixels/seed1", "baseline/one/seed1", "baseline/each/seed1", "baseline/each/seed2"]
    assert list(grid.baselines) == [f"exp/{name}" for name in names]
    run = grid.run("exp/baseline/each/seed2")
    assert grid.own_weights(run) == ["of-2.pt"] == [grid.run_config(run)["model"]["weights"]]
    assert not grid.own_weights(grid.run("exp/sogclr/none/seed1")) and not grid.checkpoint(run)
    assert grid.first_weights("exp/sogclr/seed1") == ["first.pt"]
    assert grid.run_config(grid.run("exp/sogclr/none/seed1"))["init_from"]["weights"] == "first.pt"


def test_rules_get_their_inputs() -> None:
    grid = Grid(_config(DETECTORS))
    start = grid.start_of_run(grid.run("exp/sogclr/oracle/seed1"))
    assert grid.trunk_checkpoint(start) == ["results/trunks/exp/sogclr/seed1/epoch5/checkpoint.pt"]
    assert grid.trunk_checkpoint(grid.start_of_trunk(grid.trunk("exp/sogclr/seed1", 2))) == []
    assert grid.training_shards("exp/sogclr/seed1") == "shards/digits/train"
    run = grid.run("exp/sogclr/none/seed1")
    assert grid.evaluation_manifests(run) == [f"shards/digits/{split}/manifest.json" for split in ("train", "test")]
    assert grid.checkpoint(run) == ["results/runs/exp/sogclr/none/seed1/checkpoint.pt"]
    assert grid.checkpoint(grid.run("exp/baseline/raw-pixels/seed1")) == []
    assert grid.source("digits") == ["raw/digits/source.json"]
