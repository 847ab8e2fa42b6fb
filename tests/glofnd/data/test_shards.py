import io
import os
import shutil
import tarfile
import zlib
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import webdataset
from tiny_data import picture, tiny_split, write

from glofnd.data import manifest as manifests
from glofnd.data import writer
from glofnd.data.manifest import NO_LABEL, ManifestError, read_manifest, verify_shards
from glofnd.data.pictures import PictureReader
from glofnd.data.split import BadSampleError, BadSamples
from glofnd.data.stream import ShardStream
from glofnd.files import read_json, sha256


def test_webdataset_reads_every_sample_in_index_order(shards):
    manifest = read_json(shards / "manifest.json")
    assert [(entry["samples"], entry["first_index"]) for entry in manifest["shards"]] == [(8, 0), (7, 8), (7, 15)]
    urls = [str(shards / entry["file"]) for entry in manifest["shards"]]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8"))
    assert [sample["__key__"] for sample in samples] == [f"{index:09d}" for index in range(22)]
    for index, sample in enumerate(samples):
        assert (sample["png"] == index).all()
        assert sample["json"] == {"label": index % 3, "half": int(index >= 11)}
        assert sample["txt"] == f"text {index % 3}\nother {index}\nthird {index}"


def test_the_manifest_says_where_everything_is(shards):
    manifest, where = read_json(shards / "manifest.json"), np.load(shards / "offsets.npy")
    for entry in manifest["shards"]:
        data = (shards / entry["file"]).read_bytes()
        assert (entry["sha256"], entry["bytes"]) == (sha256(shards / entry["file"]), len(data))
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for index in range(entry["first_index"], entry["first_index"] + entry["samples"]):
                for extension, (offset, size, crc) in (("png", where[index, :3]), ("txt", where[index, 3:])):
                    member = tar.extractfile(f"{index:09d}.{extension}").read()
                    assert data[offset : offset + size] == member and zlib.crc32(member) == crc
    same = sum(a == b for a, b in combinations([i % 3 for i in range(22)], 2))
    assert manifest["false_negatives"]["label"] == {"pairs": same, "share": same / (22 * 21 / 2)}


@pytest.mark.slow
def test_the_same_bytes_again_by_any_number_of_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "_PARALLEL_FROM", 1)
    monkeypatch.setattr(writer, "_CHUNK", 4)
    write(tiny_split(), tmp_path / "one")
    write(tiny_split(), tmp_path / "two", shards=5)
    write(tiny_split(), tmp_path / "two", processes=2)
    assert {p.name: p.read_bytes() for p in (tmp_path / "one").iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "two").iterdir()
    }


def _encode(payload):
    """Pictures but for two."""
    if payload == 4:
        raise BadSampleError("four.png", "does not decode")
    if payload == 9:
        raise FileNotFoundError(2, "No such file", "nine.png")
    return picture(payload)


def test_bad_samples_are_left_out_and_the_others_keep_their_indices(tmp_path):
    bad = replace(tiny_split(), payloads=range(22), encode=_encode, bad_samples=BadSamples("skip", 0.1))
    manifest = write(bad, tmp_path)
    assert manifest["samples"] == 20 and manifest["skipped"] == [
        {"index": 4, "where": "four.png", "reason": "does not decode"},
        {"index": 9, "where": "nine.png", "reason": "is missing"},
    ]
    stream = ShardStream(tmp_path, batch_size=20, seed=1)
    (batch,) = stream.epoch(0)
    assert sorted(batch.index.tolist()) == [n for n in range(22) if n not in (4, 9)] and stream.indices == 22
    assert (batch.images == batch.index.view(-1, 1, 1, 1)).all()
    assert (batch.labels["label"] == batch.index % 3).all()
    write(tiny_split(), tmp_path / "whole")
    order = ShardStream(tmp_path / "whole", batch_size=22, seed=1).order(3)(np.arange(22))
    assert stream.order(3)(np.arange(20)).tolist() == [n for n in order if n not in (4, 9)], "the others' order stays"
    assert [batch.index.tolist() for batch in stream.in_order(20)] == [[n for n in range(22) if n not in (4, 9)]]
    assert (read_manifest(tmp_path).labels["label"][[4, 9]] == NO_LABEL).all()


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (BadSamples(), "four.png: does not decode; repair it, or set `bad_samples: skip`"),
        (BadSamples("skip", 0.05), "2 or more of 22 samples are bad, .*the first: four.png: does not decode"),
    ],
)
def test_bad_samples_fail_and_leave_no_manifest(tmp_path, policy, message):
    write(tiny_split(), tmp_path)
    with pytest.raises(ValueError, match=message):
        write(replace(tiny_split(), payloads=range(22), encode=_encode, bad_samples=policy), tmp_path)
    assert not (tmp_path / "manifest.json").exists() and not list(tmp_path.glob(".*"))


def test_a_class_never_loses_all_its_samples(tmp_path):
    split = replace(tiny_split(), payloads=range(22), encode=_encode, bad_samples=BadSamples("skip", 0.1))
    split.labels["label"] = [int(n in (4, 9)) for n in range(22)]
    with pytest.raises(ValueError, match="every sample of label 'b' is bad"):
        write(split, tmp_path)


def test_a_manifest_with_any_byte_changed_or_cut_is_refused(shards):
    path = shards / "manifest.json"
    data = path.read_bytes()
    for position in range(0, len(data), 7):
        for damaged in (data[:position], data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]):
            path.write_bytes(damaged)
            with pytest.raises(ManifestError, match=r"manifest\.json: .*changed since it was written; make the shards"):
                read_manifest(shards)


def test_leftovers_of_a_killed_writer_go(tmp_path):
    for name in (".000001.tar.abcdefgh.part", ".manifest.json.xyz_1234.part"):
        (tmp_path / name).write_bytes(b"half")
    write(tiny_split(), tmp_path)
    assert not list(tmp_path.glob(".*"))


def test_damaged_shards_are_found_at_opening(shards):
    path = shards / "000001.tar"
    data = path.read_bytes()
    for damaged, message in ((data[:-1] + b"x", "SHA-256 differs"), (data[:-1], "truncated"), (None, "missing")):
        path.unlink() if damaged is None else path.write_bytes(damaged)
        with pytest.raises(ManifestError, match=rf"000001\.tar: .*{message}"):
            verify_shards(read_manifest(shards))


@pytest.mark.parametrize("name", ["offsets.npy", "labels.npy"])
def test_columns_that_are_missing_torn_or_of_another_split_are_refused(shards, name):
    whole = (shards / name).read_bytes()
    for damaged in (None, whole[:-8], whole[:40], b""):
        (shards / name).unlink() if damaged is None else (shards / name).write_bytes(damaged)
        with pytest.raises(ManifestError, match=rf"{name}: .*; make the shards again"):
            getattr(read_manifest(shards), name.split(".")[0])
    # Of as many samples: told by its checksum.
    (shards / name).write_bytes(whole[:-8] + b"\0" * 8)
    with pytest.raises(ManifestError, match=rf"{name}: SHA-256 differs"):
        verify_shards(read_manifest(shards))


def _hashed(folder, monkeypatch):
    """The shards that are read to be verified."""
    read = []
    monkeypatch.setattr(manifests, "sha256", lambda path: read.append(path.name) or sha256(path))
    verify_shards(read_manifest(folder))
    return read


@pytest.mark.parametrize("writable", [True, False])
def test_checksums_are_compared_once_per_copy(shards, tmp_path, monkeypatch, writable):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if not writable:
        (shards / ".verified").mkdir()
    everything = ["offsets.npy", "labels.npy", "classes.json", "000000.tar", "000001.tar", "000002.tar"]
    assert _hashed(shards, monkeypatch) == everything and _hashed(shards, monkeypatch) == []
    copy = tmp_path / "copy"
    shutil.copytree(shards, copy)  # times and all
    assert _hashed(copy, monkeypatch) == everything
    os.utime(shards / "000001.tar")
    assert _hashed(shards, monkeypatch) == everything


def test_a_bit_that_flips_after_that_is_found_in_its_sample(shards):
    verify_shards(read_manifest(shards))
    path = shards / "000001.tar"
    data, (offset, size, *_) = bytearray(path.read_bytes()), read_manifest(shards).offsets[11].tolist()
    for place, column in ((offset + size // 2, "images"), (bytes(data).index(b"other 11") + 3, "captions")):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        reader = PictureReader(read_manifest(shards), 0)
        with pytest.raises(ManifestError, match=r"000001\.tar: sample 000000011: damaged"):
            getattr(reader, column)(np.arange(22))
