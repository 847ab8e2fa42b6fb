"""What can be fetched and sharded: sources and data sets, with their parameters.

Free of torch, so that a config is checked in milliseconds. Each parameter is a JSON-schema fragment with its default,
as in `glofnd.registry`. A new data set is one file and one entry here (docs/add-a-dataset.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

__all__ = ["DATASETS", "SOURCES", "Dataset", "Source", "load", "resolved"]

Schema = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """Something that is fetched once into `{raw}/{source}`.

    `target` names `fetch(out: Path) -> dict[str, Any]`: it leaves verified files in `out` and returns what
    `source.json` states about them besides their checksums.
    """

    target: str
    licence: str
    homepage: str


@dataclass(frozen=True)
class Dataset:
    """A data set made from a source (`None`: the user's own files).

    `target` names `build(raw: Path | None, split: str, parameters: dict[str, Any]) -> glofnd.data.split.Split`.
    `label` is the field that says what a picture shows: the default truth for false negatives and for a linear probe;
    `labels` are all fields; `class_names` is the field whose names make zero-shot prompts.
    `metric` is the usual score: "top1" or "mean-per-class".
    """

    source: str | None
    target: str
    splits: tuple[str, ...]
    labels: tuple[str, ...]
    licence: str
    label: str = "label"
    class_names: str = "label"
    captions: bool = False
    metric: str = "top1"
    parameters: dict[str, Schema] = field(default_factory=dict)


SOURCES: dict[str, Source] = {
    "fashion-mnist": Source(
        "glofnd.data.sources.fashion_mnist:fetch", "MIT", "https://github.com/zalandoresearch/fashion-mnist"
    ),
    "digits": Source(
        "glofnd.data.sources.installed:fetch_digits",
        "CC-BY-4.0",
        "https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
    ),
    "mnist": Source("glofnd.data.sources.installed:fetch_mnist", "CC-BY-SA-3.0", "http://yann.lecun.com/exdb/mnist/"),
    "emoji": Source(
        "glofnd.data.sources.emoji:fetch",
        "Apache-2.0, CC-BY-4.0, CC-BY-SA-4.0, MIT (by vendor, see ATTRIBUTION.md)",
        "https://icon-sets.iconify.design/",
    ),
}

# Parameters that every data set has.
_COMMON: dict[str, Schema] = {
    "image_size": {"type": "integer", "default": 32, "minimum": 8},
    "shards": {"type": "integer", "default": 8, "minimum": 1},
    "split_seed": {"type": "integer", "default": 0, "minimum": 0},
}


def _samples(default: int) -> Schema:
    return {"type": "integer", "default": default, "minimum": 1, "maximum": default}


def _names() -> Schema:
    return {"type": "array", "default": [], "items": {"type": "string"}, "uniqueItems": True}


DATASETS: dict[str, Dataset] = {
    "fashion-mnist": Dataset(
        source="fashion-mnist",
        target="glofnd.data.datasets.grey:fashion_mnist",
        splits=("train", "test"),
        labels=("label",),
        licence="MIT",
        parameters={**_COMMON, "train_samples": _samples(60000), "test_samples": _samples(10000)},
    ),
    "digits": Dataset(
        source="digits",
        target="glofnd.data.datasets.grey:digits",
        splits=("train", "test"),
        labels=("label",),
        licence="CC-BY-4.0",
        parameters={**_COMMON, "train_samples": _samples(1437), "test_samples": _samples(360)},
    ),
    "mnist": Dataset(
        source="mnist",
        target="glofnd.data.datasets.grey:mnist",
        splits=("train", "test"),
        labels=("label",),
        licence="CC-BY-SA-3.0",
        parameters={**_COMMON, "train_samples": _samples(4000), "test_samples": _samples(1000)},
    ),
    "emoji": Dataset(
        source="emoji",
        target="glofnd.data.datasets.emoji:build",
        splits=("train", "test-concepts", "test-vendor"),
        labels=("concept", "subgroup", "group", "vendor"),
        licence="Apache-2.0, CC-BY-4.0, CC-BY-SA-4.0, MIT (by vendor)",
        label="concept",
        class_names="concept",
        captions=True,
        parameters={
            **_COMMON,
            "groups": _names(),
            "subgroups": _names(),
            "min_vendors": {"type": "integer", "default": 6, "minimum": 1, "maximum": 7},
            "max_concepts": {"type": ["integer", "null"], "default": 500, "minimum": 2},
            "skin_tones": {"type": "boolean", "default": True},
            "caption": {"type": "string", "default": "label-tags", "enum": ["label", "label-tags"]},
        },
    ),
    "folder": Dataset(
        source=None,
        target="glofnd.data.datasets.folder:build",
        splits=("train", "test"),
        labels=("label",),
        licence="the user's own",
        parameters={
            **_COMMON,
            "path": {"type": "string", "default": "", "minLength": 1},
            "train": {"type": "string", "default": "train", "minLength": 1},
            "test": {"type": "string", "default": "val", "minLength": 1},
            "class_list": {"type": ["string", "null"], "default": None},
            "encoding": {"type": "string", "default": "png", "enum": ["png", "jpg"]},
        },
    ),
}


def load(target: str) -> Any:
    """Import what a catalogue entry's `target` names."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def resolved(config: dict[str, Any], name: str) -> tuple[Dataset, dict[str, Any]]:
    """The catalogue entry and the full parameters of the block `name` of the config's `datasets:`.

    The entry is the block's `dataset`, else the one of that name. Values are not checked against their schemas here.

    Raises:
        ValueError: for an unknown data set or parameter, naming the valid ones.
    """
    kind = config.get("dataset", name)
    if kind not in DATASETS:
        raise ValueError(f"datasets.{name}: {kind!r} is not in the catalogue; known are {', '.join(DATASETS)}")
    entry = DATASETS[kind]
    unknown = [key for key in config if key != "dataset" and key not in entry.parameters]
    if unknown:
        raise ValueError(f"datasets.{name}: unknown key {unknown[0]!r}; valid are {', '.join(entry.parameters)}")
    return entry, {key: config.get(key, schema["default"]) for key, schema in entry.parameters.items()}
