"""benchmarks/pipeline.py on a few small pictures: both sides read the same."""

import numpy as np
from PIL import Image
from torchvision.datasets import ImageFolder

from benchmarks.objectives import race
from benchmarks.pipeline import ours, peer, write_pictures
from glofnd.data.manifest import read_manifest
from glofnd.data.pictures import PictureReader


def test_both_sides_read_the_same_pictures(tmp_path):
    write_pictures(tmp_path, 12, 32, "png")
    in_shards = PictureReader(read_manifest(tmp_path / "shards"), 0).images(np.arange(12))
    files = [path for path, _ in ImageFolder(str(tmp_path / "files/train")).samples]
    for picture, path in zip(in_shards, files, strict=True):
        assert (np.asarray(Image.open(path)) == picture.transpose(1, 2, 0)).all()
    calls = {("ours", 0): ours(tmp_path / "shards", 6, 0, False), ("peer", 0): peer(tmp_path / "files/train", 32, 6, 0)}
    assert all(found["ms"] > 0 for found in race(calls, 0, 1).values())
