import base64
import gzip
import hashlib
import http.server
import io
import os
import re
import stat
import sys
import tarfile
import threading
import zipfile

import numpy as np
import pytest
from test_published_sets import idx

from glofnd.data import fetch
from glofnd.data.sources import archives, fashion_mnist, npm
from glofnd.data.sources.archives import ARCHIVES, Archive, FetchError
from glofnd.files import read_json, sha256


def tarball(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """An `npm` on PATH that packs what a folder has of what is asked for."""
    served, program = tmp_path / "served", tmp_path / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(
        f"""#!{sys.executable}
import pathlib, shutil, sys
served, out = pathlib.Path({str(served)!r}), sys.argv[sys.argv.index("--pack-destination") + 1]
specs = sys.argv[2:sys.argv.index("--pack-destination")]
names = [spec[1:].replace("/", "-").replace("@", "-") + ".tgz" for spec in specs]
for name in (name for name in names if (served / name).is_file()):
    shutil.copy(served / name, out)
if not all((served / name).is_file() for name in names):
    sys.exit("npm error code E404 at https://me:secret@registry")
"""
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    return served


def package(served, name):
    path = tarball(served / f"it-{name}-1.0.0.tgz", {"package/it.txt": name.encode(), "../evil": b"x"})
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    return npm.Package(f"@it/{name}", "1.0.0", integrity, {"package/it.txt": "kept.txt"})


def test_npm_packages_are_pinned_and_a_new_call_goes_on(registry, tmp_path):
    packages, out = {name: package(registry, name) for name in ("a", "b", "c")}, tmp_path / "out"
    hidden = (registry / "it-b-1.0.0.tgz").rename(tmp_path / "hidden")
    with pytest.raises(
        FetchError, match=r"@it/b@1\.0\.0 could not be fetched as pinned .*E404 at https://\*\*\*@regis"
    ):
        npm.fetch_packages(packages, out)
    (registry / "it-a-1.0.0.tgz").write_bytes(b"another one")
    hidden.rename(registry / "it-b-1.0.0.tgz")
    stated = npm.fetch_packages(packages, out)
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == set(stated["files"])
    assert (out / "b/kept.txt").read_text() == "b" and not (tmp_path / "evil").exists()
    assert stated["packages"]["c"]["integrity"] == packages["c"].integrity
    (out / "tarballs/it-a-1.0.0.tgz").write_bytes(b"damaged")
    with pytest.raises(FetchError, match=r"@it/a@1\.0\.0"):
        npm.fetch_packages(packages, out)


@pytest.fixture
def server(tmp_path):
    """Serves a folder on this machine."""
    (tmp_path / "www").mkdir()
    handler = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *arguments: None})
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *arguments: handler(*arguments, directory=tmp_path / "www")
    ) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield tmp_path / "www", f"http://127.0.0.1:{found.server_port}"
        found.shutdown()


@pytest.fixture
def no_pause(monkeypatch):
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)


def test_archives_are_unpacked_to_their_folders(server, tmp_path, monkeypatch):
    www, address = server
    tarball(www / "one.tar.gz", {"pictures/a.jpg": b"a"})
    inner = tarball(tmp_path / "inner.tar.gz", {"101/b.jpg": b"b"})
    with zipfile.ZipFile(www / "two.zip", "w") as outer:
        outer.write(inner, "x/inner.tar.gz")
    (www / "labels.mat").write_bytes(b"labels")
    published = [
        Archive(f"{address}/one.tar.gz", sha256(www / "one.tar.gz"), "flowers"),
        Archive(f"{address}/two.zip", sha256(www / "two.zip"), "", "x/inner.tar.gz"),
        Archive(f"{address}/labels.mat", sha256(www / "labels.mat"), "flowers"),
    ]
    monkeypatch.setitem(ARCHIVES, "dtd", published)
    fetch("dtd", tmp_path / "out")
    for path, data in (("flowers/pictures/a.jpg", b"a"), ("101/b.jpg", b"b"), ("flowers/labels.mat", b"labels")):
        assert (tmp_path / "out" / path).read_bytes() == data
        assert read_json(tmp_path / "out/source.json")["sha256"][path] == hashlib.sha256(data).hexdigest()


@pytest.mark.usefixtures("no_pause")
def test_an_archive_that_is_not_the_published_one_is_refused(server, tmp_path):
    www, address = server
    (www / "it.tar.gz").write_bytes(b"another")
    with pytest.raises(FetchError, match=r"/it\.tar\.gz: .*[Hh]ash.*run again"):
        archives.download(Archive(f"{address}/it.tar.gz", "0" * 64), tmp_path / "out")
    with pytest.raises(FetchError, match=r"/gone\.tar\.gz: .*404"):
        archives.download(Archive(f"{address}/gone.tar.gz", "0" * 64), tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


@pytest.mark.usefixtures("no_pause")
def test_members_stay_in_the_folder(server, tmp_path, monkeypatch):
    www, address = server
    tarball(www / "it.tar.gz", {"../../evil": b"x"})
    monkeypatch.setitem(ARCHIVES, "dtd", [Archive(f"{address}/it.tar.gz", sha256(www / "it.tar.gz"))])
    with pytest.raises(FetchError, match=r"cannot be unpacked .*outside the destination"):
        fetch("dtd", tmp_path / "out")
    assert not (tmp_path / "evil").exists() and not (tmp_path / "out/source.json").exists()


def test_fashion_mnist_from_debian_or_else_torchvision(server, tmp_path, monkeypatch):
    www, address = server
    files = {}
    for part, count in (("train", 60), ("t10k", 30)):
        files[f"{part}-images-idx3-ubyte"] = idx(np.zeros((count, 28, 28)))
        files[f"{part}-labels-idx1-ubyte"] = idx(np.arange(count) % 10)
    for name, data in files.items():
        (www / f"{name}.gz").write_bytes(gzip.compress(data))
    monkeypatch.setattr(fashion_mnist, "FILES", {n: hashlib.sha256(data).hexdigest() for n, data in files.items()})
    packed = [(f"{n}.gz", hashlib.md5((www / f"{n}.gz").read_bytes()).hexdigest()) for n in files]
    monkeypatch.setattr("torchvision.datasets.FashionMNIST.resources", packed)
    monkeypatch.setattr("torchvision.datasets.FashionMNIST.mirrors", [f"{address}/"])
    (tmp_path / "bin").mkdir()
    for name in ("apt-get", "dpkg-deb"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\necho nothing here >&2; exit 100\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    fetch("fashion-mnist", tmp_path / "out")
    assert {n: (tmp_path / "out" / fashion_mnist.FOLDER / n).read_bytes() for n in files} == files
    monkeypatch.setattr("torchvision.datasets.FashionMNIST.mirrors", ["http://127.0.0.1:1/"])
    fetch("fashion-mnist", tmp_path / "out")  # what is there is not fetched again


def test_every_download_is_pinned():
    published = [archive for found in ARCHIVES.values() for archive in found]
    assert all(re.fullmatch("[0-9a-f]{64}", archive.checksum) for archive in published)
    plain = [archive.url for archive in published if not archive.url.startswith("https:")]
    assert plain == ["http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz"], "its publisher has nothing else"
    packages = [*npm.VENDORS.values(), npm.EMOJIBASE, *(face.package for face in npm.typefaces())]
    assert all(re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", package.integrity) for package in packages)
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", package.version) for package in packages)
