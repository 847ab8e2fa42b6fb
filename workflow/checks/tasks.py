"""Checks of evaluations: what would otherwise fail only after the training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evaluation.naming import TaskNameError, suffixes
from evaluation.prompts import template_names
from evaluation.registry import PAPER_EPOCHS
from workflow.checks.data import entry_of, reference
from workflow.schema import nearest
from workflow.values import shown

__all__ = ["tasks"]

Config = dict[str, Any]


def _shares(evaluation: str, where: str, task: Config) -> Iterator[str]:
    """Shares of the labels, and what needs one number for each."""
    fractions = task.get("fractions", [])
    for key in ("draws", "epochs"):
        if task.get(key) is not None and len(task[key]) < len(fractions):
            yield f"{where}.{key}: needs one number for each of the {len(fractions)} fractions, has {len(task[key])}"
    if evaluation == "linear-paper" and task["epochs"] is None:
        for fraction in (fraction for fraction in fractions if fraction not in PAPER_EPOCHS):
            yield f"{where}.epochs: the paper has none for a share of {fraction:g}; give one for each fraction"
    # Results are named after the share as it is printed.
    if len({f"{fraction:g}" for fraction in fractions}) < len(fractions):
        yield f"{where}.fractions: the same share stands there twice"


def _together(config: Config, where: str, task: Config) -> Iterator[str]:
    """The field whose equal samples stay on one side of a fold."""
    field = task.get("together")
    if field is None or task["dataset"] not in config["datasets"]:
        return
    labels = entry_of(config, task["dataset"]).labels
    if field not in labels:
        yield f"{where}.together: data set {task['dataset']} has no label {shown(field)}; {nearest(field, labels)}"
    elif field == task["label"]:
        yield f"{where}.together: {field} is what is predicted; a class must stand on both sides of a fold"


def _discovery(config: Config, name: str, where: str, task: Config) -> Iterator[str]:
    trained = {key: config["experiments"][name][key] for key in ("dataset", "split")}
    if {key: task[key] for key in trained} != trained:
        asked = f"{task['dataset']}/{task['split']}"
        yield f"{where}: discovery looks at what was trained on, {trained['dataset']}/{trained['split']}, not {asked}"


def _seen(config: Config, name: str, evaluation: str, where: str, task: Config) -> Iterator[str]:
    """A test on the pictures that the encoder itself was trained on, labels or not, is no test."""
    key = "test" if "test" in task else "split"
    trained, tested = config["experiments"][name], (task["dataset"], task[key])
    seen = tested == (trained["dataset"], trained["split"]) and task.get("train") != task[key]
    if seen and evaluation != "discovery":
        yield (
            f"{where}.{key}: experiment {name} trains its encoders on {'/'.join(tested)}; a test must see new pictures"
        )


def _task(config: Config, name: str, evaluation: str, where: str, task: Config) -> Iterator[str]:
    splits: dict[str, str] = {key: task[key] for key in ("train", "test", "split") if key in task}
    yield from reference(config, where, task["dataset"], splits, task.get("label"))
    yield from _together(config, where, task)
    yield from _shares(evaluation, where, task)
    if "templates" in task and task["templates"] not in template_names():
        templates = template_names()
        yield f"{where}.templates: no file {shown(task['templates'])}; {nearest(task['templates'], templates)}"
    if evaluation == "discovery":
        yield from _discovery(config, name, where, task)
    if "train" in task and task["train"] == task["test"]:
        yield f"{where}.test: {shown(task['test'])} is also the training split; a test must see new pictures"
    yield from _seen(config, name, evaluation, where, task)
    known = task["dataset"] in config["datasets"]
    if evaluation == "retrieval" and known and not entry_of(config, task["dataset"]).captions:
        yield f"{where}.dataset: retrieval needs captions, {task['dataset']} has none"


def tasks(config: Config, name: str, evaluation: str) -> Iterator[str]:
    """Every task of one evaluation of an experiment."""
    given = config["experiments"][name]["evaluations"][evaluation]
    try:
        suffixes(given)
    except TaskNameError as error:
        yield f"experiments.{name}.evaluations.{evaluation}[{error.position}]: {error}"
    for position, task in enumerate(given):
        where = f"experiments.{name}.evaluations.{evaluation}[{position}]"
        yield from _task(config, name, evaluation, where, task)
