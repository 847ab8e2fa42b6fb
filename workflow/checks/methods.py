"""Checks of what an experiment trains: encoder, views, schedule, objectives and detectors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from glofnd.clip_models import model_config, model_names, own_tokens, takes_size
from workflow.checks.data import samples
from workflow.schema import nearest
from workflow.values import shown

__all__ = ["detector", "encoder", "labels", "objective", "ranks", "schedule", "views"]

Config = dict[str, Any]

RESERVED = {"baseline": "objectives", "trunk": "detectors"}
"""Labels that would collide with a folder of ours."""


def schedule(config: Config, name: str) -> Iterator[str]:
    """A warm-up ends before the training does."""
    training = config["experiments"][name]["training"]
    if training["warmup_epochs"] > training["epochs"]:
        yield (
            f"experiments.{name}.training.warmup_epochs: {training['warmup_epochs']} is more than "
            f"training.epochs {training['epochs']}"
        )


def ranks(config: Config, name: str) -> Iterator[str]:
    """The processes of one training share its batch, and each needs a GPU where they train on GPUs."""
    asked, training = config["resources"]["pretrain"], config["experiments"][name]["training"]
    each, batch = asked["processes"] or max(asked["gpu"], 1), training["batch_size"]
    processes = asked["nodes"] * each
    if 0 < asked["gpu"] < each and training["device"] != "cpu":
        yield (
            f"resources.pretrain.processes: {each} on each node need as many GPUs, gpu is {asked['gpu']}; raise gpu, "
            f"take fewer processes, or set experiments.{name}.training.device: cpu"
        )
    if batch % processes:
        yield (
            f"experiments.{name}.training.batch_size: {batch} cannot be split evenly among the {processes} processes "
            "of a training; take a multiple, or change nodes, processes or gpu of resources.pretrain"
        )


def views(config: Config, name: str) -> Iterator[str]:
    """Ranges run upwards."""
    for key, value in config["experiments"][name]["views"].items():
        match value:
            case [int() | float() as low, int() | float() as high] if low > high:
                yield f"experiments.{name}.views.{key}: {value} runs from the larger to the smaller number; swap them"


def _sizes(config: Config, name: str) -> Iterator[tuple[str, int]]:
    """Where the size of the pictures that an experiment's encoder sees is stated, and the size."""
    experiment = config["experiments"][name]
    size = experiment["views"]["size"]
    if size is not None:
        yield f"experiments.{name}.views.size", size
    seen = [] if size is not None else [experiment["dataset"]]
    for evaluation, tasks in experiment["evaluations"].items():
        seen += [task["dataset"] for task in tasks if evaluation != "discovery"]
    for dataset in dict.fromkeys(seen):
        if dataset in config["datasets"]:
            yield f"datasets.{dataset}.image_size", config["datasets"][dataset]["image_size"]


def encoder(config: Config, name: str) -> Iterator[str]:
    """A model of open_clip that there is, that reads our texts, and pictures of the size it is made for."""
    block, where = config["experiments"][name]["encoder"], f"experiments.{name}.encoder.model"
    if block["name"] != "open-clip":
        return
    found = model_config(block["model"])
    if found is None:
        yield f"{where}: open_clip has no model {shown(block['model'])}; {nearest(block['model'], model_names())}"
        return
    if not own_tokens(found):
        yield (
            f"{where}: {block['model']} reads texts by a tokenizer from the Hugging Face hub, which is not supported; "
            f"{nearest(block['model'], model_names())}"
        )
    for key, size in _sizes(config, name):
        if not takes_size(found, size):
            wanted = found["vision_cfg"].get("image_size", 224)
            yield f"{key}: {block['model']} of experiment {name} takes pictures of {wanted} pixels a side, not {size}"


def objective(config: Config, name: str, label: str) -> Iterator[str]:
    """A temperature that is learned within bounds starts within them."""
    given, where = config["experiments"][name]["objectives"][label], f"experiments.{name}.objectives.{label}"
    if "temperature_min" not in given:
        return
    low, high, start = given["temperature_min"], given["temperature_max"], given["temperature"]
    if low >= high:
        yield f"{where}.temperature_min: {low:g} is not below temperature_max {high:g}"
    elif not low <= start <= high:
        yield f"{where}.temperature: {start:g} lies outside temperature_min {low:g} and temperature_max {high:g}"


def detector(config: Config, name: str, label: str) -> Iterator[str]:
    """A detector's epochs come, in their order, and its share is at least one sample."""
    experiment, where = config["experiments"][name], f"experiments.{name}.detectors.{label}"
    given, epochs = experiment["detectors"][label], experiment["training"]["epochs"]
    for key in ("start_update", "start_filter"):
        if key in given and given[key] >= epochs:
            yield (
                f"{where}.{key}: epoch {given[key]} never comes; training has {epochs} epochs, "
                f"so it must be below {epochs}"
            )
    update, filtering = given.get("start_update"), given.get("start_filter")
    if update is not None and filtering is not None and filtering < update:
        yield (
            f"{where}.start_filter: {filtering} is before start_update {update}; "
            "thresholds must learn before they filter, so raise start_filter or lower start_update"
        )
    dataset, split = experiment["dataset"], experiment["split"]
    size, alpha = samples(config, dataset, split), given.get("alpha")
    if size is not None and alpha is not None and alpha * (size - 1) < 1:
        yield (
            f"{where}.alpha: a share of {alpha:g} is less than one of the {size} samples of {dataset}/{split}; "
            "raise alpha or take more samples"
        )


def labels(config: Config, name: str) -> Iterator[str]:
    """Labels that would collide with a folder of ours."""
    for label, group in RESERVED.items():
        if label in config["experiments"][name][group]:
            yield f"experiments.{name}.{group}.{label}: {label!r} names a folder of results; choose another label"
