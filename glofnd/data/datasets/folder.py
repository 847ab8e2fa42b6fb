"""A folder per class, `path/<split>/<class>/*.jpg`: the layout of ImageNet and of torchvision's ImageFolder."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from glofnd.data.datasets.pictures import encoded
from glofnd.data.split import Split

__all__ = ["build", "read_class_list"]

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


def read_class_list(path: Path) -> dict[str, str]:
    """Folder name -> readable name, from a file with one class a line: its folder, then optionally a readable name.

    Raises:
        ValueError: naming the file and line, for a class named twice.
    """
    classes: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        folder, _, name = line.strip().partition("\t" if "\t" in line else " ")
        if folder in classes:
            raise ValueError(f"{path}: line {number}: class {folder!r} is listed twice")
        if folder:
            classes[folder] = name.strip() or folder
    if not classes:
        raise ValueError(f"{path}: lists no classes")
    return classes


def _square(size: int, encoding: str, path: Path) -> bytes:
    """The picture's central square, resized."""
    try:
        with Image.open(path) as image:
            square = ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.BICUBIC)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: does not decode ({error}); repair or remove it") from error
    return encoded(square, encoding)


def build(raw: Path | None, split: str, parameters: dict[str, Any]) -> Split:
    """One split; pictures ordered by class and file name. `raw` is not used: the files are the user's.

    Raises:
        ValueError: for a folder or class that is missing or empty.
    """
    if not parameters["path"]:
        raise ValueError("data set folder: `path` is missing; name the folder that holds the splits")
    root = Path(parameters["path"]) / parameters[split]
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder; set `path` and `{split}` of the data set")
    if parameters["class_list"]:
        classes = read_class_list(Path(parameters["class_list"]))
    else:
        classes = {folder.name: folder.name for folder in sorted(root.iterdir()) if folder.is_dir()}
    paths: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(classes):
        found = sorted(path for path in (root / folder).glob("**/*") if path.suffix.lower() in _SUFFIXES)
        if not found:
            raise ValueError(f"{root / folder}: no pictures; every class needs some in every split")
        paths += found
        labels += [label] * len(found)
    return Split(
        classes={"label": list(classes.values())},
        labels={"label": labels},
        payloads=paths,
        encode=partial(_square, parameters["image_size"], parameters["encoding"]),
        channels=3,
        extension=parameters["encoding"],
    )
