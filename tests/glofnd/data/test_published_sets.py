"""Tiny trees in torchvision's layouts, held against torchvision's own classes."""

import json

import numpy as np
import pytest
from tiny_data import photo, shown
from torchvision import datasets

from glofnd.data.catalogue import DATASETS
from glofnd.data.sources import fashion_mnist as fashion_source


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def food101(root):
    pictures = {split: {} for split in ("train", "test")}
    for number, name in enumerate(["apple_pie", "hot_and_sour_soup"]):
        for k in range(4):
            photo(root / "food-101/images" / name / f"{k}.jpg", 100 * number + 10 * k)
            pictures["test" if k == 3 else "train"].setdefault(name, []).append(f"{name}/{k}")
    for split, names in pictures.items():
        write(root / f"food-101/meta/{split}.json", json.dumps(names))


def dtd(root):
    for number, name in enumerate(["banded", "zigzagged"]):
        for k in range(6):
            photo(root / "dtd/dtd/images" / name / f"{name}_{k:04d}.jpg", 100 * number + 10 * k)
    for partition in (1, 2):
        for part, which in (("train", (0, 1)), ("val", (2, 3)), ("test", (4, 5))):
            lines = [f"{n}/{n}_{(k + partition - 1) % 6:04d}.jpg" for n in ("banded", "zigzagged") for k in which]
            write(root / f"dtd/dtd/labels/{part}{partition}.txt", "\n".join(lines) + "\n")


def oxford_pets(root):
    """Ids are of the breeds in alphabetical order."""
    for split, count in (("trainval", 3), ("test", 2)):
        lines = []
        for name, breed, species in [("Abyssinian", 1, 1), ("american_bulldog", 2, 2), ("Bengal", 3, 1)]:
            for k in range(count):
                photo(root / "oxford-iiit-pet/images" / f"{name}_{split[0]}{k}.jpg", 60 * breed + k)
                lines.append(f"{name}_{split[0]}{k} {breed} {species} 1")
        write(root / "oxford-iiit-pet/annotations" / f"{split}.txt", "\n".join(lines) + "\n")


def caltech101(root):
    for number, (name, count) in enumerate({"BACKGROUND_Google": 3, "Faces": 10, "accordion": 5}.items()):
        for k in range(count):
            photo(root / "caltech101/101_ObjectCategories" / name / f"image_{k + 1:04d}.jpg", 60 * number + k)


PUBLISHED = {"train": ["train"], "test": ["test"]}
WITH_VALIDATION = {"train": ["train", "val"], "test": ["test"]}
PEERS = {
    "food101": (food101, "food-101", PUBLISHED, datasets.Food101),
    "dtd": (dtd, "dtd/dtd", WITH_VALIDATION, datasets.DTD),
    "oxford-pets": (oxford_pets, "oxford-iiit-pet", {"train": ["trainval"], "test": ["test"]}, datasets.OxfordIIITPet),
}


@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize("name", PEERS)
def test_pictures_and_labels_are_torchvisions(tmp_path, name, inner):
    make, folder, parts, peer = PEERS[name]
    make(tmp_path)
    path = tmp_path / folder if inner else tmp_path
    for split, theirs_of in parts.items():
        ours = DATASETS[name].build(path=str(path), image_size=8, encoding="png").split(split)
        theirs = [sample for part in theirs_of for sample in peer(str(tmp_path), part)]
        assert ours.labels["label"] == [label for _, label in theirs]
        means = [np.asarray(picture).mean() for picture, _ in theirs]
        assert [shown(ours, k) for k in range(len(ours))] == pytest.approx(means, abs=1.5)
        assert [n.casefold().replace("_", " ") for n in peer(str(tmp_path), theirs_of[0]).classes] == [
            n.casefold() for n in ours.classes["label"]
        ]
        ours.check()
        if not inner:
            elsewhere = DATASETS[name].build(path=str(tmp_path / "elsewhere"))
            assert elsewhere.root == tmp_path / "elsewhere", "what lies beside it is not what was named"
        if name == "oxford-pets" and split == "test":
            assert ours.labels["species"] == [0, 0, 1, 1, 0, 0] and ours.classes["species"] == ["cat", "dog"]
        if name == "dtd":
            assert DATASETS[name].build(path=path, partition=2).split(split).payloads != ours.payloads


def test_malformed_lists_are_named(tmp_path):
    oxford_pets(tmp_path)
    food101(tmp_path)
    write(tmp_path / "oxford-iiit-pet/annotations/trainval.txt", "Abyssinian_1 1 1 1\nBengal_2 3 x 1\n")
    write(tmp_path / "food-101/meta/train.json", "{")
    with pytest.raises(ValueError, match=r"annotations/trainval\.txt: line 2 is not a picture and three numbers"):
        DATASETS["oxford-pets"].build(path=tmp_path).split("test")
    with pytest.raises(ValueError, match=r"food-101: its lists cannot be read"):
        DATASETS["food101"].build(path=tmp_path).split("train")


def test_caltech_is_divided_by_class(tmp_path):
    caltech101(tmp_path)
    peer = datasets.Caltech101(str(tmp_path))
    train, test = (DATASETS["caltech101"].build(path=str(tmp_path)).split(split) for split in ("train", "test"))
    assert len(train) + len(test) == len(peer) and sorted(test.labels["label"]) == [0, 0, 1]
    assert not set(train.payloads) & set(test.payloads)
    assert train.classes["label"] == ["off-center face", "accordion"]


def record(labels, k):
    """Rows of the red channel tell that rows and channels are read as published."""
    pixels = np.full((3, 32, 32), k, np.uint8)
    pixels[0, 0] = np.arange(32)
    return bytes(labels) + pixels.tobytes()


def test_cifar(tmp_path):
    ten, hundred = tmp_path / "cifar-10-batches-bin", tmp_path / "cifar-100-binary"
    write(ten / "batches.meta.txt", "\n".join(f"class{k}" for k in range(10)) + "\n\n")
    for batch, name in enumerate([*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]):
        (ten / name).write_bytes(b"".join(record([k % 10], k) for k in range(4 * batch, 4 * batch + 4)))
    write(hundred / "fine_label_names.txt", "\n".join(f"fine_{k}" for k in range(100)))
    write(hundred / "coarse_label_names.txt", "\n".join(f"coarse_{k}" for k in range(20)))
    (hundred / "test.bin").write_bytes(b"".join(record([k % 20, k], k) for k in range(40)))
    train = DATASETS["cifar10"].build(path=str(tmp_path)).split("train")
    assert train.labels["label"] == [k % 10 for k in range(20)] and train.classes["label"][3] == "class3"
    pixels = train.payloads[7].reshape(3, 32, 32)
    assert (pixels[0, 0] == np.arange(32)).all() and (pixels[1:] == 7).all()
    test = DATASETS["cifar100"].build(path=str(hundred)).split("test")
    assert test.labels == {"superclass": [k % 20 for k in range(40)], "label": list(range(40))}
    (hundred / "test.bin").write_bytes(b"x" * 3075)
    with pytest.raises(ValueError, match=r"test\.bin: 3075 bytes are no whole number of records of 3074"):
        DATASETS["cifar100"].build(path=str(hundred)).split("test")


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


def test_fashion_mnist_is_a_stratified_subset(tmp_path):
    folder, count = tmp_path / fashion_source.FOLDER, 60
    folder.mkdir(parents=True)
    images = np.arange(count)[:, None, None] * np.ones((1, 28, 28))
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.arange(count) % 10))
    split = DATASETS["fashion-mnist"].build(path=tmp_path, train_samples=30).split("train")
    assert sorted(split.labels["label"]) == sorted(3 * list(range(10))) and split.channels == 1
    assert all(round(shown(split, k)) % 10 == label for k, label in enumerate(split.labels["label"]))
