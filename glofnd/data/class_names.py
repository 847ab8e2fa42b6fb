"""Names of classes: as they stand in a sentence, and read from lists."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["number_of", "plain_name", "read_class_folders", "read_names", "require_known"]

# ImageNet's usual lists have a blank between a class's id and its name.
_WNID = re.compile(r"(n\d{8})\s+(.*)")


def plain_name(name: str) -> str:
    """A class name as it stands in a sentence: underscores are spaces, spaces are single."""
    return " ".join(name.replace("_", " ").split())


def _read(path: Path, pair: Callable[[str], tuple[str, str]]) -> dict[str, str]:
    """Key and name of each line; raises `ValueError` naming a line that is empty or whose key was there before."""
    try:
        lines = path.read_text(encoding="utf-8-sig").strip().splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 ({error})") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines or [""], start=1):
        key, name = pair(line.strip())
        if not key or key in found:
            raise ValueError(f"{path}: line {number}: {f'{key!r} stands there twice' if key else 'is empty'}")
        found[key] = name
    return found


def read_names(path: Path) -> list[str]:
    """Class names, one a line, in the order of their numbers.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: naming the line that is empty (it would move the numbers below) or there twice.
    """
    return list(_read(path, lambda line: (plain_name(line), "")))


def _folder_and_name(line: str) -> tuple[str, str]:
    wnid = _WNID.fullmatch(line)
    folder, _, name = (part.strip() for part in line.partition("\t"))
    if wnid and not name:
        folder, name = wnid.groups()
    return folder, name or folder


def read_class_folders(path: Path) -> dict[str, str]:
    """Folder -> readable name, from a file with a class a line.

    A line is a folder's whole name. With a TAB, what stands behind it is the readable name; so is what stands behind an
    id of ImageNet (`n01558993 American robin`). Errors as in `read_names`.
    """
    return _read(path, _folder_and_name)


def require_known(wanted: Iterable[str], known: Iterable[str], where: object) -> None:
    """Raises `ValueError` naming the first of `wanted` that is not `known`, and the nearest that is."""
    there = list(known)
    for name in wanted:
        if name not in there:
            near = difflib.get_close_matches(name, there, 1, 0.4)
            raise ValueError(f"{where}: has no class {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))


def number_of(names: list[str], value: object) -> int:
    """The number of the class that `value` names, by its name or else its number; 1.0 is 1.

    Raises:
        ValueError: it is neither, or another class by its name than by its number.
    """
    text = str(value).strip()
    whole = re.fullmatch(r"(\d{1,9})(\.0*)?", text)
    found = {int(whole[1])} if whole and int(whole[1]) < len(names) else set()
    if (name := plain_name(whole[1] if whole else text)) in names:
        found.add(names.index(name))
    if not found:
        raise ValueError(f"{text[:60]!r} is neither one of the {len(names)} classes nor its number")
    if len(found) > 1:
        raise ValueError(f"{text!r} is one class by its name and another by its number; rename the classes")
    return found.pop()
