"""Captions and labels in JSON, and annotation files, that are damaged or say nothing."""

import json
import time

import open_clip
import pytest
from bad_data import NAMES, noisy, refusal, shard, tar

from glofnd.data.datasets.captions import LARGEST_CAPTION
from glofnd.data.stream import ShardStream
from glofnd.files import read_json

SKIP = {"bad_samples": "skip", "max_skipped": 0.3}
BOMB = "[" * 100_000

# The JSON of sample 2, and the reason.
RECORDS = {
    "no JSON": (b"{", "its .json has no 'label' (Expecting"),
    "nested too deep": (BOMB.encode(), "its .json has no 'label' (maximum recursion depth"),
    "not UTF-8": (b'{"text": "\xff"}', "its .json is not UTF-8"),
    "a list": (b"[1]", "its .json has no 'label'"),
    "no caption": (b'{"label": 1}', "its .json has no 'text'"),
    "caption null": (b'{"text": null, "label": 1}', "a caption is no text but NoneType"),
    "caption a number": (b'{"text": ["one", 2], "label": 1}', "a caption is no text but int"),
    "caption an object": (b'{"text": {"en": "one"}, "label": 1}', "a caption is no text but dict"),
    "captions none": (b'{"text": [], "label": 1}', "the caption is empty"),
    "captions blank": (b'{"text": [" ", "\\n"], "label": 1}', "the caption is empty"),
    "half a character": (b'{"text": "a \\ud800 b", "label": 1}', "a caption has a zero byte or half a character"),
    "zero byte": (b'{"text": "a\\u0000b", "label": 1}', "a caption has a zero byte or half a character"),
    "too long": (
        json.dumps({"text": "a " * 5000, "label": 1}).encode(),
        "a caption has 10000 characters (at most 4096)",
    ),
    "no label": (b'{"text": "one"}', "its .json has no 'label'"),
    "label null": (b'{"text": "one", "label": null}', "json.label is 'None', neither one of the 4 classes"),
    "label true": (b'{"text": "one", "label": true}', "json.label is 'True', neither"),
    "label a share": (b'{"text": "one", "label": 1.5}', "json.label is '1.5', neither"),
    "label not a number": (b'{"text": "one", "label": NaN}', "json.label is 'nan', neither"),
    "label infinite": (b'{"text": "one", "label": 1e999}', "json.label is 'inf', neither"),
    "label out of range": (b'{"text": "one", "label": 4}', "json.label is '4', neither"),
    "label negative": (b'{"text": "one", "label": -1}', "json.label is '-1', neither"),
    "label of many digits": (
        b'{"text": "one", "label": ' + b"9" * 5000 + b"}",
        "its .json has no 'label' (Exceeds the limit",
    ),
}


@pytest.mark.parametrize("name", RECORDS)
def test_records_of_a_webdataset(tmp_path, capsys, name):
    record, reason = RECORDS[name]
    content = []
    for n in range(6):
        good = json.dumps({"text": [f"number {n}", " "], "label": n % 4}).encode()
        content += [(f"{n}.png", noisy(n)), (f"{n}.json", record if n == 2 else good)]
    tar(tmp_path / "train/0.tar", content)
    (tmp_path / "classnames.txt").write_text("\n".join(NAMES))
    block = {"captions_from": "json.text", "label_from": "json.label"}
    line = refusal(capsys, tmp_path, tmp_path / "out", **block)
    assert f"train/0.tar: sample '2': {reason}" in line and len(line) < 500
    assert shard(tmp_path, tmp_path / "out", **block, **SKIP) == 0
    stream = ShardStream(tmp_path / "out", batch_size=1, seed=1)
    assert stream.captions() == [[f"number {n}"] for n in (0, 1, 3, 4, 5)]


def _sentences(*texts):
    return [{"raw": text} for text in texts]


def karpathy(root, changes):
    """Six pictures with five captions each; picture n has what `changes[n]` says instead."""
    (root / "flickr30k-images").mkdir(parents=True)
    images = []
    for n in range(6):
        (root / f"flickr30k-images/{n}.jpg").write_bytes(noisy(n, "JPEG"))
        sentences = _sentences(*(f"picture {n} text {k}" for k in range(5)))
        images.append({"filename": f"{n}.jpg", "split": "train", "sentences": sentences, **changes.get(n, {})})
    (root / "dataset_flickr30k.json").write_text(json.dumps({"images": images}))
    return root


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sentences": []}, "the caption is empty"),
        ({"sentences": _sentences("", " \n", "\u2003")}, "the caption is empty"),
        ({"sentences": _sentences("one", None)}, "a caption is no text but NoneType"),
        ({"sentences": _sentences("one", "x" * 10_000_000)}, "a caption has 10000000 characters (at most 4096)"),
        ({"sentences": _sentences("one", "a\0b")}, "a zero byte"),
        ({"sentences": _sentences("one", "\udc00")}, "half a character"),
        ({"filename": "2.jpg"}, "2.jpg: is listed twice"),
    ],
)
def test_pictures_with_sentences(tmp_path, capsys, change, reason):
    root = karpathy(tmp_path / "flickr", {3: change})
    line = refusal(capsys, root, tmp_path / "out", "flickr30k")
    name = change.get("filename", "3.jpg")
    assert f"dataset_flickr30k.json: {name}: " in line and reason in line and len(line) < 400
    assert shard(root, tmp_path / "out", "flickr30k", **SKIP) == 0
    captions = ShardStream(tmp_path / "out", batch_size=1, seed=1).captions()
    assert captions == [[f"picture {n} text {k}" for k in range(5)] for n in range(6) if n != 3]
    assert [entry["index"] for entry in read_json(tmp_path / "out/manifest.json")["skipped"]] == [3]


def test_a_picture_of_the_annotations_that_is_missing(tmp_path, capsys):
    root = karpathy(tmp_path / "flickr", {})
    (root / "flickr30k-images/4.jpg").unlink()
    assert "flickr30k-images/4.jpg is missing; Flickr30k needs" in refusal(capsys, root, tmp_path / "out", "flickr30k")
    assert shard(root, tmp_path / "out", "flickr30k", **SKIP) == 0
    for path in (root / "flickr30k-images").iterdir():
        path.unlink()
    line = refusal(capsys, root, tmp_path / "out", "flickr30k", **SKIP)
    assert "2 or more of 6 samples are bad" in line and "flickr30k-images/0.jpg: is missing" in line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "dataset_flickr30k.json: not valid JSON (Expecting value"),
        (b'{"images": [', "dataset_flickr30k.json: not valid JSON"),
        (BOMB.encode(), "dataset_flickr30k.json: not valid JSON (maximum recursion depth"),
        (b"\xff\xfe", "dataset_flickr30k.json: not valid JSON"),
        (b'{"images": 3}', "dataset_flickr30k.json: is not Karpathy's format"),
        (b'{"images": [3]}', "dataset_flickr30k.json: is not Karpathy's format"),
        (b'{"images": [{"filename": 3, "split": "train", "sentences": []}]}', "the file name 3 is refused"),
        (b'{"images": [{"filename": "/etc/passwd", "split": "train", "sentences": []}]}', "'/etc/passwd' is refused"),
    ],
)
def test_annotation_files_are_whole_or_refused(tmp_path, capsys, content, message):
    root = karpathy(tmp_path / "flickr", {})
    (root / "dataset_flickr30k.json").write_bytes(content)
    for options in ({}, SKIP):
        line = refusal(capsys, root, tmp_path / "out", "flickr30k", **options)
        assert message in line and "delete it" not in line


@pytest.mark.slow
def test_the_longest_caption_is_no_burden_for_the_tokenizer():
    tokenizer = open_clip.SimpleTokenizer(context_length=77)
    start = time.monotonic()
    assert tokenizer(["qzxjv" * (LARGEST_CAPTION // 5)]).shape == (1, 77)
    assert time.monotonic() - start < 20
