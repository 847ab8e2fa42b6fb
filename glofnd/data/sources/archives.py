"""Published archives, fetched by pooch with pinned checksums and unpacked to the layout that torchvision reads.

SHA-256 as in TensorFlow Datasets (url_checksums/). CIFAR is fetched in its binary version: the Python version is a
pickle, and unpickling runs whatever it contains.
"""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glofnd.data.sources.commands import FetchError
from glofnd.files import blame_storage

__all__ = ["ARCHIVES", "Archive", "download", "fetcher"]

_ARCHIVES = "archives"


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

    @property
    def file(self) -> str:
        """Its file name."""
        return self.url.rsplit("/", 1)[-1]


_TORONTO = "https://www.cs.toronto.edu/~kriz"
_OXFORD = "https://www.robots.ox.ac.uk/~vgg/data"

ARCHIVES: dict[str, list[Archive]] = {
    "cifar10": [
        Archive(
            f"{_TORONTO}/cifar-10-binary.tar.gz", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
        )
    ],
    "cifar100": [
        Archive(
            f"{_TORONTO}/cifar-100-binary.tar.gz", "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"
        )
    ],
    "food101": [
        Archive(
            "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",
            "d97d15e438b7f4498f96086a4f7e2fa42a32f2712e87d3295441b2b6314053a4",
        )
    ],
    "dtd": [
        Archive(
            f"{_OXFORD}/dtd/download/dtd-r1.0.1.tar.gz",
            "e42855a52a4950a3b59612834602aa253914755c95b0cff9ead6d07395f8e205",
            "dtd",
        )
    ],
    "oxford-pets": [
        Archive(
            f"{_OXFORD}/pets/data/images.tar.gz",
            "67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
            "oxford-iiit-pet",
        ),
        Archive(
            f"{_OXFORD}/pets/data/annotations.tar.gz",
            "52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
            "oxford-iiit-pet",
        ),
    ],
    "flowers102": [
        Archive(
            f"{_OXFORD}/flowers/102/102flowers.tgz",
            "2d01ecc807db462958cfe3d92f57a8c252b4abd240eb955770201e45f783b246",
            "flowers-102",
        ),
        Archive(
            f"{_OXFORD}/flowers/102/imagelabels.mat",
            "4903e94206bac23bf772aadf06451916df56b58fc483a62db32a97b82656651d",
            "flowers-102",
        ),
        Archive(
            f"{_OXFORD}/flowers/102/setid.mat",
            "46b8678f91fd95d3c8f4feab80d271a6c834a1dd896fe29fd3e6ad9ce5c8dccd",
            "flowers-102",
        ),
    ],
    "caltech101": [
        Archive(
            "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
            "331234750fc7f77520e50d9565e8b6907b03565e30320da1401130db08c61f91",
            "caltech101",
            "caltech-101/101_ObjectCategories.tar.gz",
        )
    ],
}


def download(archive: Archive, folder: Path) -> Path:
    """The verified file in `folder`; one that is there and right is kept.

    Raises:
        FetchError: naming the address, after three attempts.
    """
    import pooch

    downloads = pooch.create(
        folder,
        base_url="",
        registry={archive.file: archive.checksum},
        urls={archive.file: archive.url},
        retry_if_failed=2,
    )
    try:
        return Path(downloads.fetch(archive.file, downloader=pooch.HTTPDownloader(progressbar=True, timeout=60)))
    except (OSError, ValueError) as error:  # requests' errors are OSErrors; a wrong checksum is a ValueError
        blame_storage(error, folder / archive.file)
        raise FetchError(f"{archive.url}: {error}; what is fetched already is kept, run again") from error


def _unpack(archive: Archive, path: Path, out: Path) -> None:
    """Unpack a tar (its members must stay below `out`), or copy what is none."""
    out.mkdir(parents=True, exist_ok=True)
    try:
        if archive.inner is not None:
            with zipfile.ZipFile(path) as outer:
                path = Path(outer.extract(archive.inner, path.parent))
        if path.name.endswith((".tar.gz", ".tgz")):
            shutil.unpack_archive(path, out, filter="data")
        else:
            shutil.copyfile(path, out / path.name)
    except (tarfile.TarError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
        blame_storage(error, out)
        raise FetchError(f"{path}: cannot be unpacked ({error}); delete it and run again") from error


def fetcher(name: str) -> Callable[[Path], dict[str, Any]]:
    """A function that leaves the archives of a source in `out/archives` and what they hold in `out`."""

    def fetch(out: Path) -> dict[str, Any]:
        for archive in ARCHIVES[name]:
            _unpack(archive, download(archive, out / _ARCHIVES), out / archive.folder)
        files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
        return {"archives": [archive.url for archive in ARCHIVES[name]], "files": files}

    return fetch
