"""Fashion-MNIST (Xiao, Rasul, Vollgraf 2017) from Debian's package, else from torchvision's mirror.

Debian and upstream compress the same files differently, so the pinned checksums are of the decompressed ones. They are
left where torchvision's class looks for them.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from glofnd.data.sources.archives import Archive, FetchError, download
from glofnd.data.sources.npm import run
from glofnd.files import atomic_open, sha256

__all__ = ["FILES", "FOLDER", "fetch"]

FOLDER = "FashionMNIST/raw"
FILES = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
_PACKAGE = "dataset-fashion-mnist"


def _missing(folder: Path) -> list[str]:
    return [n for n, digest in FILES.items() if not (folder / n).is_file() or sha256(folder / n) != digest]


def _store(packed: Path, target: Path) -> None:
    """Decompress one file, refusing wrong contents."""
    data = gzip.decompress(packed.read_bytes())
    if hashlib.sha256(data).hexdigest() != FILES[target.name]:
        raise FetchError(f"{target.name} is not the published file (truncated?)")
    with atomic_open(target) as handle:
        handle.write(data)


def _from_debian(folder: Path) -> None:
    """`apt-get download` with a private state and cache, so that neither root nor the system's lists are needed."""
    with tempfile.TemporaryDirectory(prefix="fashion-mnist-") as name:
        work = Path(name)
        for place in ("state/lists/partial", "cache/archives/partial", "download", "unpacked"):
            (work / place).mkdir(parents=True)
        options = ["-o", f"Dir::State={work / 'state'}", "-o", f"Dir::Cache={work / 'cache'}"]
        options += ["-o", "Debug::NoLocking=true", "-o", "APT::Sandbox::User=", "-o", "Acquire::Retries=3"]
        run(["apt-get", *options, "update"])
        run(["apt-get", *options, "download", _PACKAGE], cwd=work / "download")
        for package in (work / "download").glob("*.deb"):
            run(["dpkg-deb", "-x", str(package), str(work / "unpacked")])
        for file in _missing(folder):
            _store(work / "unpacked/usr/share/datasets/fashion-mnist" / f"{file}.gz", folder / file)


def _from_torchvision(folder: Path) -> None:
    from torchvision.datasets import FashionMNIST

    for packed, md5 in FashionMNIST.resources:
        file = packed.removesuffix(".gz")
        if file in _missing(folder):
            with tempfile.TemporaryDirectory(prefix="fashion-mnist-") as work:
                archive = Archive(f"{FashionMNIST.mirrors[0]}{packed}", f"md5:{md5}")
                _store(download(archive, Path(work)), folder / file)


def fetch(out: Path) -> dict[str, Any]:
    """Leave the four idx files in `out/FashionMNIST/raw`; files that are there with the right contents are kept.

    Raises:
        FetchError: neither Debian's package nor torchvision's mirror can be had.
    """
    folder = out / FOLDER
    if _missing(folder) and shutil.which("apt-get"):
        try:
            _from_debian(folder)
        except OSError as error:
            print(f"Debian package {_PACKAGE}: {error}\nfalling back to torchvision's mirror", file=sys.stderr)
    if _missing(folder):
        _from_torchvision(folder)
    return {"copyright": "2017 Zalando SE", "files": [f"{FOLDER}/{name}" for name in FILES]}
