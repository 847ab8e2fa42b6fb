"""What tells that files of the user's own have changed since shards were made of them."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from glofnd.data.datasets.folder import foreign
from glofnd.files import sha256

__all__ = ["fingerprint"]


def fingerprint(folder: Path, listed: str | None = None, beside: Iterable[str] = ()) -> str:
    """Number and bytes of all files below `folder`, and a hash of their names, sizes and times; it opens none.

    Links are followed. Hidden files and those of other programs are no part of a data set.

    Args:
        folder: of the data set.
        listed: file whose content counts, too.
        beside: folders that are no part of it, should they lie in it.
    """
    found, files, size = hashlib.sha256(), 0, 0
    # What is not entered (again).
    seen = {_identity(Path(path)) for path in beside if Path(path).exists()} - {_identity(folder)}
    below = [""]
    while below:
        prefix = below.pop()
        here = folder / prefix
        if _identity(here) in seen:
            continue
        seen.add(_identity(here))
        with os.scandir(here) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                name, known = prefix + entry.name, ""
                if foreign(entry.name):
                    continue
                # A link to itself is neither, and no data.
                with contextlib.suppress(OSError):
                    if entry.is_dir():
                        below.append(f"{name}/")
                    elif entry.is_file():
                        stat = entry.stat()
                        files, size, known = files + 1, size + stat.st_size, f"{stat.st_size} {stat.st_mtime_ns}"
                found.update(os.fsencode(f"{name}\n{known}\n"))
    if listed is not None:
        found.update(sha256(listed).encode())
    return f"{files:,} files, {size:,} bytes, {found.hexdigest()[:16]}"


def _identity(folder: Path) -> tuple[int, int]:
    stat = folder.stat()
    return stat.st_dev, stat.st_ino
