"""Whatever a config holds: it resolves, and then every job of it can be built, or it says why in lines for people."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import torch
from config_strategies import configs
from hypothesis import HealthCheck, given, settings

from evaluation.old_tasks import parse_task
from glofnd.encoders import build_model
from glofnd.pretraining.optimiser import build_optimiser
from glofnd.pretraining.options import TrainingOptions
from glofnd.pretraining.trainer import objective_of
from glofnd.views import TwoViews
from workflow.configuration import ConfigError, resolve
from workflow.grid import Grid
from workflow.jobs import Jobs
from workflow.resources import resources_of

KEY = re.compile(r"[^ :].*?: .")
INTERNALS = ("Traceback", "<class", "object at 0x", "jsonschema", "datetime.", "validator")


@cache
def _encoder(block: str) -> None:
    encoder = json.loads(block)
    # Nothing is computed on the device `meta`, so width costs nothing; open_clip's models cannot be made on it.
    if encoder["name"] != "open-clip":
        with torch.device("meta"):
            build_model({"encoder": encoder, "seed": 1})
    elif encoder["model"].startswith("glofnd-"):
        build_model({"encoder": encoder, "seed": 1})


@cache
def _trained(run: str) -> None:
    config = json.loads(run)
    objective = objective_of(config, 64)
    build_optimiser(torch.nn.Linear(2, 2), objective, TrainingOptions(**config["training"]))
    TwoViews(**config["views"], seed=config["seed"])


def _build_everything(config: dict[str, Any]) -> None:
    """Every job as the rules make it, and everything that its command makes of its parameters."""
    grid, jobs = Grid(config), Jobs(config)
    first = [run for run in grid.all_runs if run.seed == config["seeds"][0]]
    for dataset in config["datasets"]:
        jobs.source(dataset), jobs.dataset_config(dataset)
    for run in first:
        jobs.feature_source(run.id), jobs.feature_splits(run.id), jobs.prompts(run.id), jobs.feature_manifests(run.id)
        jobs.training_manifest(run.id), jobs.trainer(run.id), jobs.execution(run.id)
        _encoder(json.dumps(grid.run_config(run)["encoder"], sort_keys=True))
        if run.kind == "method":
            jobs.start_of_run(run.id)
            same = {"run": "", "seed": 1, "experiment": "", "dataset": "", "label": ""}
            _trained(json.dumps(grid.run_config(run) | same, sort_keys=True))
        for evaluation in grid.evaluations(run):
            jobs.task_manifests(run.id, evaluation), jobs.task_options(run.id, evaluation)
            for task in grid.tasks(run, evaluation):
                parse_task(evaluation, task)
    for asked in config["resources"].values():
        resources_of(asked)
    assert len(set(jobs.all_metrics())) == len(jobs.all_metrics())


@settings(max_examples=200, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(configs())
def test_a_config_resolves_or_says_why(config: dict[str, Any]) -> None:
    try:
        resolved = resolve(config)
    except ConfigError as error:
        assert error.problems
        for line in error.problems:
            assert line.isprintable() and len(line) < 1100 and KEY.match(line), line
            assert not any(word in line for word in INTERNALS), line
        return
    text = json.dumps(resolved, allow_nan=False, ensure_ascii=False)
    assert resolve(json.loads(text)) == resolved
    text.encode("utf-8")
    _build_everything(resolved)
