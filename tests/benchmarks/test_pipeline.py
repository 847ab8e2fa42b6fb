"""The machinery of benchmarks/pipeline.py on a few small pictures; it is raced by hand."""

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from benchmarks import pipeline
from benchmarks.pipeline import CACHED, DECODING, PEER, judge, ours, peer, ratio
from benchmarks.pipeline_peers import PEERS, loader
from benchmarks.pipeline_pictures import write_pictures
from glofnd.data.manifest import read_manifest
from glofnd.data.pictures import PictureReader
from glofnd.registry import VIEWS

STRENGTHS = {key: schema["default"] for key, schema in VIEWS.items()}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"), 12, 32, "png")


def test_both_sides_read_the_same_pictures(files):
    in_shards = PictureReader(read_manifest(files.shards), 0).images(np.arange(12))
    paths = sorted(files.folder.rglob("*.png"), key=lambda path: path.name)
    assert len(ImageFolder(str(files.folder))) == len(paths) == 12
    for picture, path in zip(in_shards, paths, strict=True):
        assert (np.asarray(Image.open(path)) == picture.transpose(1, 2, 0)).all()
    assert len(np.unique(in_shards.reshape(12, -1), axis=0)) == 12


@pytest.mark.parametrize("name", PEERS)
def test_peers_give_two_different_views(name, files):
    for (first, second), _ in loader(name, files, STRENGTHS, 6, 0):
        for view in (first, second):
            assert view.shape == (6, 3, 32, 32) and view.is_floating_point()
            assert view.min() >= 0 and 0.3 < view.max() <= 1
        assert (first != second).any()


def test_contenders_show_every_picture(files, monkeypatch):
    shown = []
    monkeypatch.setattr(pipeline.TwoViews, "__call__", lambda self, images, index, epoch: shown.append(index))
    epoch = ours(files, STRENGTHS, 6, 0, cache=False)
    epoch(), epoch()
    assert len(shown) == 4 and sorted(np.concatenate(shown)) == sorted([*range(12)] * 2)
    assert shown[0].tolist() != shown[2].tolist()
    assert peer(PEER, files, STRENGTHS, 6, 0)() is None


def timing(median, spread):
    return {"median_ms": median, "smallest_ms": median - spread, "largest_ms": median + spread}


def test_ratios_and_targets():
    found = ratio(timing(60, 20), timing(10, 2))
    assert found == {"median": 6, "low": 40 / 12, "high": 10}
    rows = [
        {"size": size, "extension": "png", "ratios": {DECODING: {PEER: found}, CACHED: {PEER: {"median": bound}}}}
        for size, bound in ((32, 4.9), (224, 1.5))
    ]
    assert [target.met for target in judge(rows)] == [True, False, True, True]
