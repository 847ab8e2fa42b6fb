"""Fashion-MNIST (Xiao, Rasul, Vollgraf 2017) from Debian's package, else from torchvision's mirror.

Debian and upstream compress the same idx files differently, so the pinned checksums are of the decompressed files.
"""

from __future__ import annotations

import gzip
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from glofnd.data.sources.commands import FetchError, attempt, run
from glofnd.files import atomic_open, blame_storage, sha256

__all__ = ["FILES", "fetch"]

PACKAGE = "dataset-fashion-mnist"

FILES = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


def _missing(out: Path) -> list[str]:
    return [name for name, digest in FILES.items() if not (out / name).is_file() or sha256(out / name) != digest]


def _store(folder: Path, out: Path) -> None:
    """Decompress `folder/NAME.gz` into `out/NAME` for what is missing there, refusing wrong contents."""
    for name in _missing(out):
        packed = folder / f"{name}.gz"
        try:
            with gzip.open(packed) as source, atomic_open(out / name) as target:
                shutil.copyfileobj(source, target)
        except (OSError, EOFError) as error:
            blame_storage(error, out / name)
            raise FetchError(f"{packed.name} cannot be decompressed ({error})") from error
        if (found := sha256(out / name)) != FILES[name]:
            (out / name).unlink()
            raise FetchError(f"{name} has SHA-256 {found[:16]}... instead of {FILES[name][:16]}... (truncated?)")


def _from_debian(out: Path) -> None:
    """`apt-get download` with a private state and cache, so that neither root nor the system's lists are needed."""
    with tempfile.TemporaryDirectory(prefix="fashion-mnist-") as name:
        work = Path(name)
        for folder in ("state/lists/partial", "cache/archives/partial", "download", "unpacked"):
            (work / folder).mkdir(parents=True)
        options = ["-o", f"Dir::State={work / 'state'}", "-o", f"Dir::Cache={work / 'cache'}"]
        options += ["-o", "Debug::NoLocking=true", "-o", "APT::Sandbox::User=", "-o", "Acquire::http::Timeout=30"]
        run(["apt-get", *options, "update"])
        run(["apt-get", *options, "download", PACKAGE], cwd=work / "download")
        for package in (work / "download").glob("*.deb"):
            run(["dpkg-deb", "-x", str(package), str(work / "unpacked")])
        _store(work / "unpacked/usr/share/datasets/fashion-mnist", out)


def _from_torchvision(out: Path) -> None:
    program = "import sys, torchvision; torchvision.datasets.FashionMNIST(sys.argv[1], download=True)"
    with tempfile.TemporaryDirectory(prefix="fashion-mnist-") as work:
        run([sys.executable, "-c", program, work])
        _store(Path(work) / "FashionMNIST/raw", out)


def fetch(out: Path) -> dict[str, Any]:
    """Leave the four idx files in `out`; files that are there with the right contents are kept.

    Raises:
        FetchError: when neither Debian's package nor torchvision's mirror can be had.
    """
    if _missing(out) and shutil.which("apt-get") and shutil.which("dpkg-deb"):
        try:
            attempt(f"Debian package {PACKAGE}", lambda: _from_debian(out))
        except FetchError as error:
            print(f"{error}\nfalling back to torchvision's mirror", file=sys.stderr)
    if _missing(out):
        attempt("Fashion-MNIST through torchvision", lambda: _from_torchvision(out))
    return {"copyright": "2017 Zalando SE", "files": list(FILES)}
