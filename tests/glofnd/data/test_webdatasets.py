"""Webdatasets of any kind, and CC3M as img2dataset writes it."""

import io
import json
import tarfile

import numpy as np
import published_trees as trees
import pytest
import webdataset
from PIL import Image

from glofnd.data.__main__ import main
from glofnd.data.catalogue import resolved
from glofnd.data.datasets.tar_index import member_name, picture_bytes
from glofnd.data.stream import ShardStream
from glofnd.files import read_json


def picture(number, kind="JPEG", size=(20, 14), mode="RGB"):
    buffer = io.BytesIO()
    Image.new("RGB", size, trees.colour(number)).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def tar(path, members, **options):
    """A tar of (name, bytes) members."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def built(root, split, kind="webdataset", **parameters):
    entry, full = resolved({"image_size": 8, "path": str(root), **parameters}, kind)
    return entry, entry.build(**{**full, "split": split, "path": root})


def seen(split):
    return [trees.nearest(np.asarray(Image.open(io.BytesIO(split.encode(payload))))) for payload in split.payloads]


@pytest.fixture
def classified(tmp_path):
    """The layout of clip-benchmark's webdatasets, written by webdataset itself: jpg, png and webp with a class."""
    (tmp_path / "classnames.txt").write_text("cat\ndog\nsea lion\n")
    kinds = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}
    for split, tars in (("train", 2), ("test", 1)):
        (tmp_path / split).mkdir()
        for number in range(tars):
            with webdataset.TarWriter(str(tmp_path / split / f"{number}.tar"), encoder=False) as writer:
                for k in range(3):
                    extension = list(kinds)[k]
                    sample = {
                        extension: picture(3 * number + k, kinds[extension]),
                        "cls": str((k + number) % 3).encode(),
                    }
                    writer.write({"__key__": f"s{number}{k}", **sample})
    return tmp_path


def test_classes_and_names(classified):
    entry, train = built(classified, "train")
    assert entry.labels == ("label",) and not entry.captions and train.captions is None
    assert train.classes == {"label": ["cat", "dog", "sea lion"]} and train.labels == {"label": [0, 1, 2, 1, 2, 0]}
    assert seen(train) == [0, 1, 2, 3, 4, 5]
    assert len(built(classified, "test")[1]) == 3
    assert built(classified, "train", train="train/1.tar")[1].labels == {"label": [1, 2, 0]}


def test_texts_and_json(tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("hot_dog\nice cream\n")
    labels = [{"kind": "hot_dog"}, {"kind": "ice cream"}, {"kind": 1}]
    members = []
    for k, content in enumerate(labels):
        captions = ["one  two", f"picture {k}\n", ""] if k else "only one"
        content = json.dumps({**content, "captions": captions}).encode()
        members += [(f"./deep/{k}.png", picture(k, "PNG")), (f"./deep/{k}.json", content)]
    tar(tmp_path / "train/x.tar", members)
    block = {"label_from": "json.kind", "captions_from": "json.captions", "class_list": str(names)}
    entry, train = built(tmp_path, "train", **block)
    assert entry.labels == ("label", "caption") and entry.label == "label" and entry.captions
    assert train.labels["label"] == [0, 1, 1] and train.classes["label"] == ["hot dog", "ice cream"]
    assert train.captions == [["only one"], ["one two", "picture 1"], ["one two", "picture 2"]]
    assert train.labels["caption"] == [0, 1, 2]


@pytest.fixture
def cc3m(tmp_path):
    """What img2dataset leaves: 00000.tar with jpg, json and txt, a table and numbers beside it; one caption twice."""
    captions = ["a red bus", "the sea at night", "a red bus", "zwölf Hüte", "a man"]
    for number in range(2):
        members = []
        for k in range(3 - number):
            place = 3 * number + k
            key, caption = f"{number:05d}{k:04d}", captions[place]
            record = {"caption": caption, "url": "http://x", "key": key, "status": "success", "error_message": None}
            record |= {"width": 256, "height": 200, "exif": "{}", "sha256": "0"}
            members += [
                (f"{key}.jpg", picture(place)),
                (f"{key}.json", json.dumps(record, indent=4).encode()),
                (f"{key}.txt", caption.encode()),
            ]
        tar(tmp_path / f"{number:05d}.tar", members)
        (tmp_path / f"{number:05d}.parquet").write_bytes(b"PAR1")
        (tmp_path / f"{number:05d}_stats.json").write_text("{}")
    return tmp_path


def test_cc3m(cc3m):
    entry, train = built(cc3m, "train", "cc3m")
    assert entry.labels == ("caption",) and entry.captions and seen(train) == [0, 1, 2, 3, 4]
    assert train.captions == [["a red bus"], ["the sea at night"], ["a red bus"], ["zwölf Hüte"], ["a man"]]
    assert train.labels == {"caption": [0, 1, 0, 2, 3]}
    assert train.classes["caption"] == ["a red bus", "the sea at night", "zwölf Hüte", "a man"]


def test_cc3m_from_tars_to_the_stream(cc3m, tmp_path, capsys):
    out = tmp_path / "out"
    block = json.dumps({"dataset": "cc3m", "path": str(cc3m), "image_size": 16, "shards": 2})
    assert main(["shard", "--dataset-config", block, "--split", "train", "--out", str(out), "--processes", "1"]) == 0
    assert "pairs sharing caption: 1 (10.000 %" in capsys.readouterr().out
    batch = next(ShardStream(out, batch_size=5, seed=0).in_order(5))
    assert batch.captions == ["a red bus", "the sea at night", "a red bus", "zwölf Hüte", "a man"]
    means = batch.images.permute(0, 2, 3, 1).numpy()
    assert [trees.nearest(pixels) for pixels in means] == [0, 1, 2, 3, 4]
    assert read_json(out / "manifest.json")["false_negatives"] == {"caption": {"pairs": 1, "share": 0.1}}


def test_offsets_point_at_the_pictures(cc3m):
    train = built(cc3m, "train", "cc3m")[1]
    assert len(train.payloads) == 5
    member = train.payloads[4]
    assert picture_bytes(member) == picture(4)
    assert member_name(member) == f"{cc3m / '00001.tar'}: member '000010001.jpg'"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_from": None}, "neither label_from nor captions_from is set"),
        ({"train": "none/*.tar"}, r"no file matches 'none/\*.tar'; set `path` and `train`"),
        ({"train": "../*.tar"}, r"the pattern '../\*.tar' must lie below `path`"),
        ({"class_list": "no/where.txt"}, "no/where.txt: missing; write one class name a line"),
        ({"label_from": "json.kind"}, r"train/0.tar: sample 's00': has no .json"),
    ],
)
def test_options_that_do_not_fit(classified, options, message):
    with pytest.raises(ValueError, match=message):
        built(classified, "train", **options)


def test_names_must_differ(classified):
    (classified / "classnames.txt").write_text("cat\ndog\ncat\n")
    with pytest.raises(ValueError, match=r"classnames.txt: the class 'cat' stands there twice"):
        built(classified, "train")
