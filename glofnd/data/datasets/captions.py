"""Pictures with sentences: COCO captions and Flickr30k, in the files that everybody has, and a list of the user's own.

Karpathy's JSON (Karpathy, Fei-Fei 2015) has both sets' captions and the splits that retrieval is reported on. Where two
pictures carry the same captions they are false negatives of each other: that is the label field `caption`.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from glofnd.data.dataset_options import Encoding, ImageSize, OwnFolder, PictureOptions, Shards, TestShare
from glofnd.data.manifest import NO_LABEL
from glofnd.data.split import BadSampleError, Split
from glofnd.parameters import Range

__all__ = ["CaptionList", "CocoCaptions", "Flickr30k", "caption_field", "checked_captions"]

Captioned = list[tuple[Path, list[object]]]

# A tokenizer's time for one word grows with the square of its length: here it is a second at most.
_LARGEST_CAPTION = 2**12
_NO_TEXT = re.compile("[\0\ud800-\udfff]")

# Karpathy's `restval` are the pictures of COCO's val2014 that are in neither val nor test; everybody trains on them.
_KARPATHY = {"train": {"train", "restval"}, "val": {"val"}, "test": {"test"}}


def checked_captions(texts: Iterable[object], where: object) -> list[str]:
    """The captions of one picture, each on one line with single spaces; empty ones are none.

    Raises:
        BadSampleError: one is no text, or longer than 4,096 characters, or none is left.
    """
    found = []
    for text in texts:
        if not isinstance(text, str):
            raise BadSampleError(where, f"a caption is no text but {type(text).__name__}")
        if len(text) > _LARGEST_CAPTION:
            raise BadSampleError(where, f"a caption has {len(text)} characters (at most {_LARGEST_CAPTION})")
        if _NO_TEXT.search(text):
            raise BadSampleError(where, "a caption has a zero byte or half a character in it, so it is no text")
        if line := " ".join(text.split()):
            found.append(line)
    if not found:
        raise BadSampleError(where, "the caption is empty")
    return found


def caption_field(captions: Sequence[Sequence[str]]) -> tuple[list[str], list[int]]:
    """Names and labels of the field `caption`: pictures with the same captions have the same, those without have none.

    A name is the first of the captions.
    """
    numbers: dict[str, int] = {}
    labels = [numbers.setdefault("\n".join(lines), len(numbers)) if lines else NO_LABEL for lines in captions]
    return [text.partition("\n")[0] for text in numbers], labels


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON ({error}); get it again") from error


def _karpathy(path: Path, split: str) -> Captioned:
    """Pictures and captions of one split of `dataset_coco.json` or `dataset_flickr30k.json`."""
    return [
        (Path(entry.get("filepath", ""), entry["filename"]), [sentence["raw"] for sentence in entry["sentences"]])
        for entry in _read_json(path)["images"]
        if entry["split"] in _KARPATHY[split]
    ]


def _coco(path: Path) -> Captioned:
    """Pictures and captions of `captions_{train,val}{2014,2017}.json`, captions in the order of their ids."""
    content = _read_json(path)
    found: dict[int, tuple[Path, list[object]]] = {
        entry["id"]: (Path(entry["file_name"]), []) for entry in content["images"]
    }
    for entry in sorted(content["annotations"], key=lambda entry: entry["id"]):
        found[entry["image_id"]][1].append(entry["caption"])
    return list(found.values())


def _tokens(path: Path, listing: Path) -> Captioned:
    """Flickr30k's own `results_20130124.token`, for the pictures of a list."""
    from torchvision.datasets import Flickr30k as Peer

    captions = {
        Path(name).stem: (Path(name), lines) for name, lines in Peer(path.parent, str(path)).annotations.items()
    }
    wanted = [Path(name).stem for name in listing.read_text(encoding="utf-8-sig").split()]
    if missing := [name for name in wanted if name not in captions]:
        raise ValueError(f"{path}: has no captions of {missing[0]!r}, which {listing.name} lists")
    return [captions[name] for name in wanted]


# Columns of Hugging Face's imagefolder, of open_clip, and others.
_PICTURE = ("file_name", "filepath", "filename", "image", "path")
_CAPTION = ("text", "caption", "title")


def _listed(path: Path) -> Captioned:
    """Pictures and captions of a list: CSV with a head, TSV where its name says so, or JSON lines."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            if path.suffix == ".jsonl":
                rows = [json.loads(line) for line in handle if line.strip()]
            else:
                rows = list(csv.DictReader(handle, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True))
        if long := next((row for row in rows if None in row), None):
            raise ValueError(f"more columns than in the first line: {[*long.values()]}")
    except (ValueError, csv.Error) as error:
        advice = "; captions with a separator or a quotation mark in them must be quoted" * (path.suffix != ".jsonl")
        raise ValueError(f"{path}: is no CSV, TSV (.tsv) or JSON lines (.jsonl) in UTF-8 ({error}){advice}") from error
    picture, caption = (
        next((name for name in names if rows and name in rows[0]), "") for names in (_PICTURE, _CAPTION)
    )
    if not picture or not caption:
        known = f"{', '.join(_PICTURE)}, and {', '.join(_CAPTION)}"
        raise ValueError(f"{path}: its first line names no column of pictures and one of captions; known are {known}")
    found: dict[str, list[object]] = {}
    for row in rows:
        texts = row[caption] if isinstance(row[caption], list) else [row[caption]]
        found.setdefault(row[picture], []).extend(texts)
    # A whole path counts from the list's folder on, too.
    return [(Path(os.path.relpath(path.parent / name, path.parent)), texts) for name, texts in found.items()]


CaptionsPerPicture = Annotated[int | None, Range(ge=1), "the first so many are kept; null keeps all"]


@dataclass(frozen=True)
class Captions(PictureOptions):
    """Pictures with sentences, as an annotation file lists them."""

    path: OwnFolder = field()

    def _captioned(self, split: str, most: int | None, file: Path, images: Path, read: Any, *more: Any) -> Split:
        try:
            found = sorted(read(file, *more), key=lambda picture: images / picture[0])
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"{file}: is not in its published form ({type(error).__name__}: {error})") from error
        if not found:
            raise ValueError(f"{file}: has no pictures of the split {split!r}")
        bad, captions = self.bad(), list[list[str]]()
        for index, (path, texts) in enumerate(found):
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"{file}: the file name {str(path)!r} is refused; it must lie below {images}")
            captions.append([])
            try:
                captions[index] = checked_captions(texts, f"{file}: {path.name}")[:most]
            except BadSampleError as problem:
                bad.meet(index, problem)
        names, labels = caption_field(captions)
        paths = [images / path for path, _ in found]
        return self.made_of(paths, {"caption": names}, {"caption": labels}, captions=captions, bad_samples=bad)


@dataclass(frozen=True)
class CocoCaptions(Captions):
    """COCO captions (Chen et al. 2015), by Karpathy's split or a year's own.

    `annotations: karpathy` reads `dataset_coco.json` and pictures of `train2014` and `val2014`; `2014` and `2017` read
    `annotations/captions_{train,val}<year>.json` and `{train,val}<year>`, where the test split is COCO's `val`, since
    COCO's own test captions are not published.
    """

    annotations: Annotated[Literal["karpathy", "2017", "2014"], "whose lists of pictures are read"] = "karpathy"
    captions_per_picture: CaptionsPerPicture = 5

    def _split(self, name: str) -> Split:
        most, year = self.captions_per_picture, self.annotations
        if year == "karpathy":
            return self._captioned(name, most, self.root / "dataset_coco.json", self.root, _karpathy, name)
        if name == "val":
            raise ValueError(f"COCO {year} has the splits train and test; val is of `annotations: karpathy`")
        part = f"{'train' if name == 'train' else 'val'}{year}"
        file = self.root / "annotations" / f"captions_{part}.json"
        return self._captioned(name, most, file, self.root / part, _coco)


@dataclass(frozen=True)
class Flickr30k(Captions):
    """Flickr30k (Young et al. 2014): `dataset_flickr30k.json`, or `results_20130124.token` with `<split>.txt`.

    The pictures lie in `flickr30k-images`.
    """

    annotations: Annotated[Literal["karpathy", "token"], "whose lists of pictures are read"] = "karpathy"
    captions_per_picture: CaptionsPerPicture = 5

    def _split(self, name: str) -> Split:
        most, images = self.captions_per_picture, self.root / "flickr30k-images"
        if self.annotations == "karpathy":
            return self._captioned(name, most, self.root / "dataset_flickr30k.json", images, _karpathy, name)
        file = self.root / "results_20130124.token"
        return self._captioned(name, most, file, images, _tokens, self.root / f"{name}.txt")


@dataclass(frozen=True)
class CaptionList(Captions):
    """Pictures with sentences, one of each a row of a list below `path`, which names pictures from its folder on."""

    image_size: ImageSize = 32
    shards: Shards = 8
    encoding: Encoding = "png"
    train: Annotated[str, "list of the training split: .csv, .tsv or .jsonl below `path`"] = "train.csv"
    test: Annotated[str, "list of the test split; the same as `train` divides it"] = "test.csv"
    captions_per_picture: CaptionsPerPicture = None
    test_share: TestShare = 0.2

    def _split(self, name: str) -> Split:
        file = self.root / (self.train if name == "train" else self.test)
        whole = self._captioned(name, self.captions_per_picture, file, file.parent, _listed)
        return self.divided(whole, name, self.test_share) if self.train == self.test else whole
