"""`bad_samples: skip`: what is bad is left out and listed, and all others keep what hangs on their index."""

import json
import pickle
from concurrent.futures import Future

import numpy as np
import pytest
import torch
from bad_data import changed, folder_set, members, noisy, refusal, shard, webdataset

from glofnd.counter_random import permutation
from glofnd.data import encoding
from glofnd.data.__main__ import main
from glofnd.data.manifest import NO_LABEL, read_manifest, verify_shards
from glofnd.data.stream import ShardStream
from glofnd.files import read_json
from glofnd.views import TwoViews

COUNT = 40
# Index of a bad sample: which of its members is damaged, by what, and the reason given.
BAD = {
    3: ("s003.png", noisy(3)[:200], "does not decode"),
    11: ("s011.txt", b" \n\t\n", "the caption is empty"),
    25: ("s025.cls", b"4", "neither one of the 4 classes nor its number"),
    26: ("s026.txt", b"\xff\xfe", "its .txt is not UTF-8"),
    39: ("s039.png", None, "has no picture"),
}
KEPT = [n for n in range(COUNT) if n not in BAD]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Shards of a set and of the same set damaged."""
    root = tmp_path_factory.mktemp("sets")
    content = members(range(COUNT))
    assert shard(webdataset(root / "whole", content), root / "whole-shards") == 0
    for name, data, _ in BAD.values():
        content = changed(content, name, data)
    webdataset(root / "damaged", content)
    assert shard(root / "damaged", root / "skipped-shards", bad_samples="skip", max_skipped=0.2) == 0
    return root


def opened(made, **options):
    options = {"batch_size": 5, "seed": 7, "drop_last": False, **options}
    return [ShardStream(made / name, **options) for name in ("whole-shards", "skipped-shards")]


def test_the_manifest_counts_and_lists_them(made):
    content = read_json(made / "skipped-shards/manifest.json")
    assert content["samples"] == len(KEPT) and [entry["index"] for entry in content["skipped"]] == list(BAD)
    for entry, (name, _, reason) in zip(content["skipped"], BAD.values(), strict=True):
        assert reason in entry["reason"] and name[:4] in entry["where"] and ".tar: " in entry["where"]
    assert sum(entry["samples"] for entry in content["shards"]) == len(KEPT)
    manifest = read_manifest(made / "skipped-shards")
    verify_shards(manifest)
    assert (manifest.samples, manifest.indices, manifest.index.tolist()) == (len(KEPT), COUNT, KEPT)
    assert (manifest.labels["label"][list(BAD)] == NO_LABEL).all()
    assert content["false_negatives"]["label"]["pairs"] == sum(
        a % 4 == b % 4 for place, a in enumerate(KEPT) for b in KEPT[:place]
    )


def test_the_others_keep_picture_labels_and_captions(made):
    for cache in (True, False):
        whole, skipped = opened(made, cache=cache)
        old, new = next(whole.in_order(COUNT)), next(skipped.in_order(COUNT))
        assert new.index.tolist() == KEPT
        assert torch.equal(new.images, old.images[KEPT]) and torch.equal(new.labels["label"], old.labels["label"][KEPT])
        assert new.captions == [old.captions[n] for n in KEPT]
        assert skipped.captions() == [whole.captions()[n] for n in KEPT]


def test_the_others_keep_their_order_and_their_draws(made):
    whole, skipped = opened(made)
    views = TwoViews(seed=7, size=16)
    for epoch in range(2):
        order = [n for n in whole.order(epoch).tolist() if n not in BAD]
        assert skipped.order(epoch).tolist() == order
        drawn = {}
        for stream in (whole, skipped):
            for batch in stream.epoch(epoch):
                first, second = views(batch.images, batch.index, epoch=epoch)
                for row, n in enumerate(batch.index.tolist()):
                    what = (batch.captions[row], first[row].numpy().tobytes(), second[row].numpy().tobytes())
                    assert n not in BAD or stream is whole
                    assert drawn.setdefault(n, what) == what
    parts = [ShardStream(made / "skipped-shards", batch_size=10, seed=7, rank=rank, world=2) for rank in range(2)]
    seen = [n for both in zip(*(part.epoch(0) for part in parts), strict=True) for b in both for n in b.index.tolist()]
    assert seen == skipped.order(0)[:30].tolist()


def test_with_nothing_skipped_all_is_as_it_was(made):
    whole, _ = opened(made)
    for epoch in range(3):
        np.testing.assert_array_equal(whole.order(epoch), permutation(COUNT, seed=7, epoch=epoch, stream=0xDA7A))
    assert "skipped" not in read_json(made / "whole-shards/manifest.json")
    assert whole.manifest.indices == whole.manifest.samples == COUNT


def test_any_number_of_processes_leaves_out_the_same(made, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(encoding, "_PARALLEL_FROM", 1)
    monkeypatch.setattr(encoding, "ProcessPoolExecutor", lambda *_, **__: _Pool(calls))
    monkeypatch.setattr(encoding, "_CHUNK", 4)
    block = {"dataset": "webdataset", "path": str(made / "damaged"), "shards": 2, "image_size": 32}
    block |= {"captions_from": "txt", "bad_samples": "skip", "max_skipped": 0.2}
    arguments = ["--dataset-config", json.dumps(block), "--name", "mine", "--split", "train", "--out", str(tmp_path)]
    assert main(["shard", *arguments, "--processes", "3"]) == 0
    assert len(calls) == 9, "36 pictures are tried, four at a time"
    for path in sorted((made / "skipped-shards").iterdir()):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


class _Pool:
    """Does at once what a pool of processes does later, by way of pickle."""

    def __init__(self, calls):
        self.calls = calls

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, work, *arguments):
        self.calls.append(arguments)
        future = Future()
        future.set_result(pickle.loads(pickle.dumps(work(*pickle.loads(pickle.dumps(arguments))))))
        return future

    def shutdown(self, **_):
        pass


def test_one_line_says_how_many_and_the_first(made, tmp_path, capsys):
    assert shard(made / "damaged", tmp_path, bad_samples="skip", max_skipped=0.2) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "left out" in line]
    assert line.startswith("  left out 5 bad samples: ") and "sample 's011': the caption is empty" in line
    assert "member 's003.png': does not decode" in line and line.endswith("; ...") and "s039" not in line


def test_without_skipping_the_first_is_an_error_that_says_how(made, tmp_path, capsys):
    line = refusal(capsys, made / "damaged", tmp_path)
    assert "train/0.tar: sample 's011': the caption is empty; repair it, or set `bad_samples: skip`" in line
    assert not (tmp_path / "manifest.json").exists()


def test_too_many_are_refused(made, tmp_path, capsys):
    line = refusal(capsys, made / "damaged", tmp_path, bad_samples="skip")
    assert "of 40 samples are bad, which is more than `max_skipped: 0.01` allows" in line and "first: " in line
    content = [(name, b"no picture" if name.endswith("png") else data) for name, data in members(range(8))]
    webdataset(tmp_path / "other", content)
    line = refusal(capsys, tmp_path / "other", tmp_path / "out", bad_samples="skip", max_skipped=0.5)
    assert "5 or more of 8 samples are bad" in line, "it is given up as soon as it is clear"
    assert not (tmp_path / "out/manifest.json").exists()


def test_a_class_does_not_vanish(tmp_path, capsys):
    folder_set(tmp_path / "set")
    for path in (tmp_path / "set/train/class1").iterdir():
        path.write_bytes(b"")
    line = refusal(capsys, tmp_path / "set", tmp_path / "out", "folder", bad_samples="skip", max_skipped=0.9)
    assert "every sample of label 'class1' is bad" in line


def test_a_missing_picture_of_a_list_is_left_out(tmp_path, capsys):
    folder_set(tmp_path / "set", 6)
    (tmp_path / "set/train/class0/2.png").unlink()
    (tmp_path / "set/train/class0/2.png").symlink_to("nowhere.png")
    assert "class0/2.png is missing" in refusal(capsys, tmp_path / "set", tmp_path / "out", "folder")
    assert shard(tmp_path / "set", tmp_path / "out", "folder", bad_samples="skip", max_skipped=0.1) == 0
    (entry,) = read_json(tmp_path / "out/manifest.json")["skipped"]
    assert entry == {"index": 2, "where": str(tmp_path / "set/train/class0/2.png"), "reason": "is missing"}
