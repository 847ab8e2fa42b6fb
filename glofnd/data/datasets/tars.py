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
from pathlib import Path
from typing import Annotated, Any, Literal

from glofnd.data.class_names import numbers_of, read_names
from glofnd.data.datasets.captions import caption_field, checked_captions
from glofnd.data.datasets.folder import foreign, tell_aside
from glofnd.data.manifest import NO_LABEL
from glofnd.data.options import (
    BadSamplesPolicy,
    Encoding,
    ImageSize,
    MaxSkipped,
    OwnFolder,
    Shards,
    SplitSeed,
)
from glofnd.data.picture_files import squared
from glofnd.data.split import BadSampleError, BadSamples, Split
from glofnd.parameters import checked
from glofnd.progress import progress

__all__ = ["PICTURES", "Sample", "cc3m", "samples_of", "webdataset"]

PICTURES = ("jpg", "jpeg", "png", "webp")
# webdataset's rule: the key ends at the first dot of the base name.
_MEMBER = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$", re.DOTALL)
_META = re.compile(r"__[^/]*__($|/)")


@dataclass
class Sample:
    """One sample: where its picture is, the members that were asked for, and what is wrong with it."""

    key: str
    where: str
    picture: tuple[int, int] | None = None
    texts: dict[str, bytes] = field(default_factory=dict)
    problem: BadSampleError | None = None


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
    found, current, seen = 0, Sample("", ""), set[str]()
    with path.open("rb") as handle:
        for member in _members(path):
            match = _MEMBER.match(member.name)
            if not match or any(foreign(part) for part in member.name.split("/") if part != "."):
                aside.append(member.name)
                continue
            key, extension = match[1], match[2].lower()
            if key != current.key:
                if _is_sample(current, aside):
                    found += 1
                    yield current
                current = Sample(key, f"{path}: sample {key!r}")
                if key in seen:
                    current.problem = BadSampleError(current.where, "has come before (a duplicate?)")
                seen.add(key)
            if extension in PICTURES:
                if current.picture is not None:
                    current.problem = BadSampleError(current.where, "has a second picture")
                current.picture = (member.offset_data, member.size)
            elif extension in wanted:
                if extension in current.texts:
                    current.problem = BadSampleError(current.where, f"has a second .{extension}")
                handle.seek(member.offset_data)
                current.texts[extension] = handle.read(member.size)
    if _is_sample(current, aside):
        found += 1
        yield current
    if not found:
        raise ValueError(f"{path}: has no samples; get it again, or remove it")


def _is_sample(sample: Sample, aside: list[str]) -> bool:
    if sample.picture is None and not sample.texts:
        if sample.key:
            aside.append(sample.key)
        return False
    if sample.picture is None:
        sample.problem = BadSampleError(sample.where, f"has no picture ({', '.join(PICTURES)})")
    return True


def _members(path: Path) -> Iterator[tarfile.TarInfo]:
    """The plain files of a tar, whose end is checked: `tarfile` takes any header it cannot read for the end."""
    try:
        with tarfile.open(path, mode="r:") as archive:
            for member in archive:
                if member.issparse():
                    raise ValueError(f"member {member.name!r} has holes")
                if member.isreg() and not ("/" not in member.name and _META.match(member.name)):
                    yield member
            end = archive.offset
    except (tarfile.TarError, ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path}: is no readable uncompressed tar ({error}); get it again") from error
    with path.open("rb") as handle:
        handle.seek(end)
        if handle.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise ValueError(f"{path}: byte {end}: damaged, or the file ends early (truncated?); get it again")


class _Pictures(Sequence[tuple[str, int, int]]):
    """Tar, offset and size of each picture of many tars, 24 bytes each."""

    def __init__(self) -> None:
        self._tars: list[str] = []
        self._numbers = array("q")

    def add(self, tar: Path, offset: int, size: int) -> None:
        if not self._tars or self._tars[-1] != str(tar):
            self._tars.append(str(tar))
        self._numbers.extend((len(self._tars) - 1, offset, size))

    def __len__(self) -> int:
        return len(self._numbers) // 3

    def __getitem__(self, index: int) -> tuple[str, int, int]:  # type: ignore[override]  # slices have no use here
        tar, offset, size = self._numbers[3 * index : 3 * index + 3]
        return self._tars[tar], offset, size


def _square(size: int, extension: str, picture: tuple[str, int, int]) -> bytes:
    path, offset, length = picture
    with Path(path).open("rb") as handle:
        handle.seek(offset)
        data = handle.read(length)
    return squared(data, size, extension, f"{path}: the picture at byte {offset}")


def _value(sample: Sample, source: str) -> Any:
    """What `source` (`txt`, `cls`, `json.KEY` or `json.KEY.KEY`) names of a sample.

    Raises:
        BadSampleError: it has none.
    """
    extension, _, keys = source.partition(".")
    try:
        text = sample.texts[extension].decode()
        if not keys:
            return text
        value = json.loads(text)
        if keys in value:
            return value[keys]
        for key in keys.split("."):
            value = value[key]
        return value
    except KeyError as error:
        raise BadSampleError(sample.where, f"has no {source} ({error})") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise BadSampleError(sample.where, f"its .{extension} cannot be read ({error})") from error


def _label(sample: Sample, source: str, names: list[str]) -> int:
    try:
        return numbers_of(names, _value(sample, source))
    except BadSampleError:
        raise
    except ValueError as error:
        raise BadSampleError(sample.where, f"{source}: {error}") from error


def _captions(sample: Sample, source: str) -> list[str]:
    value = _value(sample, source)
    texts = value if isinstance(value, list) else [value]
    lines = (line for text in texts for line in (text.split("\n") if isinstance(text, str) else [text]))
    return checked_captions(lines, sample.where)


def _tars(root: Path, pattern: str, split: str) -> list[Path]:
    tars = sorted(path for path in root.glob(pattern) if path.is_file() and not foreign(path.name))
    if not tars:
        raise ValueError(f"{root}: no file matches {pattern!r}; set `path` and `{split}` of the data set")
    return tars


def _read(
    root: Path,
    pattern: str,
    split: str,
    label_from: str | None,
    captions_from: str | None,
    names: list[str],
    bad: BadSamples,
) -> tuple[_Pictures, list[int], list[list[str]]]:
    """Pictures, classes and captions of the tars that `pattern` matches, by name, and the samples of each in its order.

    Raises:
        ValueError: naming tar and sample, for whatever is missing or malformed and not to be left out.
    """
    wanted = sorted({source.partition(".")[0] for source in (label_from, captions_from) if source})
    pictures, labels, captions, aside = _Pictures(), list[int](), list[list[str]](), list[str]()
    tars = _tars(root, pattern, split)
    for path in progress(tars, len(tars), f"reading {split}", "tars"):
        for sample in samples_of(path, wanted, aside):
            label, lines = NO_LABEL, list[str]()
            try:
                if sample.problem is not None:
                    raise sample.problem
                label = _label(sample, label_from, names) if label_from else NO_LABEL
                lines = _captions(sample, captions_from) if captions_from else []
            except BadSampleError as problem:
                bad.meet(len(pictures), problem)
            pictures.add(path, *(sample.picture or (0, 0)))
            labels.append(label)
            captions.append(lines)
    tell_aside(root, aside)
    return pictures, labels, captions


def _builder(
    image_size: int,
    shards: int,
    encoding: Literal["png", "jpg"],
    patterns: tuple[str, str],
    label_from: str | None,
    captions_from: str | None,
) -> Callable[..., Split]:
    """A builder with these defaults."""
    size, number, kind, usual_label, usual_captions = image_size, shards, encoding, label_from, captions_from

    @checked
    def build(
        split: str,
        path: OwnFolder,
        image_size: ImageSize = size,
        shards: Shards = number,
        split_seed: SplitSeed = 0,
        encoding: Encoding = kind,
        bad_samples: BadSamplesPolicy = "fail",
        max_skipped: MaxSkipped = 0.01,
        train: Annotated[str, "pattern of the training tars below `path`"] = patterns[0],
        test: Annotated[str, "pattern of the test tars below `path`"] = patterns[1],
        label_from: Annotated[
            str | None, "where a sample's class is: cls, txt or json.KEY; null: it has none"
        ] = usual_label,
        captions_from: Annotated[
            str | None, "where its captions are: txt or json.KEY; null: it has none"
        ] = usual_captions,
        class_list: Annotated[str | None, "file with a class name a line; null: `path`/classnames.txt"] = None,
    ) -> Split:
        if not label_from and not captions_from:
            raise ValueError("neither label_from nor captions_from is set; a sample needs a class or captions")
        listed = Path(class_list) if class_list else Path(path) / "classnames.txt"
        if label_from and not listed.is_file():
            raise ValueError(f"{listed}: missing; write a class name a line, in the order of the numbers")
        names, bad = read_names(listed) if label_from else [], BadSamples(bad_samples, max_skipped)
        pattern = train if split == "train" else test
        pictures, labels, captions = _read(Path(path), pattern, split, label_from, captions_from, names, bad)
        caption_names, caption_labels = caption_field(captions)
        fields = {"label": (names, labels)} if label_from else {}
        if captions_from:
            fields["caption"] = (caption_names, caption_labels)
        return Split(
            classes={field: found[0] for field, found in fields.items()},
            labels={field: found[1] for field, found in fields.items()},
            payloads=pictures,
            encode=partial(_square, image_size, encoding),
            channels=3,
            captions=captions if captions_from else None,
            extension=encoding,
            bad_samples=bad,
        )

    return build


webdataset = _builder(32, 8, "png", ("train/*.tar", "test/*.tar"), "cls", None)
"""Tars of pictures with a class (its name, or its number in the class list), captions, or both."""
cc3m = _builder(256, 512, "jpg", ("*.tar", "validation/*.tar"), None, "txt")
"""Conceptual Captions (Sharma et al. 2018) as img2dataset leaves it."""
