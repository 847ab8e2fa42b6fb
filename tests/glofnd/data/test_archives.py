"""Downloads and archives: pinned, continued where they broke off, and never outside their folder."""

import hashlib
import http.server
import io
import tarfile
import threading
import zipfile
from typing import ClassVar

import published_trees as trees
import pytest
import torchvision

from glofnd.data.__main__ import main
from glofnd.data.sources import commands, published
from glofnd.data.sources.archives import Archive, Published, download, unpack
from glofnd.data.sources.commands import FetchError
from glofnd.files import read_json, sha256


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(commands, "PAUSE_SECONDS", 0)


def packed(folder, target):
    """A .tar.gz of everything in a folder."""
    with tarfile.open(target, "w:gz") as archive:
        for entry in sorted(folder.iterdir()):
            archive.add(entry, entry.name)
    return target


def archive_of(path, **changes):
    data = path.read_bytes()
    sums = {"sha256": hashlib.sha256(data).hexdigest(), "md5": hashlib.md5(data).hexdigest()}
    stated = {"url": path.as_uri(), **sums, "bytes": len(data)}
    return Archive(**{**stated, **changes})


class Server(http.server.BaseHTTPRequestHandler):
    """Serves one file; `breaks` answers end after so many bytes, each later one continues a range if asked."""

    data = b""
    breaks = 0
    ranges = True
    seen: ClassVar[list] = []

    def do_GET(self):
        cls, start = type(self), 0
        asked = self.headers.get("Range")
        cls.seen.append(asked)
        if asked and cls.ranges:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(cls.data) - start))
        self.end_headers()
        end = len(cls.data)
        if cls.breaks:
            cls.breaks -= 1
            end = start + 1000
        self.wfile.write(cls.data[start:end])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    handler = type("Tiny", (Server,), {"seen": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        handler.data = bytes(range(256)) * 20
        handler.archive = Archive(
            f"http://127.0.0.1:{running.server_port}/some.bin",
            hashlib.sha256(handler.data).hexdigest(),
            hashlib.md5(handler.data).hexdigest(),
            len(handler.data),
        )
        yield handler
        running.shutdown()
        thread.join()


def test_a_broken_download_is_continued(server, tmp_path):
    server.breaks = 2
    assert download(server.archive, tmp_path).read_bytes() == server.data
    assert server.seen == [None, "bytes=1000-", "bytes=2000-"]
    download(server.archive, tmp_path)
    assert len(server.seen) == 3, "what is there is not fetched again"
    assert [path.name for path in tmp_path.iterdir()] == ["some.bin"]


def test_a_server_without_ranges_starts_again(server, tmp_path):
    server.breaks, server.ranges = 1, False
    assert download(server.archive, tmp_path).read_bytes() == server.data


def test_a_download_that_stays_short_is_an_error(server, tmp_path):
    server.breaks = 99
    with pytest.raises(FetchError, match=r"some.bin could not be fetched in 4 attempts: .*4000 of 5120 bytes"):
        download(server.archive, tmp_path)
    assert not (tmp_path / "some.bin").exists()


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "it.bin"
    path.write_bytes(b"not what it was")
    with pytest.raises(FetchError, match=r"it.bin has SHA-256 \w+, not the published 0123"):
        download(archive_of(path, sha256="0123"), tmp_path / "out")
    with pytest.raises(FetchError, match=r"gone.bin could not be fetched .*No such file"):
        download(Archive((tmp_path / "gone.bin").as_uri(), "0", "0", 1), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_damaged_copy_is_replaced(tmp_path):
    path = tmp_path / "it.bin"
    path.write_bytes(b"right")
    download(archive_of(path), tmp_path / "out")
    (tmp_path / "out/it.bin").write_bytes(b"wrong")
    assert download(archive_of(path), tmp_path / "out").read_bytes() == b"right"


def malicious(kind):
    """A tar whose second member is of the kind."""
    info = tarfile.TarInfo({"absolute": "/etc/x", "parent": "a/../../x"}.get(kind, "a/link"))
    types = {
        "symlink": tarfile.SYMTYPE,
        "hardlink": tarfile.LNKTYPE,
        "device": tarfile.CHRTYPE,
        "fifo": tarfile.FIFOTYPE,
    }
    info.type = types.get(kind, tarfile.REGTYPE)
    info.linkname = "a/good"
    return info


@pytest.mark.parametrize("kind", ["absolute", "parent", "symlink", "hardlink", "device", "fifo"])
def test_tars_that_reach_out_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as archive:
        good = tarfile.TarInfo("a/good")
        good.size = 4
        archive.addfile(good, io.BytesIO(b"data"))
        archive.addfile(malicious(kind))
    with pytest.raises(
        FetchError, match=r"bad.tar.gz: member '.*' (would leave|is a link or device).*nothing was unpacked"
    ):
        unpack(tmp_path / "bad.tar.gz", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir()) and not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["../x", "/x", "a\\..\\..\\x", "C:/x", "link"])
def test_zips_that_reach_out_are_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = (0o120777 if name == "link" else 0o100644) << 16
        archive.writestr(info, "x")
    with pytest.raises(FetchError, match=r"bad.zip: member"):
        unpack(tmp_path / "bad.zip", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir()) and not (tmp_path / "x").exists()


def test_unpacking_replaces_what_was_there(tmp_path):
    tree = tmp_path / "tree"
    trees.cifar10(tree)
    out = tmp_path / "out"
    (out / "cifar-10-batches-bin/stale").mkdir(parents=True)
    (out / ".unpacking-killed/members").mkdir(parents=True)
    files = unpack(packed(tree, tmp_path / "it.tar.gz"), out)
    assert "cifar-10-batches-bin/test_batch.bin" in files and len(files) == 8
    assert [entry.name for entry in out.iterdir()] == ["cifar-10-batches-bin"]
    assert not (out / "cifar-10-batches-bin/stale").exists()
    truncated = tmp_path / "short.tar.gz"
    truncated.write_bytes((tmp_path / "it.tar.gz").read_bytes()[:300])
    with pytest.raises(FetchError, match=r"short.tar.gz: cannot be unpacked"):
        unpack(truncated, out)
    assert (out / "cifar-10-batches-bin/test_batch.bin").exists()


def test_an_archive_within_an_archive(tmp_path):
    trees.caltech101(tmp_path / "tree")
    inner = packed(tmp_path / "tree", tmp_path / "101_ObjectCategories.tar.gz")
    with zipfile.ZipFile(tmp_path / "caltech-101.zip", "w") as archive:
        archive.write(inner, "caltech-101/101_ObjectCategories.tar.gz")
        archive.writestr("caltech-101/Annotations.tar", "")
    real = published.caltech101.archives[0]
    source = Published((archive_of(tmp_path / "caltech-101.zip", inner=real.inner),), "here")
    stated = source(tmp_path / "out")
    assert "101_ObjectCategories/Faces/image_0001.jpg" in stated["files"] and len(stated["files"]) == 1 + 33 + 1
    assert all((tmp_path / "out" / file).is_file() for file in stated["files"])


def test_fetching_and_sharding_by_command(tmp_path, monkeypatch, capsys):
    trees.flowers102(tmp_path / "tree")
    (tmp_path / "pack").mkdir()
    (tmp_path / "tree/jpg").rename(tmp_path / "pack/jpg")
    pictures = archive_of(packed(tmp_path / "pack", tmp_path / "102flowers.tgz"))
    lists = [archive_of(tmp_path / "tree" / name, packed=False) for name in ("imagelabels.mat", "setid.mat")]
    monkeypatch.setattr(published, "flowers102", Published((pictures, *lists), "here"))
    raw, out = tmp_path / "raw", tmp_path / "out"
    assert main(["fetch", "--source", "flowers102", "--out", str(raw)]) == 0
    source = read_json(raw / "source.json")
    assert source["archives"][0]["md5"] == pictures.md5 and source["homepage"]
    assert source["sha256"]["archives/102flowers.tgz"] == sha256(tmp_path / "102flowers.tgz")
    assert source["sha256"]["jpg/image_00001.jpg"] == sha256(raw / "jpg/image_00001.jpg")
    block = '{"dataset": "flowers102", "train_samples": 5, "shards": 2, "image_size": 16}'
    arguments = ["shard", "--dataset-config", block, "--split", "train", "--raw", str(raw), "--out", str(out)]
    assert main(arguments) == 0
    assert read_json(out / "manifest.json")["samples"] == 5
    (raw / "jpg/image_00002.jpg").write_bytes(b"changed")
    capsys.readouterr()
    assert main(arguments) == 2
    assert "image_00002.jpg: missing or changed since it was fetched" in capsys.readouterr().err
    assert main(["fetch", "--source", "flowers102", "--out", str(raw)]) == 0 and main(arguments) == 0


def test_checksums_are_torchvisions():
    """Where torchvision has the same file, it has the same checksum."""
    datasets = torchvision.datasets
    flowers = dict(datasets.Flowers102._file_dict.values())
    known = {
        datasets.Food101._URL: datasets.Food101._MD5,
        datasets.DTD._URL: datasets.DTD._MD5,
        **dict(datasets.OxfordIIITPet._RESOURCES),
        **{datasets.Flowers102._download_url_prefix + file: md5 for file, md5 in flowers.items()},
    }
    ours = {
        archive.url: archive.md5
        for source in (published.food101, published.dtd, published.oxford_pets, published.flowers102)
        for archive in source.archives
    }
    assert ours == known
