import json
import subprocess
import sys

import numpy as np
import published_trees as trees
import pytest
from jsonschema import Draft202012Validator

from evaluation.prompts import template_names
from glofnd.data.__main__ import main
from glofnd.data.catalogue import DATASETS, SOURCES, resolved
from glofnd.data.manifest import read_manifest
from glofnd.data.sources.archives import Published
from glofnd.data.stream import ShardStream
from glofnd.files import read_json, sha256, write_json


def shard(out, split="test", config=None, raw=None, name=None):
    arguments = ["shard", "--dataset-config", json.dumps({"dataset": "digits"} if config is None else config)]
    arguments += ["--split", split, "--out", str(out)]
    arguments += ["--raw", str(raw)] if raw else []
    return main(arguments + (["--name", name] if name else []))


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    raw = tmp_path_factory.mktemp("raw") / "digits"
    assert main(["fetch", "--source", "digits", "--out", str(raw)]) == 0
    return raw


def test_fetch_states_source_and_checksums(digits):
    source = read_json(digits / "source.json")
    assert source["source"] == "digits" and source["licence"] == "CC-BY-4.0" and source["version"]
    assert source["sha256"] == {name: sha256(digits / name) for name in ("images.npy", "labels.npy")}


def test_shards_from_source_to_stream(digits, tmp_path, capsys):
    assert shard(tmp_path / "out", raw=digits, config={"dataset": "digits", "shards": 3}, name="mine") == 0
    assert "pairs sharing label: 6302 (9.752 %" in capsys.readouterr().out
    manifest = read_manifest(tmp_path / "out")
    assert (manifest.dataset, manifest.split, manifest.samples, manifest.channels) == ("mine", "test", 360, 1)
    assert manifest.config == {"dataset": "digits", **resolved({"shards": 3}, "digits")[1]}
    assert manifest.source["sha256"] and manifest.licence == "CC-BY-4.0"
    batch = next(ShardStream(tmp_path / "out", batch_size=4, seed=1).epoch(0))
    assert batch.images.shape == (4, 3, 32, 32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"config": {"dataset": "digit"}}, "datasets.digit: 'digit' is not in the catalogue; known are fashion-mnist"),
        ({"config": {"dataset": "digits", "size": 3}}, "datasets.digits: unknown key 'size'; valid are image_size"),
        ({"config": {"dataset": "digits", "shards": 0}}, "datasets.digits.shards: 0 is less than the minimum of 1"),
        ({"split": "validation"}, "datasets.digits: no split 'validation'; it has train, test"),
    ],
)
def test_user_errors_are_one_line(digits, tmp_path, capsys, options, message):
    assert shard(tmp_path / "out", raw=digits, **options) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


def test_a_source_that_is_missing_or_changed_is_refused(digits, tmp_path, capsys):
    assert shard(tmp_path / "out", raw=tmp_path / "none") == 2
    assert "source.json is missing; run `python -m glofnd.data fetch --source digits" in capsys.readouterr().err
    raw = tmp_path / "raw"
    raw.mkdir()
    for path in digits.iterdir():
        (raw / path.name).write_bytes(path.read_bytes())
    np.save(raw / "labels.npy", np.zeros(3))
    assert shard(tmp_path / "out", raw=raw) == 2
    assert "labels.npy: missing or changed since it was fetched" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (
            {"dataset": "stanford-cars"},
            "datasets.stanford-cars.path: missing; Stanford Cars' own host is gone: get cars",
        ),
        (
            {"dataset": "flickr30k"},
            "datasets.flickr30k.path: missing; Flickr30k needs a request: get the pictures from",
        ),
        ({"dataset": "coco-captions", "path": "HERE"}, "dataset_coco.json is missing; get train2014.zip"),
        ({"dataset": "imagenet100", "path": "HERE"}, "HERE/val: no such folder; set `path` and `test`"),
        ({"dataset": "food101", "path": "HERE"}, "meta/classes.txt is missing; leave `path` out to have it fetched"),
        ({"dataset": "dtd", "path": "HERE/none"}, "none is missing; leave `path` out to have it fetched"),
    ],
)
def test_what_must_be_got_by_hand_says_where(tmp_path, capsys, block, message):
    block = {key: value.replace("HERE", str(tmp_path)) for key, value in block.items()}
    assert shard(tmp_path / "out", config=block) == 2
    error = capsys.readouterr().err
    assert message.replace("HERE", str(tmp_path)) in error and error.count("\n") == 1


def test_a_picture_that_is_missing_is_named(tmp_path, capsys):
    trees.food101(tmp_path)
    (tmp_path / "food-101/images/apple_pie/1003.jpg").unlink()
    block = {"dataset": "food101", "path": str(tmp_path), "test_samples": 2, "shards": 1, "image_size": 8}
    assert shard(tmp_path / "out", config=block) == 2
    assert "apple_pie/1003.jpg is missing" in capsys.readouterr().err
    assert not (tmp_path / "out/manifest.json").exists()


def test_bad_json_and_missing_name(tmp_path, capsys):
    for text, message in (("{", "not valid JSON"), ("[1]", "not a JSON object"), ("{}", "--name is missing")):
        with pytest.raises(SystemExit) as caught:
            main(["shard", "--dataset-config", text, "--split", "train", "--out", str(tmp_path)])
        assert caught.value.code == 2 and message in capsys.readouterr().err


def test_a_failed_fetch_leaves_no_source_json(tmp_path, monkeypatch, capsys):
    write_json(tmp_path / "source.json", {})
    monkeypatch.setattr("glofnd.data.sources.npm.npm_command", lambda: ["/no/such/npm"])
    monkeypatch.setattr("glofnd.data.sources.commands.PAUSE_SECONDS", 0)
    assert main(["fetch", "--source", "emoji", "--out", str(tmp_path)]) == 2
    assert "error: npm package @iconify-json/noto@1.2.9 could not be fetched" in capsys.readouterr().err
    assert not (tmp_path / "source.json").exists()


@pytest.mark.parametrize("name", DATASETS)
def test_catalogue_entries_are_complete(name):
    entry = DATASETS[name]
    assert callable(entry.build)
    assert entry.source is None or entry.source in SOURCES
    assert entry.label in entry.labels and entry.class_names in entry.labels
    assert entry.metric in {"top1", "mean-per-class"}
    assert entry.templates in template_names()
    assert entry.source is not None or entry.parameters["path"]["description"] == entry.obtain != ""
    if name not in {"folder", "webdataset"}:
        assert set(entry.samples) == set(entry.splits) and min(entry.samples.values()) > 0
        for split, count in entry.samples.items():
            assert entry.parameters.get(f"{split}_samples", {}).get("default") in {None, count}
    for key, schema in entry.parameters.items():
        Draft202012Validator.check_schema(schema)
        if key != "path":
            assert Draft202012Validator(schema).is_valid(schema["default"]), key


@pytest.mark.parametrize("name", SOURCES)
def test_sources_are_complete(name):
    fetch = SOURCES[name].fetch
    assert callable(fetch) and SOURCES[name].licence and SOURCES[name].homepage
    if isinstance(fetch, Published):
        assert DATASETS[name].download == sum(archive.bytes for archive in fetch.archives)


def test_the_catalogue_needs_no_torch():
    code = "import sys, glofnd.data.catalogue; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
