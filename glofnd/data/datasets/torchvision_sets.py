"""Labelled data sets of photographs that torchvision reads: Food-101, Stanford Cars, DTD, Pets, Caltech-101, Flowers.

`path` is torchvision's `root`, or the data set's own folder in it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from glofnd.data.class_names import plain_name
from glofnd.data.options import (
    BadSamplesPolicy,
    Encoding,
    ImageSize,
    MaxSkipped,
    OwnCopy,
    Samples,
    Shards,
    SplitSeed,
)
from glofnd.data.picture_files import picture_split
from glofnd.data.split import BadSamples, Split, drawn, subset
from glofnd.parameters import REQUIRED, Range, checked

__all__ = ["caltech101", "dtd", "flowers102", "food101", "oxford_pets", "stanford_cars"]

Found = tuple[list[Path], dict[str, list[int]], dict[str, list[str]]]
"""Paths, labels and class names of a split."""


def _root(path: Path, folder: str) -> Path:
    """torchvision's root, where `path` is that or the data set's folder in it."""
    return next((root for root in (path, *path.parents[:2]) if (root / folder).is_dir()), path)


def _listed(data: Any) -> Found:
    """A data set of torchvision's whose `loader` gives back the path, so that no picture is read."""
    paths, labels = zip(*(data[i] for i in range(len(data))), strict=True)
    return [Path(path) for path in paths], {"label": list(labels)}, {"label": [plain_name(n) for n in data.classes]}


def _both(one: Found, other: Found) -> Found:
    labels = {field: values + other[1][field] for field, values in one[1].items()}
    return one[0] + other[0], labels, one[2]


def _food101(path: Path, split: str) -> Found:
    from torchvision.datasets import Food101

    return _listed(Food101(_root(path, "food-101"), split, loader=str))


def _stanford_cars(path: Path, split: str) -> Found:
    from torchvision.datasets import StanfordCars

    return _listed(StanfordCars(_root(path, "stanford_cars"), split, loader=str))


def _flowers102(path: Path, split: str) -> Found:
    """The published validation pictures belong to `train`, as in `dtd`."""
    from torchvision.datasets import Flowers102

    parts = ["train", "val"] if split == "train" else ["test"]
    found = [_listed(Flowers102(_root(path, "flowers-102"), part, loader=str)) for part in parts]
    return found[0] if len(found) == 1 else _both(*found)


def _dtd(path: Path, split: str, partition: int) -> Found:
    from torchvision.datasets import DTD

    parts = ["train", "val"] if split == "train" else ["test"]
    found = [_listed(DTD(_root(path, "dtd/dtd"), part, partition, loader=str)) for part in parts]
    return found[0] if len(found) == 1 else _both(*found)


def _oxford_pets(path: Path, split: str) -> Found:
    """Breed and species. torchvision's class decodes every picture to say its label, so its lists are read here."""
    root = _root(path, "oxford-iiit-pet") / "oxford-iiit-pet"
    lists = {}
    for part, file in (("train", "trainval.txt"), ("test", "test.txt")):
        rows = [line.split() for line in (root / "annotations" / file).read_text().splitlines() if line[:1] != "#"]
        lists[part] = [(row[0], int(row[1]) - 1, int(row[2]) - 1) for row in rows if row]
    breeds = {breed: plain_name(picture.rpartition("_")[0]) for picture, breed, _ in lists["train"]}
    pictures = lists[split]
    return (
        [root / "images" / f"{picture}.jpg" for picture, _, _ in pictures],
        {"label": [breed for _, breed, _ in pictures], "species": [species for _, _, species in pictures]},
        {"label": [breeds[breed] for breed in sorted(breeds)], "species": ["cat", "dog"]},
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


def _caltech101(path: Path, split: str) -> Found:
    """All pictures: there is no published split."""
    from torchvision.datasets import Caltech101

    data = Caltech101(_root(path, "caltech101"))
    folders = [Path(data.root) / "101_ObjectCategories" / data.categories[label] for label in data.y]
    paths = [folder / f"image_{number:04d}.jpg" for folder, number in zip(folders, data.index, strict=True)]
    names = [_SPOKEN.get(category, plain_name(category)) for category in data.categories]
    return paths, {"label": data.y}, {"label": names}


def _builder(
    read: Callable[[Path, str], Found], shards: int = 32, fetched: bool = True, test_share: float | None = None
) -> Callable[..., Split]:
    """A builder of a data set's splits.

    Args:
        read: gives all that is known of a split.
        shards: default of that option.
        fetched: whether `path` may be left out.
        test_share: draw a test set of that share by `split_seed`.
    """
    number, none = shards, None if fetched else REQUIRED

    @checked
    def build(
        split: str,
        path: OwnCopy = none,  # type: ignore[assignment]
        image_size: ImageSize = 256,
        shards: Shards = number,
        split_seed: SplitSeed = 0,
        encoding: Encoding = "jpg",
        bad_samples: BadSamplesPolicy = "fail",
        max_skipped: MaxSkipped = 0.01,
        train_samples: Samples = None,
        test_samples: Samples = None,
    ) -> Split:
        paths, labels, classes = read(Path(path or ""), split)
        if test_share is None:
            chosen = subset(labels["label"], test_samples if split == "test" else train_samples, split_seed)
        else:
            test = test_samples or round(test_share * len(paths))
            chosen = drawn(labels["label"], split, train_samples, test, split_seed)
        bad = BadSamples(bad_samples, max_skipped)
        return picture_split(paths, labels, classes, chosen, image_size, encoding, bad)

    return build


food101 = _builder(_food101)
stanford_cars = _builder(_stanford_cars, fetched=False)
oxford_pets = _builder(_oxford_pets, shards=8)
flowers102 = _builder(_flowers102, shards=8)
caltech101 = _builder(_caltech101, shards=8, test_share=0.2)


@checked
def dtd(
    split: str,
    path: OwnCopy = None,
    image_size: ImageSize = 256,
    shards: Shards = 8,
    split_seed: SplitSeed = 0,
    encoding: Encoding = "jpg",
    bad_samples: BadSamplesPolicy = "fail",
    max_skipped: MaxSkipped = 0.01,
    train_samples: Samples = None,
    test_samples: Samples = None,
    partition: Annotated[int, Range(ge=1, le=10), "which published division; papers report the first"] = 1,
) -> Split:
    """Describable Textures (Cimpoi et al. 2014).

    The published validation pictures belong to `train`: hyper-parameters are chosen on parts of the training labels,
    and a probe is refitted on all of them, as in the transfer protocol of Kornblith et al. (2019).
    """
    paths, labels, classes = _dtd(Path(path or ""), split, partition)
    chosen = subset(labels["label"], test_samples if split == "test" else train_samples, split_seed)
    bad = BadSamples(bad_samples, max_skipped)
    return picture_split(paths, labels, classes, chosen, image_size, encoding, bad)
