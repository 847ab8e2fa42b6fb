"""What an entry of the catalogue states, and the parameters that many data sets share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Dataset", "Schema", "Source", "files", "limited", "names", "picture_files", "samples", "shards"]

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
    """A data set made from a source (`None`: the user's own files, below the parameter `path`).

    `target` names `build(raw: Path, split: str, parameters: dict[str, Any]) -> glofnd.data.split.Split`; `raw` is the
    folder of the source, or `path`.
    `label` is the field that says what a picture shows: the default truth for false negatives and for a linear probe;
    `labels` are all fields; `class_names` is the field whose names make zero-shot prompts, with the templates of the
    file `templates`.
    `metric` is the usual score: "top1" or "mean-per-class".
    `samples` says how many each split has as published; `download` how many bytes have to be fetched.
    `obtain` says in one line what to get, where, and where to put it, if no program can fetch it.
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
    templates: str = "plain"
    samples: dict[str, int] = field(default_factory=dict)
    download: int = 0
    obtain: str = ""
    parameters: dict[str, Schema] = field(default_factory=dict)


def shards(image_size: int = 32, number: int = 8) -> dict[str, Schema]:
    """The parameters that every data set has."""
    return {
        "image_size": {"type": "integer", "default": image_size, "minimum": 8},
        "shards": {"type": "integer", "default": number, "minimum": 1},
        "split_seed": {"type": "integer", "default": 0, "minimum": 0},
    }


def samples(default: int) -> Schema:
    """The number of samples of a split: all of them, or a class-stratified subset."""
    return {"type": "integer", "default": default, "minimum": 1, "maximum": default}


def limited() -> Schema:
    """The number of samples of a split whose size is not known beforehand; `null` takes all."""
    return {"type": ["integer", "null"], "default": None, "minimum": 1}


def names(*known: str) -> Schema:
    """A list of some of these names, none by default."""
    return {"type": "array", "default": [], "items": {"type": "string", "enum": list(known)}, "uniqueItems": True}


def files(obtain: str = "") -> dict[str, Schema]:
    """`path`: the folder of the user's own copy; required where `obtain` says that nothing can be fetched."""
    if obtain:
        return {"path": {"type": "string", "default": "", "minLength": 1, "description": obtain}}
    return {"path": {"type": ["string", "null"], "default": None, "minLength": 1}}


def picture_files(image_size: int, number: int, encoding: str = "jpg") -> dict[str, Schema]:
    """The parameters of data sets that are photographs of any size, each a file or a member of one.

    A sample that cannot be used makes sharding fail, or is left out where at most the share `max_skipped` is.
    """
    return {
        **shards(image_size, number),
        "encoding": {"type": "string", "default": encoding, "enum": ["png", "jpg"]},
        "bad_samples": {"type": "string", "default": "fail", "enum": ["fail", "skip"]},
        "max_skipped": {"type": "number", "default": 0.01, "minimum": 0, "exclusiveMaximum": 1},
    }
