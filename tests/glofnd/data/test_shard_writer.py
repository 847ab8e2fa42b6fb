import io
import tarfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import webdataset
from PIL import Image
from tiny_data import picture, tiny_split, write

from glofnd.data.encoding import pictures_of
from glofnd.data.split import Split, stratified
from glofnd.data.writer import pair_counts, write_shards
from glofnd.files import read_json, sha256


def test_shards_hold_every_sample_in_index_order(shards):
    manifest = read_json(shards / "manifest.json")
    assert [entry["samples"] for entry in manifest["shards"]] == [8, 7, 7]
    assert [entry["first_index"] for entry in manifest["shards"]] == [0, 8, 15]
    urls = [str(shards / entry["file"]) for entry in manifest["shards"]]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8"))
    assert [int(sample["__key__"]) for sample in samples] == list(range(22))
    assert [sample["__key__"] for sample in samples[:2]] == ["000000000", "000000001"]
    for index, sample in enumerate(samples):
        assert (sample["png"] == index).all()
        assert sample["json"] == {"label": index % 3, "half": int(index >= 11)}
        assert sample["txt"] == f"text {index % 3}\nother {index}\nthird {index}"


def test_offsets_point_at_pictures_and_captions(shards):
    for entry in read_json(shards / "manifest.json")["shards"]:
        data = (shards / entry["file"]).read_bytes()
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for row, (offset, size, text_offset, text_size) in enumerate(entry["offsets"]):
                key = f"{entry['first_index'] + row:09d}"
                assert data[offset : offset + size] == tar.extractfile(f"{key}.png").read()
                assert data[text_offset : text_offset + text_size] == tar.extractfile(f"{key}.txt").read()


def test_manifest_states_checksums_labels_and_false_negatives(shards):
    manifest = read_json(shards / "manifest.json")
    for entry in manifest["shards"]:
        assert entry["sha256"] == sha256(shards / entry["file"])
        assert entry["bytes"] == (shards / entry["file"]).stat().st_size
    assert manifest["labels"]["label"] == [i % 3 for i in range(22)]
    pairs = list(combinations([i % 3 for i in range(22)], 2))
    same = sum(a == b for a, b in pairs)
    assert manifest["false_negatives"]["label"] == {"pairs": same, "share": same / len(pairs)}
    assert manifest["false_negatives"]["caption"]["pairs"] == 0


def test_same_bytes_again_and_old_shards_gone(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    write(tiny_split(), first)
    write(tiny_split(), second, shards=5)
    write(tiny_split(), second)
    assert sorted(p.name for p in second.iterdir()) == ["000000.tar", "000001.tar", "000002.tar", "manifest.json"]
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


def test_several_processes_write_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr("glofnd.data.encoding._PARALLEL_FROM", 1)
    write(tiny_split(), tmp_path / "one")
    head = {"dataset": "tiny", "split": "train", "image_size": 8}
    tail = {"licence": "CC0", "source": {}, "config": {}}
    write_shards(tiny_split(), tmp_path / "two", shards=3, head=head, tail=tail, processes=2)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


class Counted(Sequence):
    """Payloads that note the largest index asked for."""

    largest = -1

    def __len__(self):
        return 400

    def __getitem__(self, index):
        self.largest = max(self.largest, index)
        return picture(index % 256)


def test_few_pictures_are_under_way_at_once(monkeypatch):
    """A data set larger than the memory is not read ahead of what is written."""
    monkeypatch.setattr("glofnd.data.encoding._PARALLEL_FROM", 1)
    monkeypatch.setattr("glofnd.data.encoding._CHUNK", 8)
    payloads = Counted()
    pictures = pictures_of(replace(tiny_split(), payloads=payloads), 2)
    for taken in range(1, 401):
        assert next(pictures) == picture((taken - 1) % 256)
        assert payloads.largest <= taken + 2 * 2 * 8
    pictures.close()


def _fail(payload):
    raise ValueError(f"picture {payload} does not decode")


def test_a_bad_picture_leaves_no_manifest(tmp_path):
    write(tiny_split(), tmp_path)
    with pytest.raises(ValueError, match="picture 0 does not decode"):
        write(replace(tiny_split(), payloads=range(22), encode=_fail), tmp_path)
    assert not (tmp_path / "manifest.json").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": {"label": [0] * 21 + [3]}}, "sample 21: label 3 is out of range for 3 classes"),
        ({"labels": {"label": [0] * 20}}, "label field 'label' has 20 values for 22 samples"),
        ({"captions": [["a"]] * 21 + [[""]]}, "sample 21: captions"),
        ({"captions": [["a"]] * 21 + [[]]}, "sample 21: captions"),
        ({"captions": [["a"]]}, "captions of 1 samples"),
        ({"payloads": []}, "0 samples for 3 shards"),
    ],
)
def test_inconsistent_splits_are_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        write(replace(tiny_split(), **change), tmp_path)


def test_pair_counts_by_enumeration():
    keys = np.random.default_rng(0).integers(0, 5, 40).tolist()
    same = sum(a == b for a, b in combinations(keys, 2))
    assert pair_counts(keys) == {"pairs": same, "share": same / (40 * 39 / 2)}
    assert pair_counts(["x"]) == {"pairs": 0, "share": 0.0}


def test_stratified_subsets_keep_shares_and_are_seeded():
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    chosen = stratified(labels, 33, seed=1)
    assert Counter(labels[chosen].tolist()) == {0: 21, 1: 10, 2: 2}
    assert (np.diff(chosen) > 0).all()
    assert (chosen == stratified(labels, 33, seed=1)).all()
    assert not np.array_equal(chosen, stratified(labels, 33, seed=2))
    assert len(stratified(labels, 160, seed=0)) == 160
    with pytest.raises(ValueError, match="161 samples was asked for"):
        stratified(labels, 161, seed=0)


def test_grey_pictures_are_stored_with_one_channel(tmp_path):
    manifest = write(tiny_split(channels=1, captions=False), tmp_path)
    assert manifest["channels"] == 1 and not manifest["captions"]
    offset, size = manifest["shards"][0]["offsets"][5]
    with Image.open(io.BytesIO((tmp_path / "000000.tar").read_bytes()[offset : offset + size])) as image:
        assert image.mode == "L" and image.getpixel((0, 0)) == 5


def test_split_length():
    assert len(tiny_split(7)) == 7 and isinstance(tiny_split(7), Split)
