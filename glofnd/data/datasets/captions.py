"""Pictures with sentences: COCO captions and Flickr30k, in the files that everybody has.

Karpathy's JSON (Karpathy, Fei-Fei 2015) has both sets' captions and the splits that retrieval is reported on. Where two
pictures carry the same captions they are false negatives of each other: that is the label field `caption`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from glofnd.data.datasets.pictures import square_file
from glofnd.data.datasets.tree import inside, read_lines
from glofnd.data.split import Split
from glofnd.files import read_json

__all__ = ["caption_field", "coco_captions", "flickr30k", "lines_of"]

Captioned = list[tuple[Path, list[str]]]

# Karpathy's `restval` are the pictures of COCO's val2014 that are in neither val nor test; everybody trains on them.
_KARPATHY = {"train": {"train", "restval"}, "val": {"val"}, "test": {"test"}}


def lines_of(text: str) -> list[str]:
    """The captions in a text, one a line, with single spaces; empty lines are none."""
    return [line for part in text.split("\n") if (line := " ".join(part.split()))]


def caption_field(captions: Sequence[Sequence[str]]) -> tuple[list[str], list[int]]:
    """The label field `caption`: pictures with the same captions have the same label. (names, labels)."""
    numbers: dict[str, int] = {}
    names: list[str] = []
    labels = []
    for lines in captions:
        number = numbers.setdefault("\n".join(lines), len(numbers))
        if number == len(names):
            names.append(lines[0])
        labels.append(number)
    return names, labels


def _split(found: Captioned, where: Path, split: str, parameters: dict[str, Any]) -> Split:
    if not found:
        raise ValueError(f"{where}: has no pictures of the split {split!r}")
    found = sorted(found)
    captions = [lines[: parameters["captions_per_picture"]] for _, lines in found]
    for (path, _), lines in zip(found, captions, strict=True):
        if not lines:
            raise ValueError(f"{where}: no caption for {path.name}")
    names, labels = caption_field(captions)
    return Split(
        classes={"caption": names},
        labels={"caption": labels},
        payloads=[path for path, _ in found],
        encode=partial(square_file, parameters["image_size"], parameters["encoding"]),
        channels=3,
        captions=captions,
        extension=parameters["encoding"],
    )


def _cleaned(texts: Iterable[Any]) -> list[str]:
    return [" ".join(text.split()) for text in texts if isinstance(text, str) and text.strip()]


def _safe(root: Path, name: object, where: Path) -> Path:
    """A file name from an annotation file, which must stay below `root`."""
    path = Path(str(name))
    if not isinstance(name, str) or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{where}: the file name {name!r} is refused")
    return root / path


def _karpathy(path: Path, images: Path, split: str) -> Captioned:
    """Pictures and captions of one split of `dataset_coco.json` or `dataset_flickr30k.json`."""
    content = read_json(path)
    try:
        return [
            (
                _safe(images / entry.get("filepath", ""), entry["filename"], path),
                _cleaned(sentence["raw"] for sentence in entry["sentences"]),
            )
            for entry in content["images"]
            if entry["split"] in _KARPATHY[split]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: is not Karpathy's format ({type(error).__name__}: {error})") from error


def _coco(path: Path, images: Path) -> Captioned:
    """Pictures and captions of `captions_{train,val}{2014,2017}.json`, captions in the order of their ids."""
    content = read_json(path)
    try:
        names = {entry["id"]: _safe(images, entry["file_name"], path) for entry in content["images"]}
        texts: dict[int, list[str]] = {number: [] for number in names}
        for entry in sorted(content["annotations"], key=lambda entry: entry["id"]):
            texts[entry["image_id"]] += _cleaned([entry["caption"]])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: is not COCO's caption format ({type(error).__name__}: {error})") from error
    return [(names[number], lines) for number, lines in texts.items()]


def coco_captions(raw: Path, split: str, parameters: dict[str, Any]) -> Split:
    """COCO captions (Chen et al. 2015), by Karpathy's split or a year's own.

    `annotations: karpathy` reads `dataset_coco.json` and pictures of `train2014` and `val2014`; `2014` and `2017` read
    `annotations/captions_{train,val}<year>.json` and `{train,val}<year>`, where the test split is COCO's `val`, since
    COCO's own test captions are not published.
    """
    kind = parameters["annotations"]
    if kind == "karpathy":
        path = raw / "dataset_coco.json"
        return _split(_karpathy(path, raw, split), path, split, parameters)
    if split == "val":
        raise ValueError(f"COCO {kind} has the splits train and test; val is of `annotations: karpathy`")
    part = f"{'train' if split == 'train' else 'val'}{kind}"
    path = raw / "annotations" / f"captions_{part}.json"
    return _split(_coco(path, raw / part), path, split, parameters)


def _tokens(path: Path, listing: Path, images: Path) -> Captioned:
    """Flickr30k's own `results_20130124.token` (`<file>#<n> TAB <caption>`), for the pictures of a list."""
    wanted = {Path(name).stem for name in read_lines(listing)}
    texts: dict[str, list[str]] = {}
    for number, line in enumerate(read_lines(path), start=1):
        name, tab, caption = line.partition("\t")
        file, mark, _ = name.rpartition("#")
        if not tab or not mark:
            raise ValueError(f"{path}: line {number}: {line[:60]!r} is not `<file>#<number> TAB <caption>`")
        if Path(file).stem in wanted:
            texts.setdefault(file, []).extend(lines_of(caption))
    if missing := sorted(wanted - {Path(file).stem for file in texts}):
        raise ValueError(f"{path}: has no captions of {missing[0]!r}, which {listing.name} lists")
    return [(_safe(images, file, path), lines) for file, lines in texts.items()]


def flickr30k(raw: Path, split: str, parameters: dict[str, Any]) -> Split:
    """Flickr30k (Young et al. 2014): `dataset_flickr30k.json`, else `results_20130124.token` with `<split>.txt`.

    The pictures lie in `flickr30k-images`.
    """
    images = inside(raw, "flickr30k-images")
    token = raw / "results_20130124.token"
    if parameters["annotations"] == "token":
        return _split(_tokens(token, raw / f"{split}.txt", images), token, split, parameters)
    path = raw / "dataset_flickr30k.json"
    return _split(_karpathy(path, images, split), path, split, parameters)
