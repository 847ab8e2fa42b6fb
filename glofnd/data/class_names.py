"""Names of classes: as they stand in a sentence, and read from lists."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

__all__ = ["numbers_of", "plain_name", "read_class_folders", "read_names", "require_known"]

# ImageNet's usual lists have a blank between a class's id and its name.
_WNID = re.compile(r"(n\d{8})\s+(.*)")


def plain_name(name: str) -> str:
    """A class name as it stands in a sentence: underscores are spaces, spaces are single."""
    return " ".join(name.replace("_", " ").split())


def _lines(path: Path) -> list[str]:
    """The lines of a text file, stripped; raises `ValueError` naming one that is not UTF-8 or has none."""
    try:
        lines = path.read_text(encoding="utf-8-sig").strip().splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 ({error})") from error
    if not lines:
        raise ValueError(f"{path}: is empty")
    return [line.strip() for line in lines]


def read_names(path: Path) -> list[str]:
    """Class names, one a line, in the order of their numbers.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: naming the line that is empty (it would move the numbers below) or there twice.
    """
    names: dict[str, int] = {}
    for number, line in enumerate(_lines(path), start=1):
        name = plain_name(line)
        if not name or name in names:
            raise ValueError(f"{path}: line {number}: {f'{name!r} stands there twice' if name else 'is empty'}")
        names[name] = number
    return list(names)


def read_class_folders(path: Path) -> dict[str, str]:
    """Folder -> readable name, from a file with a class a line.

    A line is a folder's whole name. With a TAB, what stands behind it is the readable name; so is what stands behind an
    id of ImageNet (`n01558993 American robin`).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: naming the line with a class that was there before.
    """
    classes: dict[str, str] = {}
    for number, line in enumerate(_lines(path), start=1):
        wnid = _WNID.fullmatch(line)
        folder, _, name = (part.strip() for part in line.partition("\t"))
        if wnid and not name:
            folder, name = wnid.groups()
        if folder in classes:
            raise ValueError(f"{path}: line {number}: class {folder!r} is listed twice")
        if folder:
            classes[folder] = name or folder
    return classes


def require_known(wanted: Iterable[str], known: Iterable[str], where: object) -> None:
    """Raises `ValueError` naming the first of `wanted` that is not `known`, and the nearest that is."""
    there = list(known)
    for name in wanted:
        if name not in there:
            near = difflib.get_close_matches(name, there, 1, 0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(there)[:5]) or 'none'}"
            raise ValueError(f"{where}: has no class {name!r}; {hint}")


def numbers_of(names: list[str], value: object) -> int:
    """The number of the class that `value` names, by its name or else its number; 1.0 is 1.

    Raises:
        ValueError: it is neither, or another class by its name than by its number.
    """
    text = str(value).strip()
    if isinstance(value, float) and value.is_integer():
        text = str(int(value))
    whole = re.fullmatch(r"(\d{1,9})(\.0*)?", text)
    number = int(whole[1]) if whole and int(whole[1]) < len(names) else None
    named = names.index(plain_name(text)) if plain_name(text) in names else None
    if named is None and number is None:
        raise ValueError(f"{text[:60]!r} is neither one of the {len(names)} classes nor its number")
    if named is not None and number is not None and named != number:
        raise ValueError(f"{text!r} is class {named} by its name and class {number} by its number; rename the classes")
    return number if named is None else named  # type: ignore[return-value]
