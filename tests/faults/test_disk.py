"""A disk that is full, read-only or somebody else's: one error that names the file; what was there stays whole."""

import os
import pwd
import tempfile
from pathlib import Path

import pytest

from glofnd.data import fetch, shard
from glofnd.data.sources.archives import Archive, FetchError, download
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


def test_a_source_on_a_full_disk(disk):
    with full(disk, 2**15), pytest.raises(OSError, match="No space left on device") as caught:
        fetch("digits", disk / "raw")
    assert Path(caught.value.filename) == disk / "raw/images.npy"


def test_a_download_on_a_full_disk_blames_the_disk(disk, tmp_path, monkeypatch):
    import pooch

    def write(url, output, mirror):
        Path(output).write_bytes(b"x" * 2**17)

    monkeypatch.setattr(pooch, "HTTPDownloader", lambda **options: write)
    with full(disk), pytest.raises(OSError, match="No space left on device") as caught:
        download(Archive("https://localhost/it.bin", "0" * 64), disk / "raw")
    assert not isinstance(caught.value, FetchError)


@pytest.mark.parametrize("step", ["fetch", "shard"])
def test_a_read_only_file_system(disk, raw, step):
    before = contents(disk)
    with read_only(disk), pytest.raises(OSError, match="Read-only file system") as caught:
        fetch("digits", disk / "out") if step == "fetch" else shard(CONFIG, "digits", "train", raw, disk / "out")
    assert Path(caught.value.filename) == disk / "out" and contents(disk) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_folder_of_somebody_else(raw):
    mine = raw / "mine"
    mine.mkdir(mode=0o755)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(pwd.getpwnam("nobody").pw_gid)
            os.setuid(pwd.getpwnam("nobody").pw_uid)
            shard(CONFIG, "digits", "train", raw, mine / "out")
        except PermissionError as error:
            code = 0 if Path(error.filename) == mine / "out" else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0 and not list(mine.iterdir())
