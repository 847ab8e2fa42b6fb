"""Oxford-IIIT Pets (Parkhi et al. 2012): 37 breeds of cats and dogs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from glofnd.data.datasets.subsets import published
from glofnd.data.datasets.tree import files_split, inside, plain_name, read_lines
from glofnd.data.options import BadSamplesPolicy, Encoding, ImageSize, MaxSkipped, OwnCopy, Samples, Shards, SplitSeed
from glofnd.data.split import Split
from glofnd.parameters import checked

__all__ = ["oxford_pets"]

_LISTS = {"train": "trainval.txt", "test": "test.txt"}
_SPECIES = ["cat", "dog"]


def _listed(path: Path) -> list[tuple[str, int, int]]:
    """(picture, breed, species) of each line, numbered from 0."""
    found = []
    for number, line in enumerate(read_lines(path), start=1):
        if line.startswith("#"):
            continue
        try:
            picture, breed, species, _ = line.split()
            found.append((picture, int(breed) - 1, int(species) - 1))
        except ValueError as error:
            raise ValueError(f"{path}: line {number}: {line!r} is not `picture breed species number`") from error
    return found


def _build(raw: Path, split: str, parameters: dict[str, Any]) -> Split:
    """`annotations/{trainval,test}.txt` and `images/<breed>_<number>.jpg`; the breed is the label.

    Raises:
        ValueError: a breed without pictures in `trainval.txt`, so that it has no name, or a malformed line.
    """
    root = inside(raw, "oxford-iiit-pet")
    lists = {key: _listed(root / "annotations" / name) for key, name in _LISTS.items()}
    names = {breed: plain_name(picture.rpartition("_")[0]) for picture, breed, _ in lists["train"]}
    pictures = lists[split]
    if unnamed := sorted(({breed for _, breed, _ in pictures} | set(range(len(names)))) - names.keys()):
        raise ValueError(f"{root / 'annotations' / 'trainval.txt'}: has no picture of breed {unnamed[0] + 1}")
    labels = {
        "label": [breed for _, breed, _ in pictures],
        "species": [species for _, _, species in pictures],
    }
    return files_split(
        [root / "images" / f"{picture}.jpg" for picture, _, _ in pictures],
        labels,
        {"label": [names[breed] for breed in sorted(names)], "species": _SPECIES},
        published(labels["label"], split, parameters),
        parameters,
    )


@checked
def oxford_pets(
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
) -> Split:
    """Oxford-IIIT Pets."""
    return _build(Path(path or ""), split, dict(locals()))
