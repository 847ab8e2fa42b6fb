"""Pictures in folders: a folder per class as torchvision's ImageFolder reads it, or one flat folder without classes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from glofnd.data.class_names import read_class_folders, require_known
from glofnd.data.dataset_options import Encoding, ImageSize, OwnFolder, PictureOptions, Samples, Shards, TestShare
from glofnd.data.picture_files import SUFFIXES
from glofnd.data.split import Split, drawn, printable, subset

__all__ = ["IMAGENET100", "Folder", "ImageNet100", "foreign", "told_aside"]

IMAGENET100 = Path(__file__).with_name("imagenet100.txt")


_FOREIGN = {"__MACOSX", "@eaDir", "@Recycle", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"}


def foreign(name: str) -> bool:
    """Whether a file or folder belongs to no data set: hidden (`._x.png`), or a program's own (`@eaDir`)."""
    return name.startswith(".") or name in _FOREIGN


def told_aside(where: object, aside: list[str]) -> dict[str, int]:
    """Say what was left aside; returns how many of each kind."""

    def kind(name: str) -> str:
        strange = next(filter(foreign, Path(name).parts), "")
        return strange if strange in _FOREIGN else "hidden" if strange else Path(name).suffix.lower() or "no suffix"

    kinds = dict(Counter(printable(kind(name)) for name in aside).most_common())
    if aside:
        counts = ", ".join(f"{number} {name}" for name, number in kinds.items())
        print(f"{where}: left aside as no samples: {counts}; the first: {printable(aside[0])}")
    return kinds


def _class_folders(root: Path) -> dict[str, str]:
    """Folder -> name of every class below `root`."""
    found = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not foreign(entry.name))
    for name in found:
        if name != name.encode(errors="ignore").decode():
            raise ValueError(f"{printable(root / name)}: the name of this folder is not UTF-8; rename it")
    return {name: name for name in found}


def _pictures(root: Path, classes: dict[str, str]) -> tuple[list[str], list[int], dict[str, int]]:
    """Paths and classes in ImageFolder's order; of a flat folder the pictures in it. And what was left aside."""
    from torchvision.datasets.folder import make_dataset

    beside = sorted(root.iterdir())
    aside = [entry.name for entry in beside if (foreign(entry.name) if entry.is_dir() else classes)]

    def wanted(path: str) -> bool:
        place = Path(path).relative_to(root)
        if any(foreign(part) for part in place.parts) or not path.lower().endswith(SUFFIXES):
            aside.append(str(place))
            return False
        return True

    if classes:
        numbers = {name: number for number, name in enumerate(classes)}
        found = make_dataset(str(root), numbers, is_valid_file=wanted, allow_empty=True)
    else:
        found = [(str(path), 0) for path in sorted(root.iterdir()) if path.is_file() and wanted(str(path))]
    kinds = told_aside(root, aside)
    if not found:
        raise ValueError(f"{root}: no pictures ({', '.join(SUFFIXES)}); set `path` and the folders of the splits")
    return [path for path, _ in found], [label for _, label in found], kinds


@dataclass(frozen=True)
class Folder(PictureOptions):
    """`path/<train or test>/<class>/*.jpg`; a folder without folders has no classes and no labels.

    Where `train` and `test` name the same folder, a stratified `test_share` of its pictures is the test set.
    """

    path: OwnFolder = field()
    image_size: ImageSize = 32
    shards: Shards = 8
    encoding: Encoding = "png"
    train_samples: Samples = None
    test_samples: Samples = None
    train: Annotated[str, "folder of the training split below `path`; the same as `test` divides it"] = "train"
    test: Annotated[str, "folder of the test split below `path`"] = "val"
    class_list: Annotated[
        str | None, "file with a class a line: its folder, then optionally a TAB and a readable name; null takes all"
    ] = None
    test_share: TestShare = 0.2

    usual_classes: ClassVar[Path | None] = None

    def _classes(self, root: Path) -> dict[str, str]:
        """The classes of the list, else of the training folder where there is one, so that all splits agree."""
        listed, trained = self.class_list or self.usual_classes, self.root / self.train
        if listed is not None:
            there = _class_folders(root)
            classes = read_class_folders(Path(listed), there)
            if root == trained or not trained.is_dir():
                require_known(classes, there, root)
            return classes
        classes = _class_folders(trained if trained.is_dir() else root)
        require_known(_class_folders(root), classes, trained)
        return classes

    def _split(self, name: str) -> Split:
        root = self.root / (self.train if name == "train" else self.test)
        if not root.is_dir():
            there = ", ".join(_class_folders(self.root)) or "no folders"
            raise ValueError(f"{root}: no such folder; set `path` and `{name}`; {self.root} has {there}")
        classes = self._classes(root)
        paths, labels, aside = _pictures(root, classes)
        if self.train == self.test:
            size = self.test_samples or round(self.test_share * len(labels))
            index = drawn(labels, name, self.train_samples, size, self.split_seed)
        else:
            index = subset(labels, self.train_samples if name == "train" else self.test_samples, self.split_seed)
        if not classes:
            return self.chosen(paths, {}, {}, index, aside=aside)
        return self.chosen(paths, {"label": list(classes.values())}, {"label": labels}, index, aside=aside)


@dataclass(frozen=True)
class ImageNet100(Folder):
    """The pictures of a hundred classes of ImageNet (Russakovsky et al. 2015), by default Tian et al.'s (2020)."""

    image_size: ImageSize = 256
    shards: Shards = 64
    encoding: Encoding = "jpg"

    usual_classes: ClassVar[Path | None] = IMAGENET100
