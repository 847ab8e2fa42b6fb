import json

import numpy as np
import pytest
from stored import make_split, make_store

from evaluation.feature_store import FeatureStore, FeatureStoreError


def test_what_is_written_is_read(tmp_path):
    split = make_split("a.train", 12, bimodal=True)
    found = make_store(tmp_path, [split], "bimodal").split("a", "train")
    for name, array in split.arrays().items():
        np.testing.assert_array_equal(found.arrays()[name], array)
    assert set(found.arrays()) == set(split.arrays())


def test_a_changed_file_is_refused(tmp_path):
    store = make_store(tmp_path, [make_split("a.train", 12)])
    path = tmp_path / "a.train.npz"
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    with pytest.raises(FeatureStoreError, match=r"a\.train\.npz: SHA-256 differs"):
        store.split("a", "train")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "a.train.npz").unlink(), "missing, though the manifest names it"),
        (lambda folder: (folder / "manifest.json").unlink(), "missing; extract the features first"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "not valid JSON"),
        (lambda folder: (folder / "manifest.json").write_text(json.dumps({"format": 0})), "of format 2"),
    ],
)
def test_damage_is_named(tmp_path, damage, message):
    make_store(tmp_path, [make_split("a.train", 12)])
    damage(tmp_path)
    with pytest.raises(ValueError, match=message):
        FeatureStore(tmp_path).split("a", "train")


def test_what_was_not_extracted_is_named(tmp_path):
    store = make_store(tmp_path, [make_split("a.train", 12)])
    with pytest.raises(FeatureStoreError, match=r"no features of a\.test \(there are: a\.train\)"):
        store.split("a", "test")
    with pytest.raises(FeatureStoreError, match="no label field 'group'; choose from label, parity"):
        store.split("a", "train").label("group")


def test_a_diverged_encoder_is_refused_when_written(tmp_path):
    split = make_split("a.train", 12)
    split.features[7, 2] = np.nan
    with pytest.raises(FeatureStoreError, match="features of row 7 is not finite"):
        make_store(tmp_path, [split])
    assert not (tmp_path / "manifest.json").exists()
