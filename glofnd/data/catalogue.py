"""What can be fetched and sharded: sources and data sets, with their parameters.

Free of torch, so that a config is checked in milliseconds. Each parameter is a JSON-schema fragment with its default,
as in `glofnd.registry`. A new data set is one file and one entry here (docs/add-a-dataset.md); docs/datasets.md lists
what stands here.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

from glofnd.data.emoji_groups import GROUPS
from glofnd.data.entry import Dataset, Source, files, limited, names, picture_files, samples, shards
from glofnd.data.published import PUBLISHED, PUBLISHED_SOURCES

__all__ = ["DATASETS", "SOURCES", "Dataset", "Source", "configured", "load", "resolved"]

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
    **PUBLISHED_SOURCES,
}

_OWN_FOLDER = "name the folder of your own pictures as `path`: `path`/<split>/<class>/<picture>"
_OWN_TARS = "name the folder of your own tars as `path`"

DATASETS: dict[str, Dataset] = {
    "fashion-mnist": Dataset(
        source="fashion-mnist",
        target="glofnd.data.datasets.grey:fashion_mnist",
        splits=("train", "test"),
        labels=("label",),
        licence="MIT",
        templates="clothing",
        samples={"train": 60000, "test": 10000},
        download=30_878_645,
        parameters={**shards(), "train_samples": samples(60000), "test_samples": samples(10000)},
    ),
    "digits": Dataset(
        source="digits",
        target="glofnd.data.datasets.grey:digits",
        splits=("train", "test"),
        labels=("label",),
        licence="CC-BY-4.0",
        templates="digits",
        samples={"train": 1437, "test": 360},
        parameters={**shards(), "train_samples": samples(1437), "test_samples": samples(360)},
    ),
    "mnist": Dataset(
        source="mnist",
        target="glofnd.data.datasets.grey:mnist",
        splits=("train", "test"),
        labels=("label",),
        licence="CC-BY-SA-3.0",
        templates="digits",
        samples={"train": 4000, "test": 1000},
        parameters={**shards(), "train_samples": samples(4000), "test_samples": samples(1000)},
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
        samples={"train": 3690, "test-concepts": 799, "test-vendor": 530},
        download=20_825_414,
        parameters={
            **shards(),
            "groups": names(*GROUPS),
            "subgroups": names(*(subgroup for group in GROUPS.values() for subgroup in group)),
            "min_vendors": {"type": "integer", "default": 6, "minimum": 1, "maximum": 7},
            "max_concepts": {"type": ["integer", "null"], "default": 500, "minimum": 2},
            "skin_tones": {"type": "boolean", "default": True},
            "caption": {"type": "string", "default": "label-tags", "enum": ["label", "label-tags"]},
        },
    ),
    **PUBLISHED,
    "folder": Dataset(
        source=None,
        target="glofnd.data.datasets.folder:build",
        splits=("train", "test"),
        labels=("label",),
        licence="the user's own",
        templates="photo",
        obtain=_OWN_FOLDER,
        parameters={
            **picture_files(32, 8, "png"),
            **files(_OWN_FOLDER),
            "train": {"type": "string", "default": "train", "minLength": 1},
            "test": {"type": "string", "default": "val", "minLength": 1},
            "test_share": {"type": "number", "default": 0.2, "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            "class_list": {"type": ["string", "null"], "default": None},
            "train_samples": limited(),
            "test_samples": limited(),
        },
    ),
    "webdataset": Dataset(
        source=None,
        target="glofnd.data.datasets.web:build",
        splits=("train", "test"),
        labels=("label", "caption"),
        licence="the user's own",
        captions=True,
        templates="photo",
        obtain=_OWN_TARS,
        parameters={
            **picture_files(32, 8, "png"),
            **files(_OWN_TARS),
            "train": {"type": "string", "default": "train/*.tar", "minLength": 1},
            "test": {"type": "string", "default": "test/*.tar", "minLength": 1},
            "label_from": {
                "type": ["string", "null"],
                "default": "cls",
                "pattern": r"^(cls|txt|json\..+)\Z",
                "description": "must be cls, txt or json.KEY",
            },
            "captions_from": {
                "type": ["string", "null"],
                "default": None,
                "pattern": r"^(txt|json\..+)\Z",
                "description": "must be txt or json.KEY",
            },
            "class_list": {"type": ["string", "null"], "default": None},
        },
    ),
}


def load(target: str) -> Any:
    """Import what a catalogue entry's `target` names."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def configured(entry: Dataset, block: dict[str, Any]) -> Dataset:
    """The entry as a block of the config makes it: its source, label fields and captions can depend on parameters.

    `block` may lack parameters, which then have their defaults; wrong values of others do not matter.
    """

    def value(key: str) -> Any:
        return block.get(key, entry.parameters[key]["default"]) if key in entry.parameters else None

    if value("path"):
        entry = replace(entry, source=None)
    if "label_from" in entry.parameters:
        fields = {"label": value("label_from"), "caption": value("captions_from")}
        labels = tuple(field for field, source in fields.items() if source)
        first = labels[0] if labels else entry.label
        entry = replace(entry, labels=labels, label=first, class_names=first, captions="caption" in labels)
    return entry


def resolved(config: dict[str, Any], name: str) -> tuple[Dataset, dict[str, Any]]:
    """The catalogue entry and the full parameters of the block `name` of the config's `datasets:`.

    The entry is the block's `dataset`, else the one of that name, as the block makes it (`configured`). Values are not
    checked against their schemas here.

    Raises:
        ValueError: for an unknown data set or parameter, naming the valid ones.
    """
    kind = config.get("dataset", name)
    if not isinstance(kind, str) or kind not in DATASETS:
        raise ValueError(f"datasets.{name}: {kind!r} is not in the catalogue; known are {', '.join(DATASETS)}")
    entry = DATASETS[kind]
    unknown = [key for key in config if key != "dataset" and key not in entry.parameters]
    if unknown:
        raise ValueError(f"datasets.{name}: unknown key {unknown[0]!r}; valid are {', '.join(entry.parameters)}")
    parameters = {key: config.get(key, schema["default"]) for key, schema in entry.parameters.items()}
    return configured(entry, parameters), parameters
