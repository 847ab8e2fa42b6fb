"""A disk that is full, read-only or somebody else's: one error that names the file; what was there stays whole."""

import tempfile
from pathlib import Path

import pytest

from glofnd.data import fetch, shard
from glofnd.failures import explain
from tests.faults.broken_places import contents, full, mounted, read_only

pytestmark = pytest.mark.slow
CONFIG = {"dataset": "digits", "shards": 2, "train_samples": 200, "image_size": 16}


@pytest.fixture
def disk(tmp_path):
    with mounted(tmp_path / "disk", "4m") as folder:
        (folder / "earlier.json").write_text("{}")
        yield folder


@pytest.fixture(scope="module")
def raw():
    """In a folder that everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="glofnd-raw-") as name:
        Path(name).chmod(0o755)
        fetch("digits", Path(name))
        yield Path(name)


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
