import io

import numpy as np
import pytest
import torch
from PIL import Image
from stored import make_split
from torch.nn import functional

from evaluation.feature_store import FeatureStoreError
from evaluation.fingerprints import content_hashes, perceptual_hashes, thumbnails
from evaluation.leakage import near_duplicates, shared_pictures


def drawing(seed, side=64):
    """Smooth random shapes in colour, uint8 [H, W, 3]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def small(pictures):
    stacked = np.stack([picture.transpose(2, 0, 1) for picture in pictures])
    return thumbnails(stacked)


def recompressed(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=40)
    return np.asarray(Image.open(buffer))


def resized(picture):
    return np.asarray(Image.fromarray(picture).resize((40, 40)).resize((64, 64)))


def brighter(picture):
    return (40 + picture * 0.8).astype(np.uint8)


@pytest.mark.parametrize("change", [recompressed, resized, brighter])
def test_the_same_picture_in_another_guise_is_a_near_duplicate(change):
    train = [drawing(seed) for seed in range(50)]
    test = [change(train[7]), *(drawing(seed) for seed in range(100, 140)), change(train[31])]
    found = near_duplicates(small(train), small(test))
    assert np.flatnonzero(found).tolist() == [0, 41]


def test_near_duplicates_equal_a_plain_search():
    generator = np.random.default_rng(0)
    train = generator.integers(0, 256, (300, 16, 16), dtype=np.uint8)
    noise = generator.integers(-14, 15, (200, 16, 16))
    test = np.clip(train[:200].astype(int) + noise * (np.arange(200) % 9)[:, None, None], 0, 255).astype(np.uint8)
    bits = [np.unpackbits(perceptual_hashes(part).view(np.uint8).reshape(-1, 8), axis=1) for part in (train, test)]
    wanted = []
    for row in range(200):
        near = np.flatnonzero((bits[0] != bits[1][row]).sum(axis=1) <= 10)
        wanted.append(any(np.corrcoef(train[n].ravel(), test[row].ravel())[0, 1] >= 0.995 for n in near))
    assert 20 < sum(wanted) < 200
    assert near_duplicates(train, test).tolist() == wanted


def test_flat_pictures_are_no_near_duplicates_of_anything():
    flat = np.full((3, 16, 16), 255, np.uint8)
    assert not near_duplicates(flat, flat).any()


def test_hashes_are_of_the_pixels_alone():
    images = np.stack([drawing(1), drawing(2), drawing(1)]).transpose(0, 3, 1, 2)
    found = content_hashes(images)
    assert found[0] == found[2] != found[1]
    assert content_hashes(np.ascontiguousarray(images)).tolist() == found.tolist()


def test_thumbnails_are_means_of_a_grid():
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 40, 24), dtype=np.uint8)
    wanted = functional.adaptive_avg_pool2d(torch.from_numpy(images).float().mean(1), 16).round()
    np.testing.assert_allclose(thumbnails(images), wanted.numpy(), atol=1)


def test_exact_and_near_ones_are_told_apart():
    train, test = make_split("a.train", 200, seed=0), make_split("a.test", 200, seed=1)
    test.content[3], test.thumbnail[3] = train.content[9], train.thumbnail[9]
    test.thumbnail[5] = train.thumbnail[11]
    found = shared_pictures(train, test)
    assert found.counts == {"shared_pictures": 1, "near_duplicates": 1}
    assert np.flatnonzero(~found.clean).tolist() == [3, 5]


def test_a_test_set_inside_the_training_set_is_refused():
    train = make_split("a.train", 200)
    with pytest.raises(FeatureStoreError, match=r"a\.train: 200 of 200 pictures are also in a\.train"):
        shared_pictures(train, train)


def test_a_test_set_of_training_pictures_stored_anew_is_refused():
    pictures = [drawing(seed) for seed in range(12)]
    train, test = make_split("a.train", 12, seed=0), make_split("a.test", 12, seed=1)
    train.thumbnail[:], test.thumbnail[:] = small(pictures), small([recompressed(picture) for picture in pictures])
    with pytest.raises(FeatureStoreError, match=r"a\.test: every picture is, or looks like, one of a\.train"):
        shared_pictures(train, test)
    test.thumbnail[7] = small([drawing(99)])[0]
    assert shared_pictures(train, test).counts == {"shared_pictures": 0, "near_duplicates": 11}
