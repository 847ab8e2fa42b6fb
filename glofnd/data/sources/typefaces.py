"""Typefaces under free licences: one npm package `@fontsource/<family>` each, pinned in typefaces.txt.

Of each, the Latin subset of up to five upright weights is kept, with the licence.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from glofnd.data.sources.commands import FetchError, run
from glofnd.data.sources.npm import Package, fetch_package, integrity, npm_command, unpack
from glofnd.files import atomic_open
from glofnd.progress import progress

__all__ = ["Typeface", "fetch", "typefaces"]

_TABLE = Path(__file__).with_suffix(".txt")
_VERSION = "5.3.0"
_TOGETHER = 18


@dataclass(frozen=True)
class Typeface:
    """One family.

    Attributes:
        family: name, as in its package's.
        kind: serif, sans, slab, mono, script, display or pixel.
        split: train, or test for those that nothing is trained on.
        licence: SPDX identifier.
        weights: from thin (100) to black (900); 400 is regular.
        integrity: npm's, of the package's tarball.
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
        return Package(f"@fontsource/{self.family}", _VERSION, self.integrity)

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


def _download_together(packages: Sequence[Package], folder: Path) -> None:
    """Fetch several packages with one npm, which takes a sixth of the time; what does not come is left out."""
    with tempfile.TemporaryDirectory(prefix="npm-pack-") as name:
        specs = [f"{package.name}@{package.version}" for package in packages]
        with suppress(FetchError):
            run([*npm_command(), "pack", *specs, "--pack-destination", name, "--ignore-scripts", "--loglevel=error"])
        for package in packages:
            tarball = Path(name) / package.tarball
            if tarball.is_file() and integrity(tarball) == package.integrity:
                with tarball.open("rb") as source, atomic_open(folder / package.tarball) as target:
                    shutil.copyfileobj(source, target)


def _download(packages: Sequence[Package], folder: Path) -> None:
    """Fetch what is not in `folder` yet, some packages together."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [package for package in packages if not (folder / package.tarball).is_file()]
    groups = [missing[first : first + _TOGETHER] for first in range(0, len(missing), _TOGETHER)]
    with ThreadPoolExecutor(4) as pool:
        done = pool.map(lambda group: _download_together(group, folder), groups)
        for _ in progress(done, len(groups), "fetching typefaces", "parts"):
            pass


def fetch(out: Path) -> dict[str, Any]:
    """Leave `out/<family>/<weight>.woff` and `out/<family>/LICENSE` of every family, checked against its integrity.

    Raises:
        FetchError: naming the package that cannot be had; those fetched before it are kept.
    """
    families = typefaces()
    _download([face.package for face in families], out / "tarballs")
    for face in families:
        members = {f"package/files/{face.family}-latin-{w}-normal.woff": f"{w}.woff" for w in face.weights}
        tarball = fetch_package(face.package, out / "tarballs")
        unpack(tarball, {**members, "package/LICENSE": "LICENSE"}, out / face.family)
    return {
        "origin": "npm",
        "packages": {
            face.family: {"name": face.package.name, "version": _VERSION, "integrity": face.integrity}
            for face in families
        },
        "licences": {
            face.family: {"licence": face.licence, "copyright": _copyright(out / face.family / "LICENSE")}
            for face in families
        },
        "files": [
            file
            for face in families
            for file in (
                f"tarballs/{face.package.tarball}",
                f"{face.family}/LICENSE",
                *(face.file(weight) for weight in face.weights),
            )
        ],
    }
