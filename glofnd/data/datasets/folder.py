"""Pictures in folders: a folder per class as torchvision's ImageFolder reads it, or one flat folder without classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from glofnd.data.class_names import read_class_folders, require_known
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
from glofnd.data.picture_files import SUFFIXES, picture_split
from glofnd.data.split import BadSamples, Split, drawn, printable, subset
from glofnd.parameters import Range, checked

__all__ = ["IMAGENET100", "folder", "foreign", "imagenet100", "tell_aside"]

IMAGENET100 = Path(__file__).with_name("imagenet100.txt")


def foreign(name: str) -> bool:
    """Whether a file or folder belongs to no data set: hidden, or a program's own (`.ipynb_checkpoints`, `@eaDir`)."""
    return name.startswith((".", "@")) or name in {"__MACOSX", "lost+found", "$RECYCLE.BIN"}


def tell_aside(where: object, aside: list[str]) -> None:
    """Say what was left aside."""
    if aside:
        named = ", ".join(printable(name) for name in aside[:3])
        print(f"{where}: {len(aside)} hidden or foreign files left aside: {named}{', ...' if len(aside) > 3 else ''}")


def _class_folders(root: Path) -> dict[str, str]:
    """Folder -> name of every class below `root`.

    Raises:
        ValueError: the name of one is no text.
    """
    found = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not foreign(entry.name))
    for name in found:
        if name != name.encode(errors="ignore").decode():
            raise ValueError(f"{printable(root / name)}: the name of this folder is not UTF-8; rename it")
    return {name: name for name in found}


def _classes(path: Path, train: str, root: Path, class_list: str | None) -> dict[str, str]:
    """The classes of the list, else of the training folder where there is one, so that all splits agree."""
    if class_list is not None:
        classes = read_class_folders(Path(class_list))
        require_known(classes, _class_folders(root), root)
        return classes
    classes = _class_folders(path / train if (path / train).is_dir() else root)
    require_known(_class_folders(root), classes, path / train)
    return classes


def _pictures(root: Path, classes: dict[str, str]) -> tuple[list[Path], list[int]]:
    """Paths and classes in ImageFolder's order; of a flat folder the pictures in it.

    Raises:
        ValueError: there is none.
    """
    from torchvision.datasets.folder import make_dataset

    aside: list[str] = []

    def wanted(path: str) -> bool:
        place = Path(path).relative_to(root)
        if any(foreign(part) for part in place.parts):
            aside.append(str(place))
            return False
        return path.lower().endswith(SUFFIXES)

    if classes:
        numbers = {name: number for number, name in enumerate(classes)}
        found = make_dataset(str(root), numbers, is_valid_file=wanted, allow_empty=True)
    else:
        found = [(str(path), 0) for path in sorted(root.iterdir()) if path.is_file() and wanted(str(path))]
    tell_aside(root, aside)
    if not found:
        raise ValueError(f"{root}: no pictures ({', '.join(SUFFIXES)}); set `path` and the folders of the splits")
    return [Path(path) for path, _ in found], [label for _, label in found]


def _builder(
    image_size: int, shards: int, encoding: Literal["png", "jpg"], usual_classes: str | None
) -> Callable[..., Split]:
    """A builder with these defaults."""
    size, number, kind = image_size, shards, encoding

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
        train_samples: Samples = None,
        test_samples: Samples = None,
        train: Annotated[str, "folder of the training split below `path`; the same as `test` divides it"] = "train",
        test: Annotated[str, "folder of the test split below `path`"] = "val",
        class_list: ClassList = None,
        test_share: Annotated[float, Range(gt=0, lt=1), "share that is the test set where both are one folder"] = 0.2,
    ) -> Split:
        root = Path(path) / (train if split == "train" else test)
        if not root.is_dir():
            there = ", ".join(_class_folders(Path(path))) if Path(path).is_dir() else ""
            raise ValueError(
                f"{root}: no such folder; set `path` and `{split}`{f'; {path} has {there}' if there else ''}"
            )
        classes = _classes(Path(path), train, root, class_list or usual_classes)
        paths, labels = _pictures(root, classes)
        if train == test:
            size = test_samples or round(test_share * len(labels))
            chosen = drawn(labels, split, train_samples, size, split_seed)
        else:
            chosen = subset(labels, train_samples if split == "train" else test_samples, split_seed)
        without = np.setdiff1d(np.arange(len(classes)), np.asarray(labels)[chosen])
        if len(without):
            names = ", ".join(list(classes.values())[number] for number in without[:3])
            print(f"{root}: {split} has no picture of {len(without)} of {len(classes)} classes: {names}")
        fields, names_of = ({"label": labels}, {"label": list(classes.values())}) if classes else ({}, {})
        return picture_split(
            paths, fields, names_of, chosen, image_size, encoding, BadSamples(bad_samples, max_skipped)
        )

    return build


folder = _builder(32, 8, "png", None)
"""`path/<train or test>/<class>/*.jpg`; a folder without folders has no classes and no labels.

Where `train` and `test` name the same folder, a stratified `test_share` of its pictures is the test set.
"""
imagenet100 = _builder(256, 64, "jpg", str(IMAGENET100))
"""The pictures of a hundred classes of ImageNet (Russakovsky et al. 2015), by default Tian et al.'s (2020)."""
