"""Caltech-101 (Fei-Fei, Fergus, Perona 2004): 101 kinds of objects, 40 to 800 pictures of each, no published split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from glofnd.data.datasets.pictures import SUFFIXES
from glofnd.data.datasets.subsets import held_out
from glofnd.data.datasets.tree import files_split, inside, plain_name
from glofnd.data.options import BadSamplesPolicy, Encoding, ImageSize, MaxSkipped, OwnCopy, Samples, Shards, SplitSeed
from glofnd.data.split import Split
from glofnd.parameters import Range, checked

__all__ = ["caltech101"]

_NOT_A_CLASS = "BACKGROUND_Google"

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


def _build(raw: Path, split: str, parameters: dict[str, Any]) -> Split:
    """`101_ObjectCategories/<class>/image_0001.jpg ...`: a stratified test set is drawn by `split_seed`,
    by default a fifth of the pictures."""
    root = inside(inside(raw, "caltech101"), "101_ObjectCategories")
    folders = sorted(folder for folder in root.iterdir() if folder.is_dir() and folder.name != _NOT_A_CLASS)
    pictures = [sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES) for folder in folders]
    if not folders or not all(pictures):
        empty = next((folder for folder, found in zip(folders, pictures, strict=True) if not found), root)
        raise ValueError(f"{empty}: no pictures")
    labels = [label for label, found in enumerate(pictures) for _ in found]
    chosen = held_out(labels, split, parameters, parameters["test_samples"])
    names = [_SPOKEN.get(folder.name, plain_name(folder.name)) for folder in folders]
    flat = [path for found in pictures for path in found]
    return files_split(flat, {"label": labels}, {"label": names}, chosen, parameters)


@checked
def caltech101(
    split: str,
    path: OwnCopy = None,
    image_size: ImageSize = 256,
    shards: Shards = 8,
    split_seed: SplitSeed = 0,
    encoding: Encoding = "jpg",
    bad_samples: BadSamplesPolicy = "fail",
    max_skipped: MaxSkipped = 0.01,
    train_samples: Samples = None,
    test_samples: Annotated[int, Range(ge=1, le=8677), "size of the drawn test set"] = 1735,
) -> Split:
    """Caltech-101."""
    return _build(Path(path or ""), split, dict(locals()))
