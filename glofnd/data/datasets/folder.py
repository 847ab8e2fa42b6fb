"""A folder per class, `path/<split>/<class>/*.jpg`: the layout of ImageNet and of torchvision's ImageFolder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from glofnd.data.bad_samples import printable
from glofnd.data.datasets.pictures import SUFFIXES
from glofnd.data.datasets.subsets import held_out, published
from glofnd.data.datasets.tree import files_split, read_lines
from glofnd.data.options import (
    BadSamplesPolicy,
    ClassList,
    Encoding,
    ImageSize,
    MaxSkipped,
    OwnFolder,
    Samples,
    Shards,
    SplitSeed,
)
from glofnd.data.split import Split
from glofnd.parameters import Range, checked

__all__ = ["folder", "imagenet100", "read_class_list"]

_IMAGENET100 = Path(__file__).with_name("imagenet100.txt")


def read_class_list(path: Path) -> dict[str, str]:
    """Folder name -> readable name, from a file with one class a line: its folder, then optionally a readable name.

    Raises:
        ValueError: naming the file and line, for a class named twice.
    """
    classes: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), start=1):
        folder, _, name = line.partition("\t" if "\t" in line else " ")
        if folder in classes:
            raise ValueError(f"{path}: line {number}: class {folder!r} is listed twice")
        classes[folder] = name.strip() or folder
    return classes


def _folders(root: Path) -> list[Path]:
    """Folders below `root` that are not hidden, by name.

    Raises:
        ValueError: for one whose name is no text, and so no name of a class.
    """
    found = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    for folder in found:
        try:
            folder.name.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{printable(folder)}: the name of this folder is not UTF-8; rename it") from error
    return found


def _root(raw: Path, parameters: dict[str, Any], split: str) -> Path:
    root = raw / str(parameters[split])
    if not root.is_dir():
        there = ", ".join(folder.name for folder in _folders(raw)) if raw.is_dir() else ""
        hint = f"; {raw} has {there}" if there else ""
        raise ValueError(f"{root}: no such folder; set `path` and `{split}` of the data set{hint}")
    return root


def _classes(raw: Path, root: Path, parameters: dict[str, Any]) -> dict[str, str]:
    """Folder -> name of every class; those of the training folder, where there is one, so that all splits agree."""
    if parameters["class_list"]:
        return read_class_list(Path(parameters["class_list"]))
    training = raw / parameters["train"]
    classes = {folder.name: folder.name for folder in _folders(training if training.is_dir() else root)}
    if not classes:
        raise ValueError(f"{root}: has no folders; each class is a folder of pictures")
    if foreign := [folder.name for folder in _folders(root) if folder.name not in classes]:
        raise ValueError(
            f"{root / foreign[0]}: is no class of {training}; remove it, or name the classes by `class_list`"
        )
    return classes


def _pictures(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.glob("**/*")):
        if path.is_dir():
            if path.is_symlink():
                raise ValueError(f"{printable(path)}: links to folders are not followed inside a class; move it there")
        # A link to nothing or a named pipe is met when it is read: it must not be missed here.
        elif path.suffix.lower() in SUFFIXES:
            yield path


def _build(raw: Path, split: str, parameters: dict[str, Any]) -> Split:
    """One split; pictures ordered by class and file name.

    Where `train` and `test` name the same folder, a stratified `test_share` of its pictures is the test set.

    Raises:
        ValueError: for a folder or class that is missing or empty.
    """
    root = _root(raw, parameters, split)
    classes = _classes(raw, root, parameters)
    paths: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(classes):
        found = list(_pictures(root / folder))
        if not found:
            raise ValueError(f"{root / folder}: no pictures; every class needs some in every split")
        paths += found
        labels += [label] * len(found)
    if parameters["train"] == parameters["test"]:
        size = parameters["test_samples"] or round(parameters["test_share"] * len(labels))
        chosen = held_out(labels, split, parameters, size)
    else:
        chosen = published(labels, split, parameters)
    return files_split(paths, {"label": labels}, {"label": list(classes.values())}, chosen, parameters)


def _imagenet100(raw: Path, split: str, parameters: dict[str, Any]) -> Split:
    """The pictures of a hundred classes of ImageNet (Russakovsky et al. 2015), by default Tian et al.'s (2020)."""
    return _build(raw, split, {**parameters, "class_list": parameters["class_list"] or str(_IMAGENET100)})


@checked
def folder(
    split: str,
    path: OwnFolder,
    image_size: ImageSize = 32,
    shards: Shards = 8,
    split_seed: SplitSeed = 0,
    encoding: Encoding = "png",
    bad_samples: BadSamplesPolicy = "fail",
    max_skipped: MaxSkipped = 0.01,
    train_samples: Samples = None,
    test_samples: Samples = None,
    train: Annotated[str, "folder of the training split below `path`; the same as `test` divides it"] = "train",
    test: Annotated[str, "folder of the test split below `path`"] = "val",
    class_list: ClassList = None,
    test_share: Annotated[float, Range(gt=0, lt=1), "share that is the test set where both are one folder"] = 0.2,
) -> Split:
    """A folder per class."""
    return _build(Path(path or ""), split, dict(locals()))


@checked
def imagenet100(
    split: str,
    path: OwnFolder,
    image_size: ImageSize = 256,
    shards: Shards = 64,
    split_seed: SplitSeed = 0,
    encoding: Encoding = "jpg",
    bad_samples: BadSamplesPolicy = "fail",
    max_skipped: MaxSkipped = 0.01,
    train_samples: Samples = None,
    test_samples: Samples = None,
    train: Annotated[str, "folder of the training split below `path`; the same as `test` divides it"] = "train",
    test: Annotated[str, "folder of the test split below `path`"] = "val",
    class_list: ClassList = None,
) -> Split:
    """A hundred classes of ImageNet."""
    return _imagenet100(Path(path or ""), split, dict(locals()))
