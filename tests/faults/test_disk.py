"""A disk that is full or read-only: one error that names the file; what was there stays whole."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from glofnd.data import fetch, shard
from glofnd.failures import explain

pytestmark = pytest.mark.slow
CONFIG = {"dataset": "digits", "shards": 2, "train_samples": 200, "image_size": 16}


@contextlib.contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own in `folder`, in memory. Needs root, and leave to mount."""
    folder.mkdir(parents=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"nothing can be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextlib.contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """A mounted file system that takes nothing any more, meanwhile."""
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)


@contextlib.contextmanager
def full(disk: Path, spare: int = 0) -> Iterator[None]:
    """A file system with room for `spare` bytes more, meanwhile."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as handle, contextlib.suppress(OSError):
        while handle.write(b"\0" * 4096):
            pass
    os.truncate(filler, max(0, filler.stat().st_size - spare))
    try:
        yield
    finally:
        filler.unlink()


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, the filler of a full disk aside."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "filler"
    }


@pytest.fixture
def disk(tmp_path):
    with mounted(tmp_path / "disk", "4m") as folder:
        (folder / "earlier.json").write_text("{}")
        yield folder


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    fetch("digits", folder)
    return folder


def test_shards_on_a_full_disk(disk, raw, tmp_path):
    out, before = disk / "digits", contents(disk)
    with full(disk, 300_000), pytest.raises(OSError, match="No space left on device") as caught:
        shard(CONFIG, "digits", "train", raw, out)
    assert explain(caught.value) == (
        f"{out / '000001.tar'}: no space left on device; free some, then run the same command again"
    )
    left = contents(disk)
    assert {name: left[name] for name in before} == before and not [name for name in left if name.endswith(".part")]
    assert "digits/manifest.json" not in left
    shard(CONFIG, "digits", "train", raw, out)
    shard(CONFIG, "digits", "train", raw, tmp_path / "undisturbed")
    assert contents(out) == contents(tmp_path / "undisturbed")


@pytest.mark.parametrize("step", ["fetch", "shard"])
def test_a_read_only_file_system(disk, raw, step):
    before = contents(disk)
    with read_only(disk), pytest.raises(OSError, match="Read-only file system") as caught:
        fetch("digits", disk / "out") if step == "fetch" else shard(CONFIG, "digits", "train", raw, disk / "out")
    assert Path(caught.value.filename) == disk / "out" and contents(disk) == before
