"""Data sets that are files in folders: where they begin, their lists of names, and a split made of picture files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glofnd.data.bad_samples import BadSampleError, BadSamples
from glofnd.data.datasets.pictures import square_file
from glofnd.data.split import Split

__all__ = ["files_split", "inside", "plain_name", "read_lines", "read_names"]


def inside(root: Path, folder: str) -> Path:
    """`root/folder` where there is one, else `root`: a path may name a published folder or the one above it."""
    return root / folder if (root / folder).is_dir() else root


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not empty, stripped.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: naming the file, when it has none or is not UTF-8.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 ({error})") from error
    if not any(lines):
        raise ValueError(f"{path}: is empty")
    return [line for line in lines if line]


def plain_name(name: str) -> str:
    """A class name as it stands in a sentence: underscores are spaces, spaces are single."""
    return " ".join(name.replace("_", " ").split())


def read_names(path: Path) -> list[str]:
    """Class names, one a line, in the order of their numbers.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: naming the file, when it is not UTF-8, has no names, or an empty line between them, which would move
            the numbers of those below.
    """
    names = [plain_name(line) for line in read_lines(path)]
    if not all(line.strip() for line in path.read_text(encoding="utf-8-sig").strip().splitlines()):
        raise ValueError(f"{path}: has an empty line between names; remove it, or name that class")
    return names


def files_split(
    paths: Sequence[Path],
    labels: dict[str, list[int]],
    classes: dict[str, list[str]],
    chosen: npt.NDArray[np.int64],
    parameters: dict[str, Any],
) -> Split:
    """The chosen ones of picture files, made square and stored as `parameters["encoding"]`.

    Raises:
        ValueError: a picture is listed twice.
    """
    extension = parameters["encoding"]
    bad, seen = BadSamples.of(parameters), set[Path]()
    for index, position in enumerate(chosen):
        if paths[position] in seen:
            bad.meet(index, BadSampleError(paths[position], "is listed twice"))
        seen.add(paths[position])
    return Split(
        classes=classes,
        labels={field: [values[position] for position in chosen] for field, values in labels.items()},
        payloads=[paths[position] for position in chosen],
        encode=partial(square_file, parameters["image_size"], extension),
        channels=3,
        extension=extension,
        bad_samples=bad,
    )
