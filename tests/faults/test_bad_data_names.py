"""File and class names that are odd but legal, and those that are no text."""

import os
import pickle

import pytest
from bad_data import folder_set, noisy, refusal, saved, shard
from PIL import Image

from glofnd.data.bad_samples import BadSampleError
from glofnd.data.manifest import read_manifest
from glofnd.data.stream import ShardStream
from glofnd.files import read_json

ODD = [
    "two words",
    "'quoted'",
    '"double"',
    "semi;colon && true",
    "$(touch pwned)`id`",
    "line\nbreak",
    "-rf",
    "--help",
    "zwölf Hüte",
    "帽子",
    "%s{0}{x}",
    "*",
    "back\\slash",
    "<b>&amp;",
]


def test_odd_names_of_classes_and_pictures(tmp_path):
    for n, name in enumerate(ODD):
        folder = tmp_path / "set/train" / name
        folder.mkdir(parents=True)
        for k in range(2):
            (folder / f"{name}{k}.png").write_bytes(noisy(2 * n + k))
    (tmp_path / "set/train" / ODD[0] / os.fsdecode(b"\xff\xfe.png")).write_bytes(noisy(99))
    assert shard(tmp_path / "set", tmp_path / "out of\nshards", "folder") == 0
    manifest = read_manifest(tmp_path / "out of\nshards")
    assert manifest.classes["label"] == sorted(ODD) and manifest.samples == 2 * len(ODD) + 1
    stream = ShardStream(tmp_path / "out of\nshards", batch_size=4, seed=1, drop_last=False)
    assert sum(len(batch) for batch in stream.epoch(0)) == manifest.samples
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("name", [b"line\nbreak.png", b"\xff\xfe.png", b"-rf;'\".png"])
def test_a_bad_picture_of_an_odd_name_is_named_on_one_line(tmp_path, capsys, name):
    root = folder_set(tmp_path / "set", 10)
    (root / "train/class0" / os.fsdecode(name)).write_bytes(b"no picture")
    shown = os.fsdecode(name).encode("unicode_escape").decode()
    assert f"class0/{shown}: does not decode" in refusal(capsys, root, tmp_path / "out", "folder")
    assert shard(root, tmp_path / "out", "folder", bad_samples="skip", max_skipped=0.1) == 0
    assert shown in capsys.readouterr().out
    (entry,) = read_json(tmp_path / "out/manifest.json")["skipped"]
    assert entry["where"].endswith(shown)


def test_a_class_whose_name_is_no_text_is_refused(tmp_path, capsys):
    root = folder_set(tmp_path / "set")
    (root / "train" / os.fsdecode(b"caf\xe9")).mkdir()
    line = refusal(capsys, root, tmp_path / "out", "folder")
    assert r"train/caf\udce9: the name of this folder is not UTF-8; rename it" in line


def test_a_listed_name_that_no_file_can_have(tmp_path, capsys):
    meta, images = tmp_path / "food-101/meta", tmp_path / "food-101/images/pie"
    meta.mkdir(parents=True)
    images.mkdir(parents=True)
    (images / "1.jpg").write_bytes(saved(Image.new("RGB", (9, 9)), "JPEG"))
    (meta / "classes.txt").write_text("pie\n")
    for listed, message in (
        ("pie/1\npie/1\0x", r"pie/1\x00x.jpg: is no name of a file (embedded null byte)"),
        ("pie/1\npie/1", "images/pie/1.jpg: is listed twice"),
        ("pie/1\npie/2", "images/pie/2.jpg is missing; leave `path` out"),
        ("pie/1\ncake/2", "train.txt: line 2: 'cake' is not in classes.txt"),
        (b"pie/1\n\xff", "train.txt: is not UTF-8"),
        ("\n\n", "train.txt: is empty"),
    ):
        (meta / "train.txt").write_bytes(listed if isinstance(listed, bytes) else listed.encode())
        assert message in refusal(capsys, tmp_path, tmp_path / "out", "food101", train_samples=2, shards=1)


def test_an_error_comes_whole_from_another_process():
    problem = pickle.loads(pickle.dumps(BadSampleError("a\nb.png", "is\todd")))
    assert str(problem) == r"a\nb.png: is\todd" and (problem.where, problem.reason) == (r"a\nb.png", r"is\todd")
