"""Our own shards and their manifest: whatever happened to them is found, named, and said how to mend."""

import json

import numpy as np
import pytest
from bad_data import folder_set, shard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluation.labelled import Pictures
from glofnd.data.manifest import CHECKSUM, ManifestError, read_manifest, verify_shards
from glofnd.data.stream import ShardStream
from glofnd.pretraining.__main__ import main
from tests.evaluation.tiny_shards import run_config

AGAIN = "make the shards again: delete their folder and run the workflow, or `python -m glofnd.data shard`"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Shards of 16 samples of which one is left out, as (name, bytes) of every file."""
    root = tmp_path_factory.mktemp("made")
    folder_set(root / "set", 8)
    (root / "set/train/class0/3.png").write_bytes(b"")
    assert shard(root / "set", root / "out", "folder", bad_samples="skip", max_skipped=0.1) == 0
    return {path.name: path.read_bytes() for path in (root / "out").iterdir()}


@pytest.fixture
def folder(made, tmp_path):
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def flipped(data, place, mask=1):
    return data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :]


def readers(folder):
    """Whoever opens shards."""
    return (
        lambda: ShardStream(folder, batch_size=4, seed=1),
        lambda: Pictures(folder, "mine.train", 0),
        lambda: verify_shards(read_manifest(folder)),
    )


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path, data: path.write_bytes(data[:-700]), r"000001.tar: \d+ bytes instead of \d+ \(truncated\?\)"),
        (lambda path, data: path.write_bytes(b""), r"000001.tar: 0 bytes instead of"),
        (lambda path, data: path.write_bytes(data + b"\0"), r"000001.tar: \d+ bytes instead of"),
        (lambda path, data: path.write_bytes(flipped(data, len(data) - 1)), "000001.tar: SHA-256 differs"),
        (lambda path, data: path.write_bytes(flipped(data, 600)), "000001.tar: SHA-256 differs"),
        (lambda path, data: path.unlink(), "000001.tar: missing"),
        (lambda path, data: (path.unlink(), path.mkdir()), "000001.tar: missing"),
        (lambda path, data: (path.unlink(), path.symlink_to("nowhere")), "000001.tar: missing"),
    ],
)
def test_a_damaged_shard_is_named_by_every_reader(folder, damage, message):
    damage(folder / "000001.tar", (folder / "000001.tar").read_bytes())
    for reader in readers(folder):
        with pytest.raises(ManifestError, match=message) as caught:
            reader()
        assert AGAIN in str(caught.value)


def test_shards_in_each_others_place_are_found(folder):
    one, other = folder / "000000.tar", folder / "000001.tar"
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)
    with pytest.raises(ManifestError, match=r"000000.tar: "):
        ShardStream(folder, batch_size=4, seed=1)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_flipped_byte_of_a_shard_is_found(made, tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "flipped-shard"
    folder.mkdir(exist_ok=True)
    name = data.draw(st.sampled_from(["000000.tar", "000001.tar"]))
    place, mask = data.draw(st.integers(0, len(made[name]) - 1)), data.draw(st.integers(1, 255))
    for other, content in made.items():
        (folder / other).write_bytes(flipped(content, place, mask) if other == name else content)
    with pytest.raises(ManifestError, match=f"{name}: SHA-256 differs"):
        ShardStream(folder, batch_size=4, seed=1)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_manifest_is_refused_or_says_the_same(made, tmp_path, data):
    whole = made["manifest.json"]
    place = data.draw(st.integers(0, len(whole) - 1) | st.integers(whole.rindex(CHECKSUM), len(whole) - 1))
    cut, mask = data.draw(st.booleans()), data.draw(st.integers(1, 255))
    damaged = whole[:place] if cut else flipped(whole, place, mask)
    path = tmp_path / "manifest.json"
    path.write_bytes(whole)
    expected = _said(read_manifest(tmp_path))
    path.write_bytes(damaged)
    try:
        found = _said(read_manifest(tmp_path))
    except ManifestError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        assert found == expected


def _said(manifest):
    """All that a manifest says, comparable."""
    values = {key: value for key, value in vars(manifest).items() if key not in {"labels", "shards", "path", "index"}}
    shards = [{**vars(shard), "offsets": shard.offsets.tolist()} for shard in manifest.shards]
    return values, shards, {name: labels.tolist() for name, labels in manifest.labels.items()}


def _skip(change):
    return lambda content: change(content["skipped"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.__setitem__("skipped", {}), "'skipped' is dict, not list"),
        (_skip(lambda s: s[0].pop("reason")), "an entry of 'skipped': key 'reason' is missing"),
        (_skip(lambda s: s[0].__setitem__("index", "3")), "an entry of 'skipped': 'index' is str, not int"),
        (_skip(lambda s: s[0].__setitem__("index", 16)), "the skipped sample 16 is out of order or range"),
        (_skip(lambda s: s[0].__setitem__("index", -1)), "the skipped sample -1 is out of order or range"),
        (_skip(lambda s: s.append(dict(s[0]))), "the skipped sample 3 is out of order or range"),
        (_skip(lambda s: s[0].__setitem__("index", 4)), "offsets of a skipped sample are not 0"),
        (_skip(lambda s: s[0].__setitem__("index", 9)), "offsets are not those of 7 samples"),
        (_skip(lambda s: s.clear()), "offsets are not those of 7 samples"),
        (lambda c: c["labels"]["label"].__setitem__(3, 0), "sample 3 has label 0, out of range"),
        (lambda c: c["labels"]["label"].__setitem__(4, -1), "sample 4 has label -1, out of range"),
        (lambda c: c["labels"].__setitem__("label", [0.5] * 16), "labels of 'label' are not 16 integers"),
        (lambda c: c["labels"].__setitem__("label", [[0]] * 15 + [0]), "labels of 'label' are not 16 integers"),
        (lambda c: c["labels"].__setitem__("label", None), "labels of 'label' are not 16 integers"),
        (lambda c: c["labels"]["label"].__setitem__(0, 2**80), "labels of 'label' are not 16 integers"),
        (lambda c: c["classes"].__setitem__("label", [1, 2]), "label field 'label' has no class names"),
        (lambda c: c["shards"][0]["offsets"].__setitem__(0, [1]), "offsets are not 8 rows of 2 integers"),
        (lambda c: c["shards"][0]["offsets"].__setitem__(0, "no"), "offsets are not 8 rows of 2 integers"),
        (lambda c: c.__setitem__("image_size", 10**9), "image_size is 1000000000, not 1 to 65536"),
        (lambda c: c.__setitem__("samples", 10**15), "the shards hold 15 samples|are not"),
        (lambda c: c.__setitem__("samples", -1), "is out of order or range"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(folder, change, message):
    content = json.loads((folder / "manifest.json").read_text())
    del content["checksum"]
    change(content)
    (folder / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(ManifestError, match=message) as caught:
        read_manifest(folder)
    assert str(folder / "manifest.json") in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{" * 100_000, "[" * 100_000, '{"format": 1' + "1" * 5000 + "}", "\xff"]
)
def test_a_manifest_that_is_none_is_one_line(tmp_path, text):
    (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ManifestError, match=r"manifest.json: ") as caught:
        read_manifest(tmp_path)
    assert len(str(caught.value)) < 500


def test_an_edited_manifest_is_refused_and_one_of_earlier_versions_is_read(folder):
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    content["labels"]["label"][0] = 1
    path.write_text(json.dumps(content, indent=1))
    with pytest.raises(ManifestError, match=r"manifest.json: changed since it was written, its checksum differs; make"):
        read_manifest(folder)
    del content["checksum"]
    path.write_text(json.dumps(content))
    assert read_manifest(folder).labels["label"][0] == 1


def test_the_command_says_it_in_one_line(folder, tmp_path_factory, capsys, monkeypatch):
    shards = folder / "000000.tar"
    shards.write_bytes(flipped(shards.read_bytes(), 700))
    out = tmp_path_factory.mktemp("run")
    config = json.dumps({**run_config("sogclr", "glofnd"), "dataset": "mine"})
    monkeypatch.setattr("sys.argv", ["train", "--run-config", config, "--shards", str(folder), "--out", str(out)])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert capsys.readouterr().err == f"error: {shards}: SHA-256 differs from the manifest's; {AGAIN}\n"


def test_vacant_indices_are_never_read(folder):
    manifest = read_manifest(folder)
    assert manifest.skipped[0].index == 3 and not manifest.shards[0].offsets[3].any()
    np.testing.assert_array_equal(manifest.index, np.delete(np.arange(16), 3))
