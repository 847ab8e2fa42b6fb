"""Tiny trees in the very layout of the published archives and copies; a picture tells its class by its colour."""

import json

import numpy as np
from PIL import Image
from scipy.io import savemat

CIFAR10_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def colour(number):
    """A colour that identifies a small number and survives JPEG."""
    return (40 * (number % 6) + 20, 40 * (number // 6 % 6) + 20, 40 * (number // 36) + 20)


def nearest(pixels):
    """The number whose colour a picture's mean is nearest to."""
    mean = pixels.reshape(-1, 3).mean(axis=0)
    return min(range(216), key=lambda number: np.abs(np.array(colour(number)) - mean).sum())


def photo(path, number, size=(20, 14)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour(number)).save(path, quality=95)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def cifar_record(labels, number):
    pixels = np.zeros((3, 32, 32), np.uint8)
    pixels[:] = np.array(colour(number), np.uint8)[:, None, None]
    pixels[0, 0] = np.arange(32)  # the first row of the red channel: shows that rows and channels are read as published
    return bytes(labels) + pixels.tobytes()


def cifar10(root, per_batch=4):
    """Five training batches and one test batch; record k of the whole has class k % 10."""
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    (folder / "batches.meta.txt").write_text("\n".join(CIFAR10_NAMES) + "\n\n")
    for batch in range(6):
        numbers = range(batch * per_batch, (batch + 1) * per_batch)
        name = "test_batch.bin" if batch == 5 else f"data_batch_{batch + 1}.bin"
        (folder / name).write_bytes(b"".join(cifar_record([k % 10], k) for k in numbers))
    (folder / "readme.html").write_text("<html>")


def cifar100(root, train=40, test=20):
    """Class k % 100, superclass k % 20: the coarse label comes first in a record."""
    folder = root / "cifar-100-binary"
    folder.mkdir(parents=True)
    (folder / "fine_label_names.txt").write_text("\n".join(["aquarium_fish", *(f"fine_{k}" for k in range(1, 100))]))
    (folder / "coarse_label_names.txt").write_text("\n".join(f"coarse_{k}" for k in range(20)) + "\n")
    for name, count in (("train", train), ("test", test)):
        (folder / f"{name}.bin").write_bytes(b"".join(cifar_record([k % 20, k % 100], k) for k in range(count)))


def food101(root):
    classes = ["apple_pie", "hot_and_sour_soup"]
    pictures = {"train": [], "test": []}
    for number, name in enumerate(classes):
        for k in range(4):
            photo(root / "food-101/images" / name / f"{1000 + k}.jpg", number)
            pictures["test" if k == 3 else "train"].append(f"{name}/{1000 + k}")
    for split, names in pictures.items():
        write(root / f"food-101/meta/{split}.txt", "\n".join(names) + "\n")
    write(root / "food-101/meta/classes.txt", "\n".join(classes) + "\n")


def stanford_cars(root):
    names = ["AM General Hummer SUV 2000", "Acura RL Sedan 2012", "smart fortwo Convertible 2012"]
    (root / "devkit").mkdir(parents=True)
    savemat(root / "devkit/cars_meta.mat", {"class_names": np.array([names], dtype=object)})
    for split, count, path in (
        ("train", 6, "devkit/cars_train_annos.mat"),
        ("test", 3, "cars_test_annos_withlabels.mat"),
    ):
        entries = np.zeros((1, count), dtype=[(key, object) for key in ("bbox_x1", "bbox_y1", "class", "fname")])
        for k in range(count):
            photo(root / f"cars_{split}" / f"{k + 1:05d}.jpg", k % 3)
            entries[0, k] = (np.uint8(1), np.uint8(2), np.uint8(k % 3 + 1), f"{k + 1:05d}.jpg")
        savemat(root / path, {"annotations": entries})


def dtd(root):
    for number, name in enumerate(["banded", "zigzagged"]):
        for k in range(6):
            photo(root / "dtd/images" / name / f"{name}_{k:04d}.jpg", number)
    for partition in (1, 2):
        for part, which in (("train", (0, 1)), ("val", (2, 3)), ("test", (4, 5))):
            lines = [
                f"{name}/{name}_{(k + partition - 1) % 6:04d}.jpg" for name in ("banded", "zigzagged") for k in which
            ]
            write(root / f"dtd/labels/{part}{partition}.txt", "\n".join(lines) + "\n")


def oxford_pets(root):
    """Cats have capitals in their file names, dogs do not; ids are of the breeds in alphabetical order."""
    breeds = [("Abyssinian", 1, 1), ("american_bulldog", 2, 2), ("Bengal", 3, 1)]
    for split in ("trainval", "test"):
        lines = []
        for name, breed, species in breeds:
            for k in range(3 if split == "trainval" else 2):
                picture = f"{name}_{k + (100 if split == 'test' else 1)}"
                photo(root / "images" / f"{picture}.jpg", breed - 1)
                lines.append(f"{picture} {breed} {species} 1")
        write(root / "annotations" / f"{split}.txt", "\n".join(lines) + "\n")
    write(root / "annotations/list.txt", "#Image CLASS-ID SPECIES BREED ID\n")
    (root / "images/Abyssinian_1.mat").write_bytes(b"not a picture")


def caltech101(root):
    folders = {"BACKGROUND_Google": 3, "Faces": 10, "accordion": 5, "dollar_bill": 15}
    for number, (name, count) in enumerate(folders.items()):
        for k in range(count):
            photo(root / "101_ObjectCategories" / name / f"image_{k + 1:04d}.jpg", number)
    (root / "101_ObjectCategories/BACKGROUND_Google/tmp").write_text("")


def flowers102(root):
    """Thirty pictures; the published sets name them in any order."""
    labels = np.array([[k % 3 + 1 for k in range(30)]], np.uint8)
    for k in range(30):
        photo(root / "jpg" / f"image_{k + 1:05d}.jpg", k % 3)
    savemat(root / "imagelabels.mat", {"labels": labels})
    sets = {"trnid": [[5, 3, 1]], "valid": [[2, 4]], "tstid": [list(range(30, 5, -1))]}
    savemat(root / "setid.mat", {key: np.array(value, np.uint16) for key, value in sets.items()})


def imagenet(root):
    """Two classes of the usual list and one that is not in it."""
    for number, name in enumerate(["n01440764", "n01558993", "n01692333"]):
        for split, count in (("train", 3), ("val", 1)):
            for k in range(count):
                photo(root / split / name / f"{name}_{k}.JPEG", number)


SENTENCES = ["A red bus.", "Two  dogs\nrun. ", "a man", "the sea", "a hat", "one too many"]


def karpathy(path, folder_of, splits):
    """Karpathy's JSON: `splits` maps file name to split; picture k has five captions, the first one six."""
    images = []
    for k, (name, split) in enumerate(splits.items()):
        count = 6 if k == 0 else 5
        sentences = [
            {"raw": f"{SENTENCES[j]} {k}", "tokens": ["x"], "imgid": k, "sentid": 9 * k + j} for j in range(count)
        ]
        entry = {"filename": name, "imgid": k, "split": split, "sentences": sentences, "sentids": []}
        images.append(entry | ({"filepath": folder_of(name)} if folder_of else {}))
    write(path, json.dumps({"images": images, "dataset": "tiny"}))


def flickr30k(root):
    splits = {f"{1000 + k}.jpg": ["train", "train", "val", "test", "test"][k] for k in range(5)}
    for k, name in enumerate(splits):
        photo(root / "flickr30k-images" / name, k)
    karpathy(root / "dataset_flickr30k.json", None, splits)
    token = [f"{name}#{j}\t{SENTENCES[j].split()[0]} {k} , token ." for k, name in enumerate(splits) for j in range(5)]
    write(root / "results_20130124.token", "\n".join(token) + "\n")
    write(root / "test.txt", "1003\n1004\n")


def coco(root):
    splits = {}
    for k, split in enumerate(["train", "restval", "val", "test", "test"]):
        part = "train2014" if split == "train" else "val2014"
        splits[f"COCO_{part}_{k:012d}.jpg"] = split
        photo(root / part / f"COCO_{part}_{k:012d}.jpg", k)
    karpathy(root / "dataset_coco.json", lambda name: name.split("_")[1], splits)
    for part, numbers in (("train2017", (10, 11, 12)), ("val2017", (20, 21))):
        for k in numbers:
            photo(root / part / f"{k:012d}.jpg", k)
        content = {
            "info": {},
            "images": [{"id": k, "file_name": f"{k:012d}.jpg", "height": 14, "width": 20} for k in numbers],
            "annotations": [
                {"id": 100 * j + k, "image_id": k, "caption": f"caption {j} of {k}\n"}
                for j in range(5)
                for k in numbers
            ],
        }
        write(root / f"annotations/captions_{part}.json", json.dumps(content))
