"""Any webdataset, and CC3M as img2dataset leaves it: tars of pictures with a class, captions, or both.

Members are grouped to samples as webdataset does it. One pass over the headers finds them; nothing is extracted and no
picture is read, so that pass needs memory for the texts and a few numbers per sample only.
"""

from __future__ import annotations

import json
import re
import tarfile
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from glofnd.data.class_names import read_names, reader_of_labels
from glofnd.data.dataset_options import Encoding, ImageSize, OwnFolder, PictureOptions, Shards, TestShare
from glofnd.data.datasets.captions import caption_field, checked_captions
from glofnd.data.datasets.folder import foreign, told_aside
from glofnd.data.manifest import NO_LABEL
from glofnd.data.picture_files import SUFFIXES, squared
from glofnd.data.split import BadSampleError, Split
from glofnd.progress import progress

__all__ = ["CC3M", "PICTURES", "Sample", "WebDataset", "samples_of"]

PICTURES = tuple(suffix[1:] for suffix in SUFFIXES)
# webdataset's rule: the key ends at the first dot of the base name.
_MEMBER = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$", re.DOTALL)
_ABOUT = re.compile(r"(readme|index|meta(data)?|licen[cs]e)$", re.IGNORECASE)
"""What lies beside samples in published tars."""
_META = re.compile(r"__[^/]*__($|/)")


@dataclass
class Sample:
    """One sample: offset and size of its picture, the members that were asked for, and what is wrong with it."""

    key: str
    where: str
    picture: tuple[int, int] | None = None
    texts: dict[str, bytes] = field(default_factory=dict)
    problem: BadSampleError | None = None

    def bad(self, reason: str) -> None:
        """Note what is wrong."""
        self.problem = BadSampleError(self.where, reason)


def samples_of(path: Path, wanted: Sequence[str], aside: list[str]) -> Iterator[Sample]:
    """The samples of one tar, in its order: runs of members with one key.

    Hidden files, members without an extension, and runs with neither a picture nor a wanted member (a README) are no
    samples, but go to `aside`.

    Args:
        path: the tar.
        wanted: extensions of members to read; a sample may lack them.
        aside: takes the names of what is no sample.

    Raises:
        ValueError: the tar is damaged, cut short, or has no samples.
    """
    seen = set[str]()
    with path.open("rb") as handle:
        for key, members in groupby(_members(path, aside), key=lambda member: member[0]):
            sample = Sample(key, f"{path}: sample {key!r}")
            for _, extension, offset, size in members:
                if extension in PICTURES:
                    if sample.picture is not None:
                        sample.bad("has a second picture")
                    sample.picture = (offset, size)
                elif extension in wanted:
                    if extension in sample.texts:
                        sample.bad(f"has a second .{extension}")
                    handle.seek(offset)
                    sample.texts[extension] = handle.read(size)
            if sample.picture is None and (not sample.texts or _ABOUT.match(key.rpartition("/")[2])):
                aside.append(f"{key}.{extension}")
                continue
            if sample.picture is None:
                sample.bad(f"has no picture ({', '.join(PICTURES)})")
            if key in seen:
                sample.bad("has come before (a duplicate?)")
            seen.add(key)
            yield sample
    if not seen:
        raise ValueError(f"{path}: has no samples{f', but {aside[-1]!r}' if aside else ''}; get it again, or remove it")


def _members(path: Path, aside: list[str]) -> Iterator[tuple[str, str, int, int]]:
    """Key, extension, offset and size of the plain files of a tar.

    Its end is checked, because `tarfile` takes any header it cannot read for the end.
    """
    try:
        with tarfile.open(path, mode="r:") as archive:
            for member in archive:
                name = member.name
                if member.isdir() or ("/" not in name and _META.match(name)):
                    continue
                match = _MEMBER.match(name) if member.isreg() else None
                if not match or any(foreign(part) for part in name.split("/") if part != "."):
                    aside.append(name)
                else:
                    yield match[1], match[2].lower(), member.offset_data, member.size
            end = archive.offset
    except (tarfile.TarError, ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path}: is no readable uncompressed tar ({error}); get it again") from error
    with path.open("rb") as handle:
        handle.seek(end)
        if handle.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise ValueError(f"{path}: byte {end}: damaged, or the file ends early (truncated?); get it again")


def _square(tars: list[Path], size: int, extension: str, picture: Sequence[int]) -> bytes:
    tar, offset, length = (int(number) for number in picture)
    with tars[tar].open("rb") as handle:
        handle.seek(offset)
        data = handle.read(length)
    return squared(data, size, extension, f"{tars[tar]}: the picture at byte {offset}")


def _value(sample: Sample, source: str) -> Any:
    """What `source` (`txt`, `cls`, `json.KEY` or `json.KEY.KEY`) names of a sample."""
    extension, _, keys = source.partition(".")
    try:
        if not keys:
            return sample.texts[extension].decode("utf-8-sig")
        value = json.loads(sample.texts[extension])
        if keys in value:
            return value[keys]
        for key in keys.split("."):
            value = value[int(key) if isinstance(value, list) else key]
        return value
    except KeyError as error:
        raise BadSampleError(sample.where, f"has no {source} ({error})") from error
    except (ValueError, TypeError, IndexError, RecursionError) as error:
        raise BadSampleError(sample.where, f"its .{extension} cannot be read ({error})") from error


def _label(sample: Sample, source: str, number_of: Callable[[object], int]) -> int:
    value = _value(sample, source)
    try:
        return number_of(value)
    except ValueError as error:
        raise BadSampleError(sample.where, f"{source}: {error}") from error


def _captions(sample: Sample, source: str) -> list[str]:
    value = _value(sample, source)
    texts = value if isinstance(value, list) else [value]
    lines = (line for text in texts for line in (text.split("\n") if isinstance(text, str) else [text]))
    return checked_captions(lines, sample.where)


LabelFrom = Annotated[str | None, "where a sample's class is: cls, txt or json.KEY; null: it has none"]
CaptionsFrom = Annotated[str | None, "where its captions are: txt or json.KEY; null: it has none"]
TrainTars = Annotated[str, "pattern of the training tars below `path`"]
TestTars = Annotated[str, "pattern of the test tars below `path`"]


@dataclass(frozen=True)
class WebDataset(PictureOptions):
    """Tars of pictures with a class (its name, or its number in the class list), captions, or both."""

    path: OwnFolder = field()
    image_size: ImageSize = 32
    shards: Shards = 8
    encoding: Encoding = "png"
    train: TrainTars = "train/*.tar"
    test: TestTars = "test/*.tar"
    label_from: LabelFrom = "cls"
    captions_from: CaptionsFrom = None
    class_list: Annotated[str | None, "file with a class name a line; null: `path`/classnames.txt"] = None
    test_share: TestShare = 0.2

    def _split(self, name: str) -> Split:
        pattern = self.train if name == "train" else self.test
        found = sorted(path.relative_to(self.root) for path in self.root.glob(pattern) if path.is_file())
        aside = [str(path) for path in found if any(map(foreign, path.parts))]
        tars = [self.root / path for path in found if not any(map(foreign, path.parts))]
        if not tars:
            raise ValueError(f"{self.root}: no file matches {pattern!r}; set `path` and `{name}` of the data set")
        listed = Path(self.class_list) if self.class_list else self.root / "classnames.txt"
        if self.label_from and not listed.is_file():
            raise ValueError(f"{listed}: missing; write a class name a line, in the order of the numbers")
        names, bad = read_names(listed) if self.label_from else [], self.bad()
        number_of = reader_of_labels(names)
        wanted = sorted({source.partition(".")[0] for source in (self.label_from, self.captions_from) if source})
        pictures, labels, captions = array("q"), list[int](), list[list[str]]()
        for number, path in enumerate(progress(tars, len(tars), f"reading {name}", "tars")):
            for sample in samples_of(path, wanted, aside):
                label, lines = NO_LABEL, list[str]()
                try:
                    if sample.problem is not None:
                        raise sample.problem
                    label = _label(sample, self.label_from, number_of) if self.label_from else NO_LABEL
                    lines = _captions(sample, self.captions_from) if self.captions_from else []
                except BadSampleError as problem:
                    bad.meet(len(labels), problem)
                pictures.extend((number, *(sample.picture or (0, 0))))
                labels.append(label)
                captions.append(lines)
        fields = {"label": (names, labels)} if self.label_from else {}
        if self.captions_from:
            fields["caption"] = caption_field(captions)
        whole = self.made_of(
            np.array(pictures).reshape(-1, 3),  # type: ignore[arg-type]  # three numbers a picture
            {field: found[0] for field, found in fields.items()},
            {field: found[1] for field, found in fields.items()},
            partial(_square, tars),
            captions=captions if self.captions_from else None,
            bad_samples=bad,
            aside=told_aside(self.root, aside),
        )
        return self.divided(whole, name, self.test_share) if self.train == self.test else whole


@dataclass(frozen=True)
class CC3M(WebDataset):
    """Conceptual Captions (Sharma et al. 2018) as img2dataset leaves it."""

    image_size: ImageSize = 256
    shards: Shards = 512
    encoding: Encoding = "jpg"
    train: TrainTars = "*.tar"
    test: TestTars = "validation/*.tar"
    label_from: LabelFrom = None
    captions_from: CaptionsFrom = "txt"
