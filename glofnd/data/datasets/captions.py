"""Pictures with sentences: COCO captions and Flickr30k, in the files that everybody has.

Karpathy's JSON (Karpathy, Fei-Fei 2015) has both sets' captions and the splits that retrieval is reported on. Where two
pictures carry the same captions they are false negatives of each other: that is the label field `caption`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from glofnd.data.manifest import NO_LABEL
from glofnd.data.options import BadSamplesPolicy, Encoding, ImageSize, MaxSkipped, OwnFolder, Shards, SplitSeed
from glofnd.data.picture_files import square_file
from glofnd.data.split import BadSampleError, BadSamples, Split
from glofnd.parameters import Range, checked

__all__ = ["LARGEST_CAPTION", "caption_field", "checked_captions", "coco_captions", "flickr30k"]

Captioned = list[tuple[Path, list[object]]]

LARGEST_CAPTION = 2**12
"""Characters. A tokenizer's time for one word grows with the square of its length: here it is a second at most."""
_SURROGATE = re.compile("[\ud800-\udfff]")

# Karpathy's `restval` are the pictures of COCO's val2014 that are in neither val nor test; everybody trains on them.
_KARPATHY = {"train": {"train", "restval"}, "val": {"val"}, "test": {"test"}}


def checked_captions(texts: Iterable[object], where: object) -> list[str]:
    """The captions of one picture, each on one line with single spaces; empty ones are none.

    Raises:
        BadSampleError: one is no text, or longer than `LARGEST_CAPTION`, or none is left.
    """
    found = []
    for text in texts:
        if not isinstance(text, str):
            raise BadSampleError(where, f"a caption is no text but {type(text).__name__}")
        if len(text) > LARGEST_CAPTION:
            raise BadSampleError(where, f"a caption has {len(text)} characters (at most {LARGEST_CAPTION})")
        if "\0" in text or _SURROGATE.search(text):
            raise BadSampleError(where, "a caption has a zero byte or half a character in it, so it is no text")
        if line := " ".join(text.split()):
            found.append(line)
    if not found:
        raise BadSampleError(where, "the caption is empty")
    return found


def caption_field(captions: Sequence[Sequence[str]]) -> tuple[list[str], list[int]]:
    """The label field `caption`: pictures with the same captions have the same label, those without have none.

    Returns:
        names, labels.
    """
    numbers: dict[str, int] = {}
    names: list[str] = []
    labels = []
    for lines in captions:
        if not lines:
            labels.append(NO_LABEL)
            continue
        number = numbers.setdefault("\n".join(lines), len(numbers))
        if number == len(names):
            names.append(lines[0])
        labels.append(number)
    return names, labels


def _split(
    found: Captioned, where: Path, split: str, most: int | None, image_size: int, encoding: str, bad: BadSamples
) -> Split:
    if not found:
        raise ValueError(f"{where}: has no pictures of the split {split!r}")
    found, captions = sorted(found, key=lambda picture: picture[0]), list[list[str]]()
    for index, (path, texts) in enumerate(found):
        lines = list[str]()
        try:
            lines = checked_captions(texts, f"{where}: {path.name}")
        except BadSampleError as problem:
            bad.meet(index, problem)
        captions.append(lines[:most])
    names, labels = caption_field(captions)
    return Split(
        classes={"caption": names},
        labels={"caption": labels},
        payloads=[path for path, _ in found],
        encode=partial(square_file, image_size, encoding),
        channels=3,
        captions=captions,
        extension=encoding,
        bad_samples=bad,
    )


def _safe(root: Path, name: str, where: Path) -> Path:
    """A file name from an annotation file, which must stay below `root`."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{where}: the file name {name!r} is refused")
    return root / path


def _annotations(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON ({error}); get it again") from error


def _karpathy(path: Path, images: Path, split: str) -> Captioned:
    """Pictures and captions of one split of `dataset_coco.json` or `dataset_flickr30k.json`."""
    content = _annotations(path)
    try:
        return [
            (
                _safe(images / entry.get("filepath", ""), entry["filename"], path),
                [sentence["raw"] for sentence in entry["sentences"]],
            )
            for entry in content["images"]
            if entry["split"] in _KARPATHY[split]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: is not Karpathy's format ({type(error).__name__}: {error})") from error


def _coco(path: Path, images: Path) -> Captioned:
    """Pictures and captions of `captions_{train,val}{2014,2017}.json`, captions in the order of their ids."""
    content = _annotations(path)
    try:
        names = {entry["id"]: _safe(images, entry["file_name"], path) for entry in content["images"]}
        texts: dict[int, list[object]] = {number: [] for number in names}
        for entry in sorted(content["annotations"], key=lambda entry: entry["id"]):
            texts[entry["image_id"]].append(entry["caption"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: is not COCO's caption format ({type(error).__name__}: {error})") from error
    return [(names[number], lines) for number, lines in texts.items()]


def _tokens(path: Path, listing: Path, images: Path) -> Captioned:
    """Flickr30k's own `results_20130124.token`, for the pictures of a list."""
    from torchvision.datasets import Flickr30k

    captions = {Path(name).stem: (name, lines) for name, lines in Flickr30k(images, str(path)).annotations.items()}
    wanted = [Path(name).stem for name in listing.read_text(encoding="utf-8").split()]
    if missing := [name for name in wanted if name not in captions]:
        raise ValueError(f"{path}: has no captions of {missing[0]!r}, which {listing.name} lists")
    return [(_safe(images, captions[name][0], path), captions[name][1]) for name in wanted]


CaptionsPerPicture = Annotated[int | None, Range(ge=1), "the first so many are kept; null keeps all"]


@checked
def coco_captions(
    split: str,
    path: OwnFolder,
    image_size: ImageSize = 256,
    shards: Shards = 32,
    split_seed: SplitSeed = 0,
    encoding: Encoding = "jpg",
    bad_samples: BadSamplesPolicy = "fail",
    max_skipped: MaxSkipped = 0.01,
    annotations: Annotated[Literal["karpathy", "2017", "2014"], "whose lists of pictures are read"] = "karpathy",
    captions_per_picture: CaptionsPerPicture = 5,
) -> Split:
    """COCO captions (Chen et al. 2015), by Karpathy's split or a year's own.

    `annotations: karpathy` reads `dataset_coco.json` and pictures of `train2014` and `val2014`; `2014` and `2017` read
    `annotations/captions_{train,val}<year>.json` and `{train,val}<year>`, where the test split is COCO's `val`, since
    COCO's own test captions are not published.
    """
    if annotations == "karpathy":
        file = Path(path) / "dataset_coco.json"
        found = _karpathy(file, Path(path), split)
    elif split == "val":
        raise ValueError(f"COCO {annotations} has the splits train and test; val is of `annotations: karpathy`")
    else:
        part = f"{'train' if split == 'train' else 'val'}{annotations}"
        file = Path(path) / "annotations" / f"captions_{part}.json"
        found = _coco(file, Path(path) / part)
    bad = BadSamples(bad_samples, max_skipped)
    return _split(found, file, split, captions_per_picture, image_size, encoding, bad)


@checked
def flickr30k(
    split: str,
    path: OwnFolder,
    image_size: ImageSize = 256,
    shards: Shards = 32,
    split_seed: SplitSeed = 0,
    encoding: Encoding = "jpg",
    bad_samples: BadSamplesPolicy = "fail",
    max_skipped: MaxSkipped = 0.01,
    annotations: Annotated[Literal["karpathy", "token"], "whose lists of pictures are read"] = "karpathy",
    captions_per_picture: CaptionsPerPicture = 5,
) -> Split:
    """Flickr30k (Young et al. 2014): `dataset_flickr30k.json`, or `results_20130124.token` with `<split>.txt`.

    The pictures lie in `flickr30k-images`.
    """
    images = Path(path) / "flickr30k-images"
    if annotations == "karpathy":
        file = Path(path) / "dataset_flickr30k.json"
        found = _karpathy(file, images, split)
    else:
        file = Path(path) / "results_20130124.token"
        found = _tokens(file, Path(path) / f"{split}.txt", images)
    bad = BadSamples(bad_samples, max_skipped)
    return _split(found, file, split, captions_per_picture, image_size, encoding, bad)
