"""Labelled data sets of photographs that torchvision reads: Food-101, Stanford Cars, DTD, Pets, Caltech-101, Flowers.

`path` is torchvision's `root`, or the data set's own folder in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from glofnd.data.class_names import plain_name
from glofnd.data.dataset_options import OwnFolder, PictureOptions, Samples, Shards
from glofnd.data.split import Split, drawn, subset
from glofnd.parameters import Range

__all__ = ["Caltech101", "DescribableTextures", "Flowers102", "Food101", "OxfordPets", "StanfordCars"]

Found = tuple[list[Path], dict[str, list[str]], dict[str, list[int]]]
"""Paths, class names and labels of a split."""


@dataclass(frozen=True)
class TorchvisionSet(PictureOptions):
    """How all are read.

    Attributes:
        peer: torchvision's class.
        folder: below its root.
        parts: the published splits that make one here.
    """

    train_samples: Samples = None
    test_samples: Samples = None

    peer: ClassVar[str]
    folder: ClassVar[str]
    parts: ClassVar[dict[str, list[str]]] = {"train": ["train"], "test": ["test"]}

    @property
    def root(self) -> Path:
        """torchvision's root, where `path` is that or the data set's folder in it."""
        path = super().root
        folders = ((root, root / self.folder) for root in (path, *path.absolute().parents[:2]))
        inside = (
            root for root, folder in folders if folder.is_dir() and folder.absolute().is_relative_to(path.absolute())
        )
        return next(inside, path)

    def _theirs(self, *arguments: Any, **options: Any) -> Any:
        """An object of torchvision's class; raises `ValueError` where it cannot read its lists."""
        from torchvision import datasets

        try:
            return getattr(datasets, self.peer)(self.root, *arguments, **options)
        except (ValueError, LookupError, TypeError) as error:
            raise ValueError(f"{self.root / self.folder}: its lists cannot be read ({error}); get it again") from error

    def _read(self, split: str, **options: Any) -> Found:
        """All that is known of a split; the `loader` gives back the path, so that no picture is read."""
        found = [self._theirs(part, loader=str, **options) for part in self.parts[split]]
        paths, labels = zip(*(data[i] for data in found for i in range(len(data))), strict=True)
        names = [plain_name(name) for name in found[0].classes]
        return [Path(path) for path in paths], {"label": names}, {"label": list(labels)}

    def _split(self, name: str) -> Split:
        paths, classes, labels = self._read(name)
        size = self.train_samples if name == "train" else self.test_samples
        return self.chosen(paths, classes, labels, subset(labels["label"], size, self.split_seed))


@dataclass(frozen=True)
class Food101(TorchvisionSet):
    """Food-101 (Bossard et al. 2014)."""

    peer, folder = "Food101", "food-101"


@dataclass(frozen=True)
class StanfordCars(TorchvisionSet):
    """Stanford Cars (Krause et al. 2013)."""

    path: OwnFolder = field()
    peer, folder = "StanfordCars", "stanford_cars"


@dataclass(frozen=True)
class Flowers102(TorchvisionSet):
    """Flowers (Nilsback, Zisserman 2008); the published validation pictures belong to `train`, as in DTD."""

    shards: Shards = 8
    peer, folder, parts = "Flowers102", "flowers-102", {"train": ["train", "val"], "test": ["test"]}


@dataclass(frozen=True)
class DescribableTextures(TorchvisionSet):
    """Describable Textures (Cimpoi et al. 2014).

    The published validation pictures belong to `train`: hyper-parameters are chosen on parts of the training labels,
    and a probe is refitted on all of them, as in the transfer protocol of Kornblith et al. (2019).
    """

    shards: Shards = 8
    partition: Annotated[int, Range(ge=1, le=10), "which published division; papers report the first"] = 1

    peer, folder, parts = "DTD", "dtd/dtd", Flowers102.parts

    def _read(self, split: str, **options: Any) -> Found:
        return super()._read(split, partition=self.partition, **options)


@dataclass(frozen=True)
class OxfordPets(TorchvisionSet):
    """Breed and species (Parkhi et al. 2012).

    torchvision's class decodes every picture to say its label, so its lists are read here.
    """

    shards: Shards = 8
    folder = "oxford-iiit-pet"

    def _read(self, split: str, **options: Any) -> Found:
        root = self.root / self.folder
        lists: dict[str, list[tuple[str, int, int]]] = {}
        for part, file in (("train", root / "annotations/trainval.txt"), ("test", root / "annotations/test.txt")):
            lists[part] = []
            for number, line in enumerate(file.read_bytes().splitlines(), start=1):
                try:
                    picture, breed, species, _ = line.decode().split()
                    lists[part].append((picture, int(breed) - 1, int(species) - 1))
                except ValueError as error:
                    raise ValueError(
                        f"{file}: line {number} is not a picture and three numbers; get it again"
                    ) from error
        breeds = {breed: plain_name(picture.rpartition("_")[0]) for picture, breed, _ in lists["train"]}
        pictures = lists[split]
        return (
            [root / "images" / f"{picture}.jpg" for picture, _, _ in pictures],
            {"label": [breeds[breed] for breed in sorted(breeds)], "species": ["cat", "dog"]},
            {"label": [breed for _, breed, _ in pictures], "species": [species for _, _, species in pictures]},
        )


# Folder names that say nothing in a sentence, in the words of the CLIP authors' prompts.
_SPOKEN = {
    "Faces": "off-center face",
    "Faces_easy": "centered face",
    "Leopards": "leopard",
    "Motorbikes": "motorbike",
    "airplanes": "airplane",
    "car_side": "side of a car",
    "cougar_body": "body of a cougar cat",
    "cougar_face": "face of a cougar cat",
    "crocodile_head": "head of a crocodile",
    "flamingo_head": "head of a flamingo",
    "water_lilly": "water lily",
    "yin_yang": "yin and yang symbol",
}


@dataclass(frozen=True)
class Caltech101(TorchvisionSet):
    """Caltech-101 (Fei-Fei et al. 2004), which has no published split: a fifth is drawn by `split_seed` as test set."""

    shards: Shards = 8
    peer, folder = "Caltech101", "caltech101"

    def _split(self, name: str) -> Split:
        data = self._theirs()
        folders = [Path(data.root) / "101_ObjectCategories" / data.categories[label] for label in data.y]
        paths = [folder / f"image_{number:04d}.jpg" for folder, number in zip(folders, data.index, strict=True)]
        names = [_SPOKEN.get(category, plain_name(category)) for category in data.categories]
        index = drawn(data.y, name, self.train_samples, self.test_samples or round(0.2 * len(paths)), self.split_seed)
        return self.chosen(paths, {"label": names}, {"label": data.y}, index)
