"""Any webdataset, and CC3M as img2dataset leaves it: tars of pictures with a class, captions, or both.

A class is a number (or a name) in `.cls` or under a key of `.json`; captions are the lines of `.txt` or one under a key
of `.json`. `label_from` and `captions_from` say where: `cls`, `txt`, `json.<key>`, or nothing.
"""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from glofnd.data.bad_samples import BadSampleError, BadSamples, printable
from glofnd.data.datasets.captions import caption_field, checked_captions
from glofnd.data.datasets.pictures import squared
from glofnd.data.datasets.tar_index import Member, Members, Sample, member_name, picture_bytes, samples_of
from glofnd.data.datasets.tree import plain_name, read_names
from glofnd.data.manifest import NO_LABEL
from glofnd.data.options import BadSamplesPolicy, Encoding, ImageSize, MaxSkipped, OwnFolder, Shards, SplitSeed
from glofnd.data.split import Split
from glofnd.parameters import checked
from glofnd.progress import progress

__all__ = ["cc3m", "webdataset"]

_NUMBER = re.compile("[0-9]{1,9}")


def _square(size: int, extension: str, member: Member) -> bytes:
    try:
        return squared(picture_bytes(member), size, extension, "")
    except BadSampleError as problem:
        raise BadSampleError(member_name(member), problem.reason) from problem


def _value(sample: Sample, source: str) -> Any:
    """What `source` names of a sample: the text of a member, or the value of a key of its JSON.

    Raises:
        BadSampleError: it has none.
    """
    extension, _, key = source.partition(".")
    if extension not in sample.texts:
        raise BadSampleError(sample.where, f"has no .{extension}")
    try:
        text = sample.texts[extension].decode()
    except UnicodeDecodeError as error:
        raise BadSampleError(sample.where, f"its .{extension} is not UTF-8 ({error})") from error
    if not key:
        return text
    try:
        return json.loads(text)[key]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadSampleError(sample.where, f"its .{extension} has no {key!r} ({error})") from error


def _label(sample: Sample, source: str, numbers: dict[str, int]) -> int:
    text = str(_value(sample, source)).strip()
    # Not every text that `int` reads is meant as a number: 1_0 is a name.
    number = int(text) if _NUMBER.fullmatch(text) else numbers.get(plain_name(text), NO_LABEL)
    if not 0 <= number < len(numbers):
        raise BadSampleError(
            sample.where,
            f"{source} is {text[:60]!r}, neither one of the {len(numbers)} classes nor its number",
        )
    return number


def _captions(sample: Sample, source: str) -> list[str]:
    value = _value(sample, source)
    texts = value if isinstance(value, list) else [value]
    lines = (line for text in texts for line in (text.split("\n") if isinstance(text, str) else [text]))
    return checked_captions(lines, sample.where)


def _taken(sample: Sample, label_from: str, captions_from: str, numbers: dict[str, int]) -> tuple[int, list[str]]:
    """Class (`NO_LABEL` where none is asked for) and captions of a sample.

    Raises:
        BadSampleError: naming tar and sample, or member, for what is missing or malformed.
    """
    if sample.problem is not None:
        raise sample.problem
    label = _label(sample, label_from, numbers) if label_from else NO_LABEL
    return label, _captions(sample, captions_from) if captions_from else []


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
    tars = sorted(root.glob(pattern))
    if strange := [path for path in tars if not path.is_file()]:
        raise ValueError(f"{printable(strange[0])}: is no plain file, but {pattern!r} of `{split}` matches it")
    if not tars:
        raise ValueError(f"{root}: no file matches {pattern!r}; set `path` and `{split}` of the data set")
    return tars


def _build(raw: Path, split: str, parameters: dict[str, Any]) -> Split:
    """One split: the tars that the pattern `parameters[split]` matches, by name, and the samples of each in its order.

    Raises:
        ValueError: naming tar and sample, for whatever is missing or malformed and not to be left out.
    """
    label_from, captions_from = parameters["label_from"], parameters["captions_from"]
    sources = [source for source in (label_from, captions_from) if source]
    if not sources:
        raise ValueError("neither label_from nor captions_from is set; a sample needs a class or captions")
    names = _class_names(raw, parameters) if label_from else []
    numbers = {name: number for number, name in enumerate(names)}
    tars = _tars(raw, parameters[split], split)
    wanted = sorted({source.partition(".")[0] for source in sources})
    pictures, classes, captions, bad = Members(), list[int](), list[list[str]](), BadSamples.of(parameters)
    for path in progress(tars, len(tars), f"reading {split}", "tars"):
        for sample in samples_of(path, wanted):
            label, lines = NO_LABEL, list[str]()
            try:
                label, lines = _taken(sample, label_from, captions_from, numbers)
            except BadSampleError as problem:
                bad.meet(len(pictures), problem)
            pictures.add(path, sample.picture or (0, 0, 0))
            if label_from:
                classes.append(label)
            if captions_from:
                captions.append(lines)
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
        bad_samples=bad,
    )


@checked
def webdataset(
    split: str,
    path: OwnFolder,
    image_size: ImageSize = 32,
    shards: Shards = 8,
    split_seed: SplitSeed = 0,
    encoding: Encoding = "png",
    bad_samples: BadSamplesPolicy = "fail",
    max_skipped: MaxSkipped = 0.01,
    train: Annotated[str, "pattern of the training tars below `path`"] = "train/*.tar",
    test: Annotated[str, "pattern of the test tars below `path`"] = "test/*.tar",
    label_from: Annotated[str | None, "where a sample's class is: cls, txt or json.KEY; null: it has none"] = "cls",
    captions_from: Annotated[str | None, "where its captions are: txt or json.KEY; null: it has none"] = None,
    class_list: Annotated[str | None, "file with a class name a line; null: `path`/classnames.txt"] = None,
) -> Split:
    """Tars of pictures with classes, captions or both."""
    return _build(Path(path or ""), split, dict(locals()))


@checked
def cc3m(
    split: str,
    path: OwnFolder,
    image_size: ImageSize = 256,
    shards: Shards = 512,
    split_seed: SplitSeed = 0,
    encoding: Encoding = "jpg",
    bad_samples: BadSamplesPolicy = "fail",
    max_skipped: MaxSkipped = 0.01,
    train: Annotated[str, "pattern of the training tars below `path`"] = "*.tar",
    test: Annotated[str, "pattern of the test tars below `path`"] = "validation/*.tar",
    captions_from: Annotated[str, "where a sample's captions are: txt or json.KEY"] = "txt",
) -> Split:
    """Conceptual Captions as img2dataset leaves it."""
    return _build(Path(path or ""), split, {**locals(), "label_from": None, "class_list": None})
