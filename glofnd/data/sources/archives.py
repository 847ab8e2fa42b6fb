"""Published archives, fetched by pooch with pinned checksums and unpacked to the layout that torchvision reads.

CIFAR is fetched in its binary version: the Python version is a pickle, and unpickling runs whatever it contains.
"""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ARCHIVES", "Archive", "FetchError", "download", "fetcher", "table"]


class FetchError(OSError):
    """Something could not be fetched; the message names it."""


@dataclass(frozen=True)
class Archive:
    """One published file.

    Attributes:
        url, checksum: where it is, and its SHA-256 (`md5:` and an MD5 where that is what is published).
        folder: where its content belongs, below the folder of the source.
        inner: member of a zip that is itself the archive to unpack.
    """

    url: str
    checksum: str
    folder: str = ""
    inner: str | None = None


def table(name: str) -> list[list[str]]:
    """Rows of a table beside this file."""
    lines = Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines()
    return [line.split() for line in lines if not line.startswith("#")]


ARCHIVES: dict[str, list[Archive]] = {}
"""Source -> what it consists of."""
for _source, _folder, _checksum, _url, *_inner in table("archives.txt"):
    ARCHIVES.setdefault(_source, []).append(Archive(_url, _checksum, _folder, *_inner))


def download(archive: Archive, folder: Path) -> Path:
    """The verified file in `folder`; one that is there and right is kept.

    Raises:
        FetchError: naming the address, after three attempts.
        OSError: it cannot be written.
    """
    import pooch

    name = archive.url.rsplit("/", 1)[-1]
    known = {"registry": {name: archive.checksum}, "urls": {name: archive.url}}
    downloads = pooch.create(folder, base_url="", retry_if_failed=2, **known)
    try:
        return Path(downloads.fetch(name, downloader=pooch.HTTPDownloader(progressbar=True, timeout=60)))
    except (
        OSError,
        ValueError,
    ) as error:  # requests' errors are OSErrors without a number; a wrong checksum: ValueError
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(folder / name)) from error
        raise FetchError(f"{archive.url}: {error}; what is fetched already is kept, run again") from error


def _unpack(archive: Archive, path: Path, out: Path) -> None:
    """Unpack a tar (its members must stay below `out`), or copy what is none."""
    out.mkdir(parents=True, exist_ok=True)
    if archive.inner is not None:
        with zipfile.ZipFile(path) as outer:
            path = Path(outer.extract(archive.inner, path.parent))
    try:
        if path.name.endswith((".tar.gz", ".tgz")):
            shutil.unpack_archive(path, out, filter="data")
        else:
            shutil.copyfile(path, out / path.name)
    except tarfile.TarError as error:
        raise FetchError(f"{path}: cannot be unpacked ({error}); delete it and run again") from error


def fetcher(name: str) -> Callable[[Path], dict[str, Any]]:
    """A function that leaves the archives of a source in `out/archives` and what they hold in `out`."""

    def fetch(out: Path) -> dict[str, Any]:
        for archive in ARCHIVES[name]:
            _unpack(archive, download(archive, out / "archives"), out / archive.folder)
        files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
        return {"archives": [archive.url for archive in ARCHIVES[name]], "files": files}

    return fetch
