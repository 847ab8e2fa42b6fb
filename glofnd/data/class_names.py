"""Names of classes: as they stand in a sentence, and read from lists."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Container, Iterable
from pathlib import Path

__all__ = ["plain_name", "read_class_folders", "read_names", "reader_of_labels", "require_known"]

# ImageNet's usual lists have a blank between a class's id and its name.
_WNID = re.compile(r"(n\d{8})\s+(.*)")
# A whole number, also as a column with gaps is written (1.0) or with zeros before it.
_WHOLE = re.compile(r"0*(\d{1,18})(\.0*)?")


def plain_name(name: str) -> str:
    """A class name as it stands in a sentence: underscores are spaces, spaces are single."""
    return " ".join(name.replace("_", " ").split())


def _read(path: Path, pair: Callable[[str], tuple[str, str]]) -> dict[str, str]:
    """Key and name of each line; raises `ValueError` naming a line that is empty or whose key was there before."""
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 ({error})") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
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


def read_class_folders(path: Path, there: Container[str] = ()) -> dict[str, str]:
    """Folder -> readable name, from a file with a class a line.

    A line is a folder's whole name. With a TAB, what stands behind it is the readable name; so is what stands behind an
    id of ImageNet (`n01558993 American robin`), unless the whole is a folder that is `there`. Errors as in
    `read_names`.
    """

    def pair(line: str) -> tuple[str, str]:
        folder, _, name = (part.strip() for part in line.partition("\t"))
        if line not in there and not name and (wnid := _WNID.fullmatch(line)):
            folder, name = wnid.groups()
        return folder, name or folder

    return _read(path, pair)


def require_known(wanted: Iterable[str], known: Iterable[str], where: object) -> None:
    """Raises `ValueError` naming the first of `wanted` that is not `known`, and the nearest that is."""
    there = list(known)
    for name in wanted:
        if name not in there:
            near = difflib.get_close_matches(name, there, 1, 0.4)
            raise ValueError(f"{where}: has no class {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))


def reader_of_labels(names: list[str]) -> Callable[[object], int]:
    """A function from what a sample states, a class's name or its number, to the number.

    Equal whole numbers are one name: 7, 07 and 7.0. The function raises `ValueError` for what is neither, and for what
    is one class by its name and another by its number.
    """

    def key(text: str) -> str:
        whole = _WHOLE.fullmatch(text)
        return whole[1] if whole else plain_name(text)

    exact = {name: number for number, name in enumerate(names)}
    numbers: dict[str, set[int]] = {}
    for name, number in exact.items():
        numbers.setdefault(key(name), set()).add(number)

    def number_of(value: object) -> int:
        text = str(value).strip()
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise ValueError(f"{text[:60]!r} is no class but {type(value).__name__}")
        name = plain_name(text)
        found = {exact[name]} if name in exact else set(numbers.get(key(text), ()))
        if _WHOLE.fullmatch(text) and int(key(text)) < len(names):
            found.add(int(key(text)))
        if not found:
            raise ValueError(f"{text[:60]!r} is neither one of the {len(names)} classes nor its number")
        if len(found) > 1:
            read = " or ".join(f"{number} ({names[number]!r})" for number in sorted(found))
            raise ValueError(f"{text!r} may be class {read}, by its name or its number; rename the classes")
        return found.pop()

    return number_of
