"""Typefaces under free licences: one npm package `@fontsource/<family>` each, pinned in typefaces.txt.

Of each, the Latin subset of up to five upright weights is kept, with the licence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from glofnd.data.sources.npm import Package, fetch_packages

__all__ = ["Typeface", "fetch", "typefaces"]

_TABLE = Path(__file__).with_suffix(".txt")
_VERSION = "5.3.0"


@dataclass(frozen=True)
class Typeface:
    """One family: as its package is named, of which kind (serif, sans, ...), and its weights (400 is regular).

    Nothing is trained on those whose `split` is test; `licence` is an SPDX identifier, `integrity` npm's.
    """

    family: str
    kind: str
    split: str
    licence: str
    weights: tuple[int, ...]
    integrity: str

    @property
    def package(self) -> Package:
        """The npm package."""
        members = {f"package/files/{self.family}-latin-{w}-normal.woff": f"{w}.woff" for w in self.weights}
        members["package/LICENSE"] = "LICENSE"
        return Package(f"@fontsource/{self.family}", _VERSION, self.integrity, members)

    @property
    def regular(self) -> int:
        """Weight 400, or the one closest to it."""
        return min(self.weights, key=lambda weight: abs(weight - 400))

    def file(self, weight: int) -> str:
        """Path of a weight's font below the folder of the source."""
        return f"{self.family}/{weight}.woff"


@cache
def typefaces() -> tuple[Typeface, ...]:
    """All families, in the order of the table: of those to train on, the first have several weights."""
    lines = [line.split() for line in _TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return tuple(
        Typeface(family, kind, split, licence, tuple(int(weight) for weight in weights.split(",")), integrity)
        for family, kind, split, licence, weights, integrity in lines
    )


def _copyright(licence: Path) -> str:
    """The first holder that a licence's text names; "" where it names none."""
    lines = (line.strip() for line in licence.read_text(encoding="utf-8", errors="replace").splitlines())
    line = next((line for line in lines if line.lower().startswith("copyright")), "")
    return re.split(r" \S+\.ttf: ", line)[0]


def fetch(out: Path) -> dict[str, Any]:
    """Leave `out/<family>/<weight>.woff` and `out/<family>/LICENSE` of every family.

    Raises:
        FetchError: naming the packages that cannot be had; those fetched before are kept.
    """
    stated = fetch_packages({face.family: face.package for face in typefaces()}, out)
    files, licences = stated.pop("files"), {}
    for face in typefaces():
        licences[face.family] = {"licence": face.licence, "copyright": _copyright(out / face.family / "LICENSE")}
    return {**stated, "licences": licences, "files": files}
