import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_data import photo

from glofnd.data import fetch, shard
from glofnd.data.__main__ import main
from glofnd.data.catalogue import DATASETS, configured, problems
from glofnd.data.manifest import read_manifest, verify_shards
from glofnd.parameters import parameters


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    raw = tmp_path_factory.mktemp("raw")
    fetch("digits", raw)
    return raw


def test_fetching_and_sharding(digits, tmp_path):
    shard({"shards": {"train": 2, "test": 3}, "image_size": 16}, "digits", "test", digits, tmp_path)
    manifest = read_manifest(tmp_path)
    verify_shards(manifest)
    assert (manifest.samples, len(manifest.shards), manifest.image_size) == (360, 3, 16)
    declared = {name: option.default for name, option in parameters(DATASETS["digits"].build).items()}
    assert manifest.config == {"dataset": "digits", **declared, "shards": {"train": 2, "test": 3}, "image_size": 16}
    assert manifest.source["sha256"].keys() == {"images.npy", "labels.npy"} and manifest.licence == "CC-BY-4.0"


def test_a_source_is_compared_with_its_checksums(digits, tmp_path):
    for file in digits.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with (tmp_path / "labels.npy").open("r+b") as handle:
        handle.seek(-1, 2)
        handle.write(b"\xff")
    with pytest.raises(ValueError, match=r"labels\.npy: missing or changed since it was fetched; run `python"):
        shard({}, "digits", "test", tmp_path, tmp_path / "out")
    with pytest.raises(ValueError, match=r"source\.json is missing"):
        shard({}, "digits", "test", tmp_path / "none", tmp_path / "out")


@pytest.mark.parametrize(
    ("config", "split", "message"),
    [
        ({"dataset": "digit"}, "train", "datasets.it: 'digit' is not in the catalogue; known are fashion-mnist"),
        ({"dataset": "digits", "shard": 1}, "train", "datasets.it: unknown key 'shard'; valid are image_size"),
        ({"dataset": "digits"}, "val", "datasets.it: no split 'val'; it has train, test"),
        ({"dataset": "stanford-cars"}, "train", "datasets.it.path: missing; Stanford Cars' own host is gone"),
        ({"dataset": "food101", "path": "."}, "train", "Dataset not found.*leave `path` out to have it fetched"),
        ({"dataset": "flickr30k", "path": "."}, "test", "dataset_flickr30k.json is missing; Flickr30k needs a request"),
        ({"dataset": "folder", "path": "no/where"}, "train", "no/where is no folder; name the folder of your own"),
    ],
)
def test_what_is_wrong_is_one_line(config, split, message, digits, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["shard", "--dataset-config", json.dumps(config), "--name", "it", "--split", split, "--out", "out"]
    assert main([*arguments, "--raw", str(digits)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line), line


def test_a_missing_picture_is_named_with_where_to_get_it(tmp_path):
    for split in ("train", "val"):
        photo(tmp_path / split / "a" / "0.jpg", 0)
    (tmp_path / "train/a/1.jpg").symlink_to(tmp_path / "gone.jpg")
    with pytest.raises(ValueError, match=r"datasets\.mine: .*a/1\.jpg is missing; name the folder"):
        shard({"dataset": "folder", "path": str(tmp_path)}, "mine", "train", None, tmp_path / "out")


def test_an_own_copy_needs_no_source_and_label_fields_are_chosen():
    assert configured(DATASETS["food101"], {}).source == "food101"
    assert configured(DATASETS["food101"], {"path": "/own"}).source is None
    entry = configured(DATASETS["webdataset"], {"label_from": None, "captions_from": "txt"})
    assert (entry.labels, entry.label, entry.captions) == (("caption",), "caption", True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"label_from": "jpg", "captions_from": None, "train": "a", "test": "b"},
            "label_from: must be cls, txt or",
        ),
        (
            {"label_from": None, "captions_from": "txt", "train": "../*.tar", "test": "b"},
            "train: '../[*].tar' is no pattern of files",
        ),
        ({"label_from": "cls", "captions_from": "json.a.b", "train": "**/a.tar", "test": "*.tar"}, None),
    ],
)
def test_options_are_held_against_each_other(options, message):
    found = list(problems(options))
    assert found == [] if message is None else len(found) == 1 and re.match(message, found[0])


def test_without_its_packages_the_command_says_what_to_install():
    command = [sys.executable, "-S", "-m", "glofnd.data"]  # without site-packages
    done = subprocess.run(command, cwd=Path(__file__).parents[3], env={}, capture_output=True, text=True)
    assert done.returncode and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert "pip install 'glofnd[data]'" in done.stderr
