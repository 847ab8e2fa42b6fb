import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from evaluation.leakage import align, content_hash, fingerprints, look, near_duplicates
from evaluation.split_pictures import Pictures
from tests.evaluation.drawn_subject import Drawn


def drawing(seed, side=64):
    """Random ellipses in colour, uint8 [H, W, 3]."""
    generator = np.random.default_rng(seed)
    image = Image.new("RGB", (side, side), tuple(generator.integers(0, 256, 3).tolist()))
    for _ in range(12):
        left, top = generator.integers(0, side - 8, 2).tolist()
        width, height = generator.integers(4, side // 2, 2).tolist()
        colour = tuple(generator.integers(0, 256, 3).tolist())
        ImageDraw.Draw(image).ellipse((left, top, left + width, top + height), fill=colour)
    return np.asarray(image)


def recompressed(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=60)
    return np.asarray(Image.open(buffer))


def resized(picture):
    return np.asarray(Image.fromarray(picture).resize((48, 48)).resize((64, 64)))


def brighter(picture):
    return (40 + picture * 0.8).astype(np.uint8)


@pytest.mark.parametrize("change", [recompressed, resized, brighter])
def test_the_same_picture_in_another_guise_is_a_near_duplicate(change):
    train = [drawing(seed) for seed in range(50)]
    test = [change(train[7]), *(drawing(seed) for seed in range(100, 140)), change(train[31])]
    looks = [np.stack([look(p.transpose(2, 0, 1)) for p in part]) for part in (train, test)]
    assert np.flatnonzero(near_duplicates(*looks)).tolist() == [0, 41]


def test_hashes_of_a_split_are_kept_beside_it_and_made_again_for_other_shards(shards, tmp_path):
    folder = tmp_path / "tiny/test"
    folder.parent.mkdir()
    folder.symlink_to(shards / "tiny/test")
    pictures = Pictures(tmp_path, "tiny", "test")
    first = fingerprints(pictures)
    images = next(pictures.chunks(grey=True)).numpy()
    assert first[0].tolist() == [content_hash(image) for image in images]
    assert len(set(first[0].tolist())) == 12
    pictures.sha256 = "other"
    np.testing.assert_array_equal(fingerprints(pictures)[1], first[1])


def test_equal_and_similar_pictures_are_counted_and_left_out_of_the_clean_score(tmp_path):
    train, test = Drawn(tmp_path, "a.train", 300, seed=0), Drawn(tmp_path, "a.test", 300, seed=1)
    test.content[3], test.look[5] = train.content[9], train.look[11]
    test.prints(test.content, test.look)
    labels, side = align(train, test, "label")
    assert side.shared == {"shared_pictures": 1, "near_duplicates": 1}
    assert np.flatnonzero(~side.clean).tolist() == [3, 5]
    np.testing.assert_array_equal(side.classes[labels], train.label("label"))


def test_splits_that_do_not_fit_are_refused(tmp_path):
    train = Drawn(tmp_path, "a.train", 60)
    with pytest.raises(ValueError, match="are the same shards"):
        align(train, train, "label")
    copies = Drawn(tmp_path, "a.test", 60, seed=1)
    copies.prints(train.content, train.look)
    with pytest.raises(ValueError, match=r"60 of 60 pictures are also in a\.train"):
        align(train, copies, "label")
    copies.prints(np.arange(60) + 500, train.look)
    with pytest.raises(ValueError, match="every picture is, or looks like"):
        align(train, copies, "label")
    with pytest.raises(ValueError, match="have a label that"):
        align(train, Drawn(tmp_path, "a.test", 60, classes=4, seed=1), "label")
    with pytest.raises(ValueError, match="single class"):
        align(Drawn(tmp_path, "b.train", 9, classes=1), Drawn(tmp_path, "b.test", 9, classes=1, seed=1), "label")
