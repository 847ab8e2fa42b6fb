import gzip
import os
import stat
import sys
from hashlib import sha256 as digest

import pytest

from glofnd.data.sources import commands, fashion_mnist
from glofnd.data.sources.commands import FetchError, attempt, run


@pytest.fixture
def pinned(idx_folder, monkeypatch):
    """Checksums of the tiny files in place of the real ones, and no pauses."""
    files = {path.stem: digest(gzip.decompress(path.read_bytes())).hexdigest() for path in idx_folder.glob("*.gz")}
    monkeypatch.setattr(fashion_mnist, "FILES", files)
    monkeypatch.setattr(commands, "PAUSE_SECONDS", 0)
    return files


def program(folder, name, text):
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def debian(tmp_path, idx_folder, monkeypatch):
    """`apt-get` and `dpkg-deb` stand-ins: the package "holds" the tiny files; `fail` lets downloads fail first."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (tmp_path / "failures").write_text("0")
    program(
        bin_folder,
        "apt-get",
        f"""
import pathlib, sys
with open({str(tmp_path / "calls")!r}, "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
if "download" in sys.argv:
    left = pathlib.Path({str(tmp_path / "failures")!r})
    if int(left.read_text()) > 0:
        left.write_text(str(int(left.read_text()) - 1))
        sys.exit("E: Could not resolve host")
    pathlib.Path("dataset-fashion-mnist_1_all.deb").touch()
""",
    )
    program(
        bin_folder,
        "dpkg-deb",
        f"""
import shutil, sys
shutil.copytree({str(idx_folder)!r}, sys.argv[3] + "/usr/share/datasets/fashion-mnist")
""",
    )
    monkeypatch.setenv("PATH", str(bin_folder), prepend=os.pathsep)
    return tmp_path


def test_debian_package_without_root(debian, pinned, tmp_path):
    out = tmp_path / "raw"
    stated = fashion_mnist.fetch(out)
    assert {name: digest((out / name).read_bytes()).hexdigest() for name in stated["files"]} == pinned
    calls = (debian / "calls").read_text().splitlines()
    assert len(calls) == 2 and all("Dir::State=" in call and "Dir::Cache=" in call for call in calls)
    fashion_mnist.fetch(out)
    assert len((debian / "calls").read_text().splitlines()) == 2, "what is there is not fetched again"


def test_a_failing_network_is_tried_again(debian, pinned, tmp_path, capsys):
    (debian / "failures").write_text("2")
    fashion_mnist.fetch(tmp_path / "raw")
    assert "attempt 2 failed" in capsys.readouterr().err
    assert (debian / "calls").read_text().count("download dataset-fashion-mnist") == 3


def test_only_what_is_missing_or_damaged_is_fetched(debian, pinned, tmp_path):
    out = tmp_path / "raw"
    fashion_mnist.fetch(out)
    (out / "t10k-labels-idx1-ubyte").write_bytes(b"damaged")
    kept = (out / "train-images-idx3-ubyte").stat().st_mtime_ns
    fashion_mnist.fetch(out)
    assert digest((out / "t10k-labels-idx1-ubyte").read_bytes()).hexdigest() == pinned["t10k-labels-idx1-ubyte"]
    assert (out / "train-images-idx3-ubyte").stat().st_mtime_ns == kept


def test_torchvision_when_debian_fails(debian, pinned, idx_folder, tmp_path, monkeypatch, capsys):
    (debian / "failures").write_text("99")
    monkeypatch.setattr(fashion_mnist, "_from_torchvision", lambda out: fashion_mnist._store(idx_folder, out))
    fashion_mnist.fetch(tmp_path / "raw")
    assert "falling back to torchvision" in capsys.readouterr().err


def test_neither_gives_one_error_naming_the_package(debian, pinned, tmp_path, monkeypatch):
    (debian / "failures").write_text("99")

    def offline(out):
        raise FetchError("no network")

    monkeypatch.setattr(fashion_mnist, "_from_torchvision", offline)
    with pytest.raises(FetchError, match=r"Fashion-MNIST .* could not be fetched in 4 attempts: no network"):
        fashion_mnist.fetch(tmp_path / "raw")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[: len(data) // 2], "cannot be decompressed"),
        (lambda data: gzip.compress(gzip.decompress(data)[:-5]), r"has SHA-256 .* instead of"),
    ],
)
def test_truncated_downloads_are_refused(idx_folder, pinned, tmp_path, damage, message):
    packed = idx_folder / "train-images-idx3-ubyte.gz"
    packed.write_bytes(damage(packed.read_bytes()))
    with pytest.raises(FetchError, match=message):
        fashion_mnist._store(idx_folder, tmp_path / "raw")
    assert not (tmp_path / "raw/train-images-idx3-ubyte").exists()


def test_programs_that_hang_or_are_missing(monkeypatch):
    monkeypatch.setattr(commands, "TIMEOUT_SECONDS", 0.2)
    with pytest.raises(FetchError, match=r"no answer within 0.2 s"):
        run([sys.executable, "-c", "import time; time.sleep(9)"])
    with pytest.raises(FetchError, match="cannot be run"):
        run(["/no/such/program"])


def test_pauses_grow(monkeypatch):
    pauses = []
    monkeypatch.setattr(commands.time, "sleep", pauses.append)

    def fail():
        raise FetchError("down")

    with pytest.raises(FetchError, match=r"thing could not be fetched in 4 attempts: down"):
        attempt("thing", fail)
    assert pauses == [1, 2, 4]


@pytest.mark.network
def test_the_real_package(tmp_path):
    assert fashion_mnist.fetch(tmp_path)["files"] == list(fashion_mnist.FILES)
