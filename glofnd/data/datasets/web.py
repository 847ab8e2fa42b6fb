"""Any webdataset, and CC3M as img2dataset leaves it: tars of pictures with a class, captions, or both.

A class is a number (or a name) in `.cls` or under a key of `.json`; captions are the lines of `.txt` or one under a key
of `.json`. `label_from` and `captions_from` say where: `cls`, `txt`, `json.<key>`, or nothing.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from glofnd.data.datasets.captions import caption_field, lines_of
from glofnd.data.datasets.pictures import squared
from glofnd.data.datasets.tar_index import Member, Members, Sample, picture_bytes, samples_of
from glofnd.data.datasets.tree import plain_name, read_names
from glofnd.data.split import Split
from glofnd.progress import progress

__all__ = ["build"]


def _square(size: int, extension: str, member: Member) -> bytes:
    where, data = picture_bytes(member)
    return squared(data, size, extension, where)


def _value(sample: Sample, source: str) -> Any:
    """What `source` names of a sample: the text of a member, or the value of a key of its JSON.

    Raises:
        ValueError: naming tar and sample.
    """
    extension, _, key = source.partition(".")
    if extension not in sample.texts:
        raise ValueError(f"{sample.where}: has no .{extension}")
    try:
        text = sample.texts[extension].decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{sample.where}: its .{extension} is not UTF-8 ({error})") from error
    if not key:
        return text
    try:
        return json.loads(text)[key]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{sample.where}: its .{extension} has no {key!r} ({error})") from error


def _label(sample: Sample, source: str, numbers: dict[str, int]) -> int:
    value = _value(sample, source)
    text = str(value).strip()
    try:
        number = int(text)
    except ValueError:
        number = numbers.get(plain_name(text), -1)
    if not 0 <= number < len(numbers):
        raise ValueError(
            f"{sample.where}: {source} is {value!r}, neither one of the {len(numbers)} classes nor its number"
        )
    return number


def _captions(sample: Sample, source: str) -> list[str]:
    value = _value(sample, source)
    texts = value if isinstance(value, list) else [value]
    found = [line for text in texts if isinstance(text, str) for line in lines_of(text)]
    if not found:
        raise ValueError(f"{sample.where}: the caption is empty")
    return found


def _class_names(root: Path, parameters: dict[str, Any]) -> list[str]:
    path = Path(parameters["class_list"]) if parameters["class_list"] else root / "classnames.txt"
    if not path.is_file():
        raise ValueError(
            f"{path}: missing; write one class name a line, in the order of the numbers, or set `class_list`"
        )
    names = read_names(path)
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{path}: the class {twice!r} stands there twice")
    return names


def _tars(root: Path, pattern: str, split: str) -> list[Path]:
    if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        raise ValueError(f"{split}: the pattern {pattern!r} must lie below `path`")
    tars = sorted(path for path in root.glob(pattern) if path.is_file())
    if not tars:
        raise ValueError(f"{root}: no file matches {pattern!r}; set `path` and `{split}` of the data set")
    return tars


def build(raw: Path, split: str, parameters: dict[str, Any]) -> Split:
    """One split: the tars that the pattern `parameters[split]` matches, by name, and the samples of each in its order.

    Raises:
        ValueError: naming tar and sample, for whatever is missing or malformed.
    """
    label_from, captions_from = parameters["label_from"], parameters["captions_from"]
    sources = [source for source in (label_from, captions_from) if source]
    if not sources:
        raise ValueError("neither label_from nor captions_from is set; a sample needs a class or captions")
    names = _class_names(raw, parameters) if label_from else []
    numbers = {name: number for number, name in enumerate(names)}
    tars = _tars(raw, parameters[split], split)
    wanted = sorted({source.partition(".")[0] for source in sources})
    pictures, classes, captions = Members(), [], []
    for path in progress(tars, len(tars), f"reading {split}", "tars"):
        for sample in samples_of(path, wanted):
            pictures.add(path, *sample.picture)
            if label_from:
                classes.append(_label(sample, label_from, numbers))
            if captions_from:
                captions.append(_captions(sample, captions_from))
    if not len(pictures):
        raise ValueError(f"{tars[0]}: no samples in the {len(tars)} tars that match {parameters[split]!r}")
    all_names, labels = {}, {}
    if label_from:
        all_names["label"], labels["label"] = names, classes
    if captions_from:
        all_names["caption"], labels["caption"] = caption_field(captions)
    return Split(
        classes=all_names,
        labels=labels,
        payloads=pictures,
        encode=partial(_square, parameters["image_size"], parameters["encoding"]),
        channels=3,
        captions=captions if captions_from else None,
        extension=parameters["encoding"],
    )
