import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_data import photo, shown
from torchvision.datasets import ImageFolder

from glofnd.data.class_names import read_class_folders
from glofnd.data.datasets.folder import IMAGENET100, Folder, ImageNet100
from glofnd.parameters import parameters

NAMES = st.text("abAB01 _-é中'", min_size=1, max_size=6).map(str.strip).filter(bool)
TREE = st.dictionaries(
    NAMES,
    st.dictionaries(NAMES, st.sampled_from([".png", ".JPG", ".jpeg", ".bmp", ".txt", ".npy"]), min_size=1),
    min_size=1,
    max_size=4,
)


@settings(derandomize=True, max_examples=40, deadline=None)
@given(tree=TREE, nested=st.booleans())
def test_we_read_what_torchvision_reads(tmp_path_factory, tree, nested):
    root = tmp_path_factory.mktemp("tree")
    for number, (name, files) in enumerate(tree.items()):
        for file, suffix in {"always": ".png", **files}.items():
            place = root / "train" / name / ("inner" if nested and len(file) % 2 else "") / f"{file}{suffix}"
            if suffix in (".txt", ".npy"):
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text("no picture")
            else:
                photo(place, 20 * number, size=(8, 8))
    peer = ImageFolder(root / "train")
    ours = Folder(str(root), image_size=8).split("train")
    assert list(ours.payloads) == [path for path, _ in peer.samples]
    assert ours.labels["label"] == peer.targets and ours.classes["label"] == peer.classes
    shutil.rmtree(root)


@pytest.fixture
def tree(tmp_path):
    for number, name in enumerate(["ant", "bee", "cat"]):
        for split, count in (("train", 3), ("val", 1)):
            for k in range(count):
                photo(tmp_path / split / name / f"{k}.jpg", 60 * number + 10 * k)
    return tmp_path


def test_hidden_and_foreign_files_are_no_samples_but_named(tree, capsys):
    for place in (
        *("train/.ipynb_checkpoints/0.jpg", "train/ant/.ipynb_checkpoints/0-checkpoint.jpg", "train/bee/._0.jpg"),
        *("train/@eaDir/0.jpg", "train/__MACOSX/ant/0.jpg"),
    ):
        photo(tree / place, 255)
    (tree / "train" / "ant" / "0.jpg").rename(tree / "train" / "ant" / "@home.jpg")
    split = Folder(str(tree)).split("train")
    assert len(split) == 9 and split.classes["label"] == ["ant", "bee", "cat"]
    assert "left aside as no samples: 3 hidden, 1 @eaDir, 1 __MACOSX" in capsys.readouterr().out
    assert split.aside == {"hidden": 3, "@eaDir": 1, "__MACOSX": 1}


def test_a_class_list_names_whole_folders(tree):
    for split in ("train", "val"):
        (tree / split / "cat").rename(tree / split / "sea lion")
        (tree / split / "bee").rename(tree / split / "n01558993")
        shutil.copytree(tree / split / "ant", tree / split / "sea")
    (tree / "list.txt").write_text("sea lion\nn01558993 American robin\nant\tthe ant\n")
    assert read_class_folders(tree / "list.txt") == {
        "sea lion": "sea lion",
        "n01558993": "American robin",
        "ant": "the ant",
    }
    split = Folder(str(tree), class_list=str(tree / "list.txt")).split("train")
    assert split.classes["label"] == ["sea lion", "American robin", "the ant"]
    assert [split.labels["label"][k] for k, path in enumerate(split.payloads) if "sea lion" in path] == [0] * 3
    for name in ("sea lion", "n01558993"):
        (tree / "train" / name).rename(tree / "train" / f"n01558993 {name}")
    (tree / "list.txt").write_text("n01558993 sea lion\nn01558993 n01558993\n")
    split = Folder(str(tree), class_list=str(tree / "list.txt")).split("train")
    assert split.classes["label"] == ["n01558993 sea lion", "n01558993 n01558993"]
    (tree / "train" / "n01558993 sea lion").rename(tree / "train" / "sea lion")
    (tree / "list.txt").write_text("sea lions\nant\n")
    with pytest.raises(ValueError, match="has no class 'sea lions'; did you mean 'sea lion'"):
        Folder(str(tree), class_list=str(tree / "list.txt")).split("train")


def test_one_folder_is_divided(tree):
    both = {"path": str(tree), "train": "train", "test": "train", "test_share": 0.34}
    train, test = Folder(**both).split("train"), Folder(**both).split("test")
    assert set(train.payloads) | set(test.payloads) == set(Folder(str(tree)).split("train").payloads)
    assert not set(train.payloads) & set(test.payloads) and test.labels["label"] == [0, 1, 2]


def test_a_flat_folder_has_no_classes(tree):
    split = Folder(str(tree / "train"), train="ant", image_size=8).split("train")
    assert split.labels == split.classes == {} and [round(shown(split, k)) for k in range(3)] == [0, 10, 20]


def test_what_is_missing_is_named(tree, capsys):
    with pytest.raises(ValueError, match=r"none: no such folder; set `path` and `test`; .* has train, val"):
        Folder(str(tree), test="none").split("test")
    photo(tree / "val" / "dog" / "0.jpg", 0)
    with pytest.raises(ValueError, match="train: has no class 'dog'"):
        Folder(str(tree)).split("test")
    shutil.rmtree(tree / "val" / "dog")
    shutil.rmtree(tree / "val" / "bee")
    assert Folder(str(tree)).split("test").labels["label"] == [0, 2]
    assert "test has no picture of 1 of 3 classes: bee" in capsys.readouterr().out
    shutil.rmtree(tree / "train")
    (tree / "train").mkdir()
    with pytest.raises(ValueError, match="train: no pictures"):
        Folder(str(tree)).split("train")


def test_imagenet100_takes_the_usual_hundred_classes(tmp_path):
    classes = read_class_folders(IMAGENET100)
    assert len(classes) == 100
    for name in [*classes, "n99999999"]:
        photo(tmp_path / "train" / name / "0.JPEG", 0)
    split = ImageNet100(str(tmp_path)).split("train")
    assert split.classes["label"] == list(classes.values()) and len(split) == 100
    assert parameters(ImageNet100)["image_size"].default == 256
