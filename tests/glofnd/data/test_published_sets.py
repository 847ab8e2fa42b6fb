"""Every published data set, read from a tiny tree of its true layout."""

import io
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import published_trees as trees
import pytest
from PIL import Image

from glofnd.data.catalogue import DATASETS, resolved
from glofnd.data.datasets import folder
from glofnd.data.datasets.folder import read_class_list


def split_of(name, root, split, **parameters):
    entry, full = resolved({"image_size": 8, **parameters}, name)
    return entry.build(**{**full, "split": split, "path": root})


def seen(split):
    """The number that each picture's colour stands for."""
    return [trees.nearest(np.asarray(Image.open(io.BytesIO(split.encode(payload))))) for payload in split.payloads]


SIZES = {"train_samples": 4, "test_samples": 2}


def test_cifar10(tmp_path):
    trees.cifar10(tmp_path)
    train = split_of("cifar10", tmp_path, "train", train_samples=20, image_size=32)
    assert train.classes == {"label": trees.CIFAR10_NAMES}
    assert train.labels["label"] == [k % 10 for k in range(20)] and seen(train) == list(range(20))
    pixels = np.asarray(Image.open(io.BytesIO(train.encode(train.payloads[7]))))
    assert (pixels[0, :, 0] == np.arange(32)).all() and (pixels[1:] == trees.colour(7)).all()
    test = split_of("cifar10", tmp_path / "cifar-10-batches-bin", "test", test_samples=4)
    assert test.labels["label"] == [0, 1, 2, 3] and seen(test) == [20, 21, 22, 23]


def test_cifar_equals_the_pickled_version(tmp_path):
    """The pixels of a record are those that torchvision makes of a row of the Python version."""
    trees.cifar10(tmp_path)
    row = np.frombuffer((tmp_path / "cifar-10-batches-bin/data_batch_1.bin").read_bytes()[1:3073], np.uint8)
    torchvisions = row.reshape(1, 3, 32, 32).transpose((0, 2, 3, 1))[0]
    train = split_of("cifar10", tmp_path, "train", train_samples=20, image_size=32)
    assert (np.asarray(Image.open(io.BytesIO(train.encode(train.payloads[0])))) == torchvisions).all()


def test_cifar100_has_both_labels(tmp_path):
    trees.cifar100(tmp_path)
    train = split_of("cifar100", tmp_path, "train", train_samples=40)
    assert train.labels["label"] == list(range(40)) and train.labels["superclass"] == [k % 20 for k in range(40)]
    assert train.classes["label"][:2] == ["aquarium fish", "fine 1"] and len(train.classes["superclass"]) == 20
    assert len(split_of("cifar100", tmp_path, "test", test_samples=20)) == 20


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-1], r"data_batch_2.bin: 12291 bytes are not a whole number of records of 3073"),
        (lambda data: b"", r"data_batch_2.bin: 0 bytes are not"),
        (lambda data: b"\x0a" + data[1:], r"data_batch_2.bin: label 10 of record 0 is out of range for 10 classes"),
    ],
)
def test_damaged_cifar_is_named(tmp_path, damage, message):
    trees.cifar10(tmp_path)
    path = tmp_path / "cifar-10-batches-bin/data_batch_2.bin"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=message):
        split_of("cifar10", tmp_path, "train", train_samples=20)


def test_food101(tmp_path):
    trees.food101(tmp_path)
    train = split_of("food101", tmp_path, "train", train_samples=6)
    assert train.classes["label"] == ["apple pie", "hot and sour soup"]
    assert train.labels["label"] == seen(train) == [0, 0, 0, 1, 1, 1] and train.extension == "jpg"
    assert seen(split_of("food101", tmp_path / "food-101", "test", test_samples=2)) == [0, 1]
    (tmp_path / "food-101/meta/test.txt").write_text("pizza/1\n")
    with pytest.raises(ValueError, match=r"test.txt: line 1: 'pizza' is not in classes.txt"):
        split_of("food101", tmp_path, "test", test_samples=1)


def test_stanford_cars(tmp_path):
    trees.stanford_cars(tmp_path)
    train = split_of("stanford-cars", tmp_path, "train", train_samples=6)
    assert train.classes["label"][0] == "AM General Hummer SUV 2000"
    assert train.labels["label"] == seen(train) == [0, 1, 2, 0, 1, 2]
    assert seen(split_of("stanford-cars", tmp_path, "test", test_samples=3)) == [0, 1, 2]
    (tmp_path / "cars_test_annos_withlabels.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    with pytest.raises(ValueError, match=r"cars_test_annos_withlabels.mat: "):
        split_of("stanford-cars", tmp_path, "test", test_samples=3)
    (tmp_path / "devkit/cars_meta.mat").write_bytes(b"\x80\x04pickled")
    with pytest.raises(ValueError, match=r"cars_meta.mat: not a MATLAB 5 file"):
        split_of("stanford-cars", tmp_path, "train", train_samples=6)


def test_dtd_joins_train_and_validation(tmp_path):
    trees.dtd(tmp_path)
    train = split_of("dtd", tmp_path, "train", train_samples=8)
    assert Counter(train.labels["label"]) == {0: 4, 1: 4} and train.labels["label"] == seen(train)
    test = split_of("dtd", tmp_path, "test", test_samples=4)
    assert not set(train.payloads) & set(test.payloads)
    assert test.payloads != split_of("dtd", tmp_path, "test", test_samples=4, partition=2).payloads
    shutil.rmtree(tmp_path / "dtd/images/zigzagged")
    with pytest.raises(ValueError, match=r"class 'zigzagged' of train1.txt is missing"):
        split_of("dtd", tmp_path, "train", train_samples=8)


def test_oxford_pets(tmp_path):
    trees.oxford_pets(tmp_path)
    train = split_of("oxford-pets", tmp_path, "train", train_samples=9)
    assert train.classes == {"label": ["Abyssinian", "american bulldog", "Bengal"], "species": ["cat", "dog"]}
    assert train.labels["label"] == seen(train) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert train.labels["species"] == [0, 0, 0, 1, 1, 1, 0, 0, 0]
    assert len(split_of("oxford-pets", tmp_path, "test", test_samples=6)) == 6
    trees.write(tmp_path / "annotations/test.txt", "Birman_1 5 1\n")
    with pytest.raises(ValueError, match=r"test.txt: line 1: 'Birman_1 5 1' is not `picture breed species number`"):
        split_of("oxford-pets", tmp_path, "test", test_samples=6)
    trees.write(tmp_path / "annotations/test.txt", "Birman_1 5 1 1\n")
    with pytest.raises(ValueError, match=r"trainval.txt: has no picture of breed 5"):
        split_of("oxford-pets", tmp_path, "test", test_samples=1)


def test_caltech101_is_split_by_class_and_seed(tmp_path):
    trees.caltech101(tmp_path)
    train = split_of("caltech101", tmp_path, "train", train_samples=24, test_samples=6)
    test = split_of("caltech101", tmp_path, "test", train_samples=24, test_samples=6)
    assert train.classes["label"] == ["off-center face", "accordion", "dollar bill"], "the background is no class"
    assert Counter(test.labels["label"]) == {0: 2, 1: 1, 2: 3} and Counter(train.labels["label"]) == {0: 8, 1: 4, 2: 12}
    assert len({*train.payloads, *test.payloads}) == 30 and seen(test) == [1 + label for label in test.labels["label"]]
    other = split_of("caltech101", tmp_path, "test", train_samples=24, test_samples=6, split_seed=1)
    assert other.payloads != test.payloads
    (tmp_path / "101_ObjectCategories/empty").mkdir()
    with pytest.raises(ValueError, match=r"101_ObjectCategories/empty: no pictures"):
        split_of("caltech101", tmp_path, "test", **SIZES)


def test_flowers102(tmp_path):
    trees.flowers102(tmp_path)
    train = split_of("flowers102", tmp_path, "train", train_samples=5)
    assert len(train.classes["label"]) == 102 and train.classes["label"][0] == "pink primrose"
    assert [path.name for path in train.payloads] == [f"image_{k:05d}.jpg" for k in (1, 2, 3, 4, 5)]
    assert train.labels["label"] == seen(train) == [0, 1, 2, 0, 1]
    test = split_of("flowers102", tmp_path, "test", test_samples=25)
    assert not set(train.payloads) & set(test.payloads) and test.labels["label"] == seen(test)


def test_imagenet100_takes_the_usual_classes(tmp_path):
    trees.imagenet(tmp_path)
    with pytest.raises(ValueError, match=r"train/n01729322: no pictures"):
        split_of("imagenet100", tmp_path, "train")
    own = tmp_path / "own.txt"
    own.write_text("n01692333 a lizard\nn01440764\n")
    train = split_of("imagenet100", tmp_path, "train", class_list=str(own))
    assert train.classes["label"] == ["a lizard", "n01440764"] and seen(train) == [2, 2, 2, 0, 0, 0]
    listed = read_class_list(Path(folder.__file__).with_name("imagenet100.txt"))
    for number, wnid in enumerate(listed):
        for split in ("train", "val"):
            trees.photo(tmp_path / split / wnid / "1.JPEG", number)
    test = split_of("imagenet100", tmp_path, "test")
    assert len(test.classes["label"]) == 100 and test.classes["label"][0] == "American robin"
    assert sorted(set(test.labels["label"])) == list(range(100)) and seen(test)[5:] == test.labels["label"][5:]


def test_flickr30k_by_karpathy_and_by_token(tmp_path):
    trees.flickr30k(tmp_path)
    test = split_of("flickr30k", tmp_path, "test")
    assert [path.name for path in test.payloads] == ["1003.jpg", "1004.jpg"] and seen(test) == [3, 4]
    assert test.captions[0] == ["A red bus. 3", "Two dogs run. 3", "a man 3", "the sea 3", "a hat 3"]
    assert test.labels["caption"] == [0, 1] and test.classes["caption"] == ["A red bus. 3", "A red bus. 4"]
    assert [len(split_of("flickr30k", tmp_path, split)) for split in ("train", "val")] == [2, 1]
    train = split_of("flickr30k", tmp_path, "train")
    assert [len(lines) for lines in train.captions] == [5, 5], "a sixth caption is left out"
    assert len(split_of("flickr30k", tmp_path, "train", captions_per_picture=None).captions[0]) == 6
    token = split_of("flickr30k", tmp_path, "test", annotations="token")
    assert seen(token) == [3, 4] and token.captions[0][0] == "A 3 , token ." and len(token.captions[1]) == 5
    trees.write(tmp_path / "test.txt", "1003\n77\n")
    with pytest.raises(ValueError, match=r"has no captions of '77', which test.txt lists"):
        split_of("flickr30k", tmp_path, "test", annotations="token")


def test_coco_captions(tmp_path):
    trees.coco(tmp_path)
    sizes = {split: len(split_of("coco-captions", tmp_path, split)) for split in ("train", "val", "test")}
    assert sizes == {"train": 2, "val": 1, "test": 2}, "restval belongs to train"
    assert seen(split_of("coco-captions", tmp_path, "train")) == [0, 1]
    test = split_of("coco-captions", tmp_path, "test", annotations="2017")
    assert seen(test) == [20, 21] and test.captions[1] == [f"caption {j} of 21" for j in range(5)]
    assert len(split_of("coco-captions", tmp_path, "train", annotations="2017")) == 3
    with pytest.raises(ValueError, match="COCO 2017 has the splits train and test"):
        split_of("coco-captions", tmp_path, "val", annotations="2017")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "is not Karpathy's format"),
        ('{"images": [{"filename": "x.jpg"}]}', "is not Karpathy's format"),
        ('{"images": [{"filename": "../x", "split": "test", "sentences": []}]}', r"file name '../x' is refused"),
        ('{"images": [{"filename": "x", "split": "test", "sentences": [{"raw": " "}]}]}', "x: the caption is empty"),
        ('{"images": []}', "has no pictures of the split 'test'"),
    ],
)
def test_malformed_annotations_are_named(tmp_path, content, message):
    trees.write(tmp_path / "dataset_flickr30k.json", content)
    with pytest.raises(ValueError, match=f"dataset_flickr30k.json: .*{message}"):
        split_of("flickr30k", tmp_path, "test")


@pytest.mark.parametrize("name", [name for name, entry in DATASETS.items() if "path" in entry.parameters])
def test_what_is_missing_is_named(tmp_path, name):
    """An empty folder gives an error that names what is not there, for every set that reads files of the user's."""
    with pytest.raises((ValueError, FileNotFoundError), match=str(tmp_path)):
        split_of(name, tmp_path, "test")
