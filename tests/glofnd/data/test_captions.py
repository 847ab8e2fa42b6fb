import csv
import json

import pytest
from tiny_data import photo, shown

from glofnd.data.datasets.captions import CaptionList, CocoCaptions, Flickr30k

SENTENCES = ["A red bus.", "Two  dogs\nrun. ", "a man", "the sea", "a hat", "one too many"]


def karpathy(path, splits, folder=None):
    """Karpathy's JSON: `splits` maps file name to split; picture k has six captions."""
    images = []
    for k, (name, split) in enumerate(splits.items()):
        sentences = [{"raw": f"{sentence} {k}", "sentid": j} for j, sentence in enumerate(SENTENCES)]
        entry = {"filename": name, "imgid": k, "split": split, "sentences": sentences}
        images.append(entry | ({"filepath": folder(name)} if folder else {}))
    path.write_text(json.dumps({"images": images, "dataset": "tiny"}))


@pytest.fixture
def flickr(tmp_path):
    splits = {f"{1000 + k}.jpg": ["train", "train", "val", "test", "test"][k] for k in range(5)}
    for k, name in enumerate(splits):
        photo(tmp_path / "flickr30k-images" / name, 40 * k)
    karpathy(tmp_path / "dataset_flickr30k.json", splits)
    token = [f"{name}#{j}\t{SENTENCES[j].split()[0]} {k} ." for k, name in enumerate(splits) for j in range(5)]
    (tmp_path / "results_20130124.token").write_text("\n".join(token) + "\n")
    (tmp_path / "test.txt").write_text("1003\n1004\n")
    return tmp_path


@pytest.fixture
def coco(tmp_path):
    splits = {}
    for k, split in enumerate(["train", "restval", "val", "test", "test"]):
        part = "train2014" if split == "train" else "val2014"
        splits[f"COCO_{part}_{k:012d}.jpg"] = split
        photo(tmp_path / part / f"COCO_{part}_{k:012d}.jpg", 40 * k)
    karpathy(tmp_path / "dataset_coco.json", splits, lambda name: name.split("_")[1])
    for part, numbers in (("train2017", (10, 11, 12)), ("val2017", (20, 21))):
        for k in numbers:
            photo(tmp_path / part / f"{k:012d}.jpg", 10 * k)
        content = {
            "images": [{"id": k, "file_name": f"{k:012d}.jpg"} for k in numbers],
            "annotations": [
                {"id": 100 * j + k, "image_id": k, "caption": f"caption {j} of {k}\n"}
                for j in reversed(range(5))
                for k in numbers
            ],
        }
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (tmp_path / f"annotations/captions_{part}.json").write_text(json.dumps(content))
    return tmp_path


def test_flickr30k_by_karpathys_splits(flickr):
    sizes = [len(Flickr30k(flickr).split(split)) for split in ("train", "val", "test")]
    test = Flickr30k(flickr, image_size=8, encoding="png").split("test")
    assert sizes == [2, 1, 2] and [round(shown(test, k)) for k in range(2)] == [120, 160]
    assert test.captions[1] == ["A red bus. 4", "Two dogs run. 4", "a man 4", "the sea 4", "a hat 4"]
    assert len(Flickr30k(flickr, captions_per_picture=None).split("test").captions[0]) == 6


def test_flickr30k_by_its_own_list(flickr):
    test = Flickr30k(flickr, annotations="token").split("test")
    assert [path.name for path in test.payloads] == ["1003.jpg", "1004.jpg"]
    assert test.captions[0] == ["A 3 .", "Two 3 .", "a 3 .", "the 3 .", "a 3 ."]


def test_coco_by_karpathys_splits(coco):
    train = CocoCaptions(coco, image_size=8, encoding="png").split("train")
    assert [path.parent.name for path in train.payloads] == ["train2014", "val2014"], "restval is trained on"
    assert [round(shown(train, k)) for k in range(2)] == [0, 40]
    assert len(CocoCaptions(coco).split("test")) == 2


def test_coco_by_its_own_years(coco):
    test = CocoCaptions(coco, annotations="2017", image_size=8, encoding="png").split("test")
    assert [round(shown(test, k)) for k in range(2)] == [200, 210]
    assert test.captions[0] == [f"caption {j} of 20" for j in range(5)]
    with pytest.raises(ValueError, match="has the splits train and test"):
        CocoCaptions(coco, annotations="2017").split("val")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ('{"images": [{"split": "test"}]}', "is not in its published form"),
        ('{"images": []}', "has no pictures of the split 'test'"),
        ('{"images": [{"split": "test", "filename": "../x.jpg", "sentences": []}]}', "'../x.jpg' is refused"),
        ('{"images": [{"split": "test", "filename": "x.jpg", "sentences": []}]}', "x.jpg: the caption is empty"),
        ('{"images": [{"split": "test", "filename": "x.jpg", "sentences": [{"raw": "\\ud83d"}]}]}', "half a character"),
    ],
)
def test_annotations_that_are_wrong_are_named(tmp_path, content, message):
    (tmp_path / "dataset_flickr30k.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        Flickr30k(tmp_path).split("test")


def test_a_list_of_ones_own(tmp_path):
    rows = [(f"inner/{k}.jpg", f'a "{k}", or so') for k in range(10)] + [("inner/3.jpg", "another")]
    for k in range(10):
        photo(tmp_path / f"inner/{k}.jpg", 20 * k)
    with (tmp_path / "a.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([("file_name", "id", "text"), *((name, 0, text) for name, text in rows)])
    with (tmp_path / "a.tsv").open("w", newline="") as handle:
        csv.writer(handle, delimiter="\t").writerows(
            [("filepath", "title"), *((tmp_path / name, text) for name, text in rows)]
        )
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"image": name, "caption": [text]}) for name, text in rows))
    for name in ("a.csv", "a.tsv", "a.jsonl"):
        train = CaptionList(tmp_path, train=name, image_size=8).split("train")
        assert [round(shown(train, k)) for k in range(10)] == [20 * k for k in range(10)]
        assert train.captions[3] == ['a "3", or so', "another"] and train.captions[4] == ['a "4", or so']
        parts = [CaptionList(tmp_path, train=name, test=name, test_share=0.3).split(s) for s in ("train", "test")]
        assert [len(part) for part in parts] == [7, 3]
        assert {*parts[0].payloads, *parts[1].payloads} == {*train.payloads}
    (tmp_path / "b.csv").write_text("x,y\n1,2\n")
    with pytest.raises(ValueError, match=r"b\.csv: its first line names no column"):
        CaptionList(tmp_path, train="b.csv").split("train")
    for caption in ("hello, world", '"a quotation mark that is never closed'):
        (tmp_path / "c.csv").write_text(f"image,text\ninner/0.jpg,{caption}\ninner/1.jpg,one\n")
        with pytest.raises(ValueError, match=r"c\.csv: .*must be quoted"):
            CaptionList(tmp_path, train="c.csv").split("train")
