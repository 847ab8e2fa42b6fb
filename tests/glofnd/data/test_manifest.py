import pytest
from tiny_data import edit_manifest, tiny_split, write

from glofnd.data.manifest import ManifestError, read_manifest, verify_shards
from glofnd.files import sha256


def test_reads_what_was_written(shards):
    manifest = read_manifest(shards)
    assert (manifest.dataset, manifest.split, manifest.samples, manifest.image_size) == ("tiny", "train", 22, 8)
    assert manifest.labels["half"].tolist() == [0] * 11 + [1] * 11
    assert manifest.classes["label"] == ["a", "b", "c"]
    assert manifest.shards[1].offsets.shape == (7, 4)
    assert manifest.sha256() == sha256(shards / "manifest.json")
    verify_shards(manifest)


def _set(key, value):
    return lambda content: content.__setitem__(key, value)


def _shard(number, key, value):
    return lambda content: content["shards"][number].__setitem__(key, value)


def _duplicate(content):
    offsets = content["shards"][0]["offsets"]
    offsets[3] = offsets[2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("format", 2), "format is 2, this program reads 1"),
        (lambda content: content.pop("labels"), "key 'labels' is missing"),
        (_set("samples", "22"), "'samples' is str, not int"),
        (_set("samples", True), "'samples' is bool"),
        (_set("channels", 4), "channels is 4"),
        (lambda c: c["labels"]["label"].__setitem__(7, 3), "sample 7 has label 3, out of range for 3 classes"),
        (lambda c: c["labels"]["label"].__setitem__(7, -1), "sample 7 has label -1, out of range"),
        (lambda c: c["labels"]["label"].pop(), "labels of 'label' are not 22 integers"),
        (lambda c: c["classes"].pop("half"), "label field 'half' has no class names"),
        (_shard(1, "first_index", 9), r"shard 1 \(000001.tar\): first_index is 9, but 8 indices"),
        (_shard(2, "offsets", [[0, 1]]), r"000002.tar\): offsets are not 1 rows of 4 integers"),
        (_shard(0, "bytes", 600), r"000000.tar\): an offset lies outside the file's 600 bytes"),
        (_shard(0, "file", "../000000.tar"), "lies beside its manifest"),
        (_duplicate, "sample 000000003 overlaps the one before it"),
        (lambda content: content["shards"].pop(), "the shards hold 15 samples, but 'samples' is 22"),
        (lambda content: content["shards"].__setitem__(0, []), "shard 0: not a JSON object"),
    ],
)
def test_damaged_manifests_are_refused_by_name(shards, change, message):
    edit_manifest(shards, change)
    with pytest.raises(ManifestError, match=message) as caught:
        read_manifest(shards)
    assert str(shards / "manifest.json") in str(caught.value)


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(ManifestError, match=r"manifest.json: missing"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": 1,')
    with pytest.raises(ManifestError, match=r"manifest.json: not valid JSON"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "000001.tar: missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-700]), "000001.tar: .* bytes instead of .*truncated"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"), "000001.tar: SHA-256 differs"),
    ],
)
def test_damaged_shards_are_refused_by_name(shards, damage, message):
    damage(shards / "000001.tar")
    with pytest.raises(ManifestError, match=message):
        verify_shards(read_manifest(shards))


def test_a_member_with_another_key_is_refused(tmp_path):
    write(tiny_split(), tmp_path)
    path = tmp_path / "000000.tar"
    path.write_bytes(path.read_bytes().replace(b"000000004.png", b"000000003.png"))
    edit_manifest(tmp_path, _shard(0, "sha256", sha256(path)))
    with pytest.raises(ManifestError, match=r"000000.tar: member '000000003.png' stands where sample 000000004"):
        verify_shards(read_manifest(tmp_path))
