import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from tiny_data import idx

from glofnd.data.catalogue import resolved
from glofnd.data.datasets import folder, grey
from glofnd.data.sources import installed


@pytest.fixture
def fashion_raw(idx_folder, tmp_path):
    from gzip import decompress

    raw = tmp_path / "raw"
    raw.mkdir()
    for path in idx_folder.glob("*.gz"):
        (raw / path.stem).write_bytes(decompress(path.read_bytes()))
    return raw


def opened(data):
    with Image.open(io.BytesIO(data)) as image:
        return image.mode, np.asarray(image)


def test_fashion_mnist_is_stratified_and_resized(fashion_raw):
    _, parameters = resolved({"train_samples": 30, "test_samples": 30, "image_size": 28}, "fashion-mnist")
    train = grey.fashion_mnist(**{**parameters, "split": "train", "path": fashion_raw})
    assert Counter(train.labels["label"]) == dict.fromkeys(range(10), 3)
    mode, pixels = opened(train.encode(train.payloads[0]))
    assert mode == "L" and (pixels == train.payloads[0]).all()
    larger = grey.fashion_mnist(fashion_raw, "test", {**parameters, "image_size": 32})
    assert opened(larger.encode(larger.payloads[0]))[1].shape == (32, 32)
    other = grey.fashion_mnist(fashion_raw, "train", {**parameters, "split_seed": 1})
    assert any((a != b).any() for a, b in zip(train.payloads, other.payloads, strict=True))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0\0\x09\1\0\0\0\1x", "not an idx file of bytes"),
        (b"", "not an idx file of bytes"),
        (idx(np.zeros((5, 28, 28)))[:-3], r"do not hold the \(5, 28, 28\) values"),
        (b"\0\0\x08\3\0\0\0\1", r"do not hold"),
    ],
)
def test_damaged_idx_files_are_named(tmp_path, content, message):
    (tmp_path / "images").write_bytes(content)
    with pytest.raises(ValueError, match=f"images: .*{message}"):
        grey.read_idx(tmp_path / "images")


def test_labels_out_of_range_are_refused(fashion_raw):
    path = fashion_raw / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\x0a")
    _, parameters = resolved({"train_samples": 30}, "fashion-mnist")
    with pytest.raises(ValueError, match=r"train-labels.*: label 10 of sample 59 is out of range for 10 classes"):
        grey.fashion_mnist(**{**parameters, "split": "train", "path": fashion_raw})


@pytest.mark.parametrize(
    ("name", "fetch", "build", "sizes"),
    [
        ("digits", installed.fetch_digits, grey.digits, (1437, 360)),
        ("mnist", installed.fetch_mnist, grey.mnist, (4000, 1000)),
    ],
)
def test_installed_digits(tmp_path, name, fetch, build, sizes):
    stated = fetch(tmp_path)
    assert stated["files"] == ["images.npy", "labels.npy"] and stated["version"]
    _, parameters = resolved({}, name)
    train, test = (build(path=tmp_path, split=part, **parameters) for part in ("train", "test"))
    assert (len(train), len(test)) == sizes
    images = np.load(tmp_path / "images.npy")
    assert images.max() == 255
    if name == "mnist":
        assert Counter(test.labels["label"]) == dict.fromkeys(range(10), 100)
    pictures = [p.tobytes() for p in images]
    assert len(set(pictures)) == len(images)
    assert not {p.tobytes() for p in train.payloads} & {p.tobytes() for p in test.payloads}


@pytest.fixture
def tree(tmp_path):
    """train and val of three classes, pictures wider than high; each class has its own grey."""
    for split, count in (("train", 3), ("val", 1)):
        for value, name in enumerate(["n01", "n02", "n03"]):
            (tmp_path / "tree" / split / name).mkdir(parents=True)
            for number in range(count):
                image = Image.new("RGB", (24, 12), (80 * value,) * 3)
                image.save(tmp_path / "tree" / split / name / f"{number}.png")
            (tmp_path / "tree" / split / name / "notes.txt").write_text("no picture")
    return tmp_path / "tree"


def _folder(root, split, parameters):
    return folder.folder(**{**parameters, "split": split, "path": str(root)})


def block(tree, **changes):
    return resolved({"path": str(tree), "image_size": 8, **changes}, "folder")[1]


def test_folder_of_class_folders(tree):
    split = _folder(tree, "train", block(tree))
    assert split.classes == {"label": ["n01", "n02", "n03"]} and split.labels["label"] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    mode, pixels = opened(split.encode(split.payloads[4]))
    assert mode == "RGB" and pixels.shape == (8, 8, 3) and (pixels == 80).all()
    assert len(_folder(tree, "test", block(tree))) == 3


def test_folder_with_a_class_list_and_jpeg(tree, tmp_path):
    (tmp_path / "classes.txt").write_text("n03 a big cat\nn01\n\n")
    split = _folder(tree, "train", block(tree, class_list=str(tmp_path / "classes.txt"), encoding="jpg"))
    assert split.classes["label"] == ["a big cat", "n01"] and len(split) == 6 and split.extension == "jpg"
    assert split.encode(split.payloads[0])[:3] == b"\xff\xd8\xff"
    (tmp_path / "classes.txt").write_text("n03\nn01\nn03\n")
    with pytest.raises(ValueError, match=r"classes.txt: line 3: class 'n03' is listed twice"):
        folder.read_class_list(tmp_path / "classes.txt")


def test_folder_errors_name_the_path(tree):
    with pytest.raises(
        ValueError, match=r"tree/none: no such folder; set `path` and `test` of the data set; .*tree has train, val"
    ):
        _folder(tree, "test", block(tree, test="none"))
    (tree / "train/n02/1.png").write_bytes(b"\x89PNG broken")
    split = _folder(tree, "train", block(tree))
    with pytest.raises(ValueError, match=r"train/n02/1.png: does not decode"):
        split.encode(split.payloads[4])
    (tree / "train/empty").mkdir()
    with pytest.raises(ValueError, match=r"train/empty: no pictures"):
        _folder(tree, "train", block(tree))


def test_classes_of_all_splits_are_those_of_the_training_folder(tree):
    (tree / "val/n00").mkdir()
    Image.new("RGB", (9, 9)).save(tree / "val/n00/0.png")
    with pytest.raises(ValueError, match=r"val/n00: is no class of .*train; remove it"):
        _folder(tree, "test", block(tree))
    (tree / "val/n00").rename(tree / "val/.hidden")
    assert len(_folder(tree, "test", block(tree))) == 3
    (tree / "val").rename(tree / "test")
    assert _folder(tree, "test", block(tree, test="test")).labels["label"] == [0, 1, 2]


def test_one_folder_for_both_splits_is_divided(tree):
    both = block(tree, test="train", test_share=0.34)
    train, test = _folder(tree, "train", both), _folder(tree, "test", both)
    assert test.labels["label"] == [0, 1, 2] and train.labels["label"] == [0, 0, 1, 1, 2, 2]
    assert not set(train.payloads) & set(test.payloads)
    root = _folder(tree / "train", "train", block(tree, train=".", test=".", test_samples=3))
    assert len(root) == 6


def test_a_subset_of_a_folder(tree):
    assert _folder(tree, "train", block(tree, train_samples=3)).labels["label"] == [0, 1, 2]
    with pytest.raises(ValueError, match="a subset of 10 samples was asked for, but there are only 9"):
        _folder(tree, "train", block(tree, train_samples=10))
