"""Checks of data sets, and of everything that refers to one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from glofnd.data.catalogue import DATASETS, Dataset, configured, problems
from workflow.grid import Grid
from workflow.plan.jobs import splits_read
from workflow.schema import nearest
from workflow.values import shown

__all__ = ["block", "entry_of", "files", "reference", "samples", "shards", "training_data"]

Config = dict[str, Any]

_CLASSES = ("folder", "imagenet100")
"""Entries of the catalogue that look for a split's files in a folder with one folder per class."""


def entry_of(config: Config, label: str) -> Dataset:
    """The catalogue's entry of a data set of the config."""
    block = config["datasets"][label]
    return configured(DATASETS[block["dataset"]], block)


def samples(config: Config, dataset: str, split: str) -> int | None:
    """Samples of a split, None where that is not known before the data are there."""
    block = config["datasets"].get(dataset, {})
    key = f"{split}_samples"
    if key not in block or "class_list" in block:
        return block.get(key)  # type: ignore[no-any-return]
    return block[key] or DATASETS[block["dataset"]].samples.get(split)


def block(config: Config, label: str) -> Iterator[str]:
    """Parameters of one data set against each other."""
    for problem in problems(config["datasets"][label]):
        yield f"datasets.{label}.{problem}"


def shards(config: Config) -> Iterator[str]:
    """Every shard of a split that is read needs a sample."""
    for dataset, split in splits_read(Grid(config)):
        number, size = config["datasets"].get(dataset, {}).get("shards"), samples(config, dataset, split)
        if number is not None and size is not None and number > size:
            yield f"datasets.{dataset}.shards: {number} is more than the {size} samples of {split}; ask for fewer"


def files(config: Config, label: str) -> Iterator[str]:
    """A user's own files must be there before anything starts."""
    given = config["datasets"][label]
    obtain = entry_of(config, label).obtain
    where = f"datasets.{label}"
    for key, kind, advice in (("path", "folder", obtain and f"; {obtain}"), ("class_list", "file", "")):
        value = given.get(key)
        if not value:
            continue
        try:
            place = Path(value)
            there = place.is_dir() if kind == "folder" else place.is_file()
            if not there:
                other = f"is no {kind}" if place.exists() else f"does not exist{advice}"
                yield f"{where}.{key}: {shown(value)} {other}"
        except (OSError, ValueError) as error:
            yield f"{where}.{key}: {shown(value)}: {getattr(error, 'strerror', None) or error}"
    if given["dataset"] in _CLASSES and Path(given["path"]).is_dir():
        read = {split for dataset, split in splits_read(Grid(config)) if dataset == label}
        for split in sorted(read & {"train", "test"}):
            if not (Path(given["path"]) / given[split]).is_dir():
                yield f"{where}.{split}: there is no folder {shown(given[split])} in {given['path']}"


def reference(
    config: Config, where: str, dataset: str | None, splits: dict[str, str], label: str | None
) -> Iterator[str]:
    """A data set of the config, splits it has and a label field it has; `splits` maps the key to the split."""
    if dataset is None:
        return
    if dataset not in config["datasets"]:
        yield f"{where}.dataset: {shown(dataset)} is not in datasets; {nearest(dataset, list(config['datasets']))}"
        return
    entry = entry_of(config, dataset)
    for key, split in splits.items():
        if split not in entry.splits:
            yield f"{where}.{key}: data set {dataset} has no split {shown(split)}; {nearest(split, entry.splits)}"
    if label is not None and label not in entry.labels:
        yield f"{where}.label: data set {dataset} has no label {shown(label)}; {nearest(label, entry.labels)}"


def training_data(config: Config, name: str) -> Iterator[str]:
    """What an experiment trains on, and whether a batch can be drawn from it."""
    experiment, where = config["experiments"][name], f"experiments.{name}"
    dataset, split = experiment["dataset"], experiment["split"]
    yield from reference(config, where, dataset, {"split": split}, experiment["label"])
    if dataset not in config["datasets"]:
        return
    if experiment["modality"] == "bimodal" and not entry_of(config, dataset).captions:
        captioned = [key for key in config["datasets"] if entry_of(config, key).captions]
        yield f"{where}.dataset: a bimodal experiment needs captions, {dataset} has none; {nearest(dataset, captioned)}"
    size, batch = samples(config, dataset, split), experiment["training"]["batch_size"]
    if size is not None and batch > size:
        yield f"{where}.training.batch_size: {batch} is more than the {size} samples of {dataset}/{split}"
