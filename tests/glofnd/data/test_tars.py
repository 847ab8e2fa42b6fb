import io
import json
import tarfile

import pytest
import webdataset as peer
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_data import picture, shown

from glofnd.data.datasets.tars import CC3M, PICTURES, WebDataset, samples_of
from glofnd.data.manifest import NO_LABEL
from glofnd.data.split import BadSampleError


def tar(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


KEYS = st.sampled_from(["a", "b", "x/a", "./c", "v1.0/d", "deep/er/e", "Ünïcode", "with space", "._a", "@b"])
EXTENSIONS = st.sampled_from(["png", "PNG", "jpg", "cls", "txt", "json", "seg.png", "npy"])


@settings(derandomize=True, max_examples=150, deadline=None)
@given(members=st.lists(st.tuples(KEYS, EXTENSIONS), max_size=12, unique_by=lambda m: (m[0], m[1].lower())))
def test_we_read_what_webdataset_reads(tmp_path_factory, members):
    """Samples, in its order, that have a picture or what is asked for."""
    members = [("first", "png"), *sorted(members, key=lambda member: member[0])]
    data = [(f"{key}.{extension}", f"{key} {extension}".encode()) for key, extension in members]
    path = tar(tmp_path_factory.mktemp("tars") / "0.tar", data)
    theirs = list(peer.WebDataset(str(path), shardshuffle=False))
    theirs = [sample for sample in theirs if {*PICTURES, "txt", "cls"} & sample.keys()]
    ours = list(samples_of(path, ["txt", "cls"], []))
    assert [sample.key for sample in ours] == [sample["__key__"] for sample in theirs]
    with path.open("rb") as handle:
        for sample, expected in zip(ours, theirs, strict=True):
            assert sample.texts == {key: expected[key] for key in ("txt", "cls") if key in expected}
            pictures = [expected[key] for key in PICTURES if key in expected]
            if len(pictures) == 1:
                handle.seek(sample.picture[0])
                assert handle.read(sample.picture[1]) == pictures[0] and sample.problem is None
            else:
                assert isinstance(sample.problem, BadSampleError)


def members(count=6, **texts):
    """Samples with a picture of value 10 n and texts made by functions of n."""
    return [
        (f"s{n:03d}.{extension}", data)
        for n in range(count)
        for extension, data in {
            "png": picture(10 * n),
            **{key: make(n).encode() for key, make in texts.items()},
        }.items()
    ]


def built(root, content, names=("zero", "one", "two"), split="train", **options):
    tar(root / split / "0.tar", content)
    (root / "classnames.txt").write_text("\n".join(names))
    return WebDataset(str(root), image_size=8, **options).split(split)


def test_pictures_classes_and_captions_belong_together(tmp_path):
    meta = {
        "json": lambda n: "\ufeff" + json.dumps({"a": [{"kind": "one"}], "b.c": ["x", f"y {n}"]}),
        "txt": lambda n: f"t {n}\r\nu",
    }
    split = built(tmp_path, members(**meta), label_from="json.a.0.kind", captions_from="txt")
    assert split.labels["label"] == [1] * 6 and split.captions[3] == ["t 3", "u"]
    assert [shown(split, n) for n in range(6)] == [10 * n for n in range(6)]
    dotted = WebDataset(str(tmp_path), label_from=None, captions_from="json.b.c").split("train")
    assert dotted.captions[2] == ["x", "y 2"] and list(dotted.labels) == ["caption"]


@pytest.mark.parametrize(
    ("names", "value", "found"),
    [
        (("zero", "one", "two"), "2", 2),
        (("zero", "one", "two"), "1.0", 1),
        (("zero", "one_two", "three"), "one two", 1),
        (("2012", "2013", "2014"), "2013", 1),
        (("1", "2", "0"), "1", r"'1' may be class 0 \('1'\) or 1 \('2'\)"),
        (("1.0", "2.0", "3.0"), "1", r"'1' may be class 0 \('1.0'\) or 1 \('2.0'\)"),
        (("7", "8"), "07.0", 0),
        (("a", "b"), "2", "'2' is neither one of the 2 classes nor its number"),
        (("a", "b"), "1.5", "'1.5' is neither"),
    ],
)
def test_a_class_is_its_name_or_else_its_number(tmp_path, names, value, found):
    content = members(1, cls=lambda n: value)
    if isinstance(found, int):
        assert built(tmp_path, content, names).labels["label"] == [found]
    else:
        with pytest.raises(ValueError, match=rf"0\.tar: sample 's000': cls: {found}"):
            built(tmp_path, content, names)


def test_what_is_no_sample_is_left_aside_and_named(tmp_path, capsys):
    content = members(4, cls=lambda n: "1")
    content[3:3] = [("README", b"x"), ("._s001.png", b"x"), ("__MACOSX/._s.png", b"x"), (".DS_Store", b"x")]
    tar(tmp_path / "train" / "._0.tar", [])
    split = built(tmp_path, [("README.md", b"x"), *content, ("index.csv", b"")])
    assert len(split) == 4 and [shown(split, n) for n in range(4)] == [0, 10, 20, 30]
    said = capsys.readouterr().out
    assert "left aside as no samples: 3 hidden, " in said
    assert split.aside == {"hidden": 3, ".md": 1, ".csv": 1, "no suffix": 1, "__MACOSX": 1}
    assert "train has no picture of 2 of 3 classes: zero, two" in said


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([("a.cls", b"1")], r"'a': has no picture"),
        ([("a.png", b""), ("a.jpg", b""), ("a.cls", b"1")], r"'a': has a second picture"),
        ([("a.png", b"")], r"'a': has no cls"),
        ([("a.png", b""), ("a.cls", b"\xff")], r"its \.cls cannot be read"),
        ([("a.png", b""), ("a.cls", b"1"), ("b.png", b""), ("b.cls", b"1"), ("a.png", b"")], r"'a': has come before"),
    ],
)
def test_bad_samples_fail_or_are_skipped(tmp_path, content, reason):
    with pytest.raises(ValueError, match=rf"{reason}.*; repair it, or set `bad_samples: skip`"):
        built(tmp_path, content)
    split = WebDataset(str(tmp_path), bad_samples="skip", max_skipped=0.9).split("train")
    assert len(split.bad_samples.found) == 1 and list(split.bad_samples.found) == [len(split) - 1]


def test_captions(tmp_path):
    tar(tmp_path / "000.tar", members(3, txt=lambda n: "same" if n else "  an  other "))
    split = CC3M(str(tmp_path)).split("train")
    assert split.captions == [["an other"], ["same"], ["same"]] and split.labels["caption"] == [0, 1, 1]
    for text, reason in ((" ", "empty"), ("x" * 5000, "5000 characters"), ("\0", "zero byte")):
        tar(tmp_path / "000.tar", members(1, txt=lambda n, text=text: text))
        with pytest.raises(ValueError, match=reason):
            CC3M(str(tmp_path)).split("train")


def test_a_damaged_tar_is_an_error(tmp_path):
    path = tar(tmp_path / "0.tar", members(3, cls=lambda n: "1"))
    data, whole = path.read_bytes(), len(list(samples_of(path, ["cls"], [])))
    end = data.rstrip(b"\0").__len__()
    for damaged in (b"", data[:700], data[: end - 600], data[:1024] + b"x" * 512 + data[1536:], bytes(10240)):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"0\.tar: "):
            list(samples_of(path, ["cls"], []))
    assert whole == 3


def test_nothing_that_matches_is_named(tmp_path):
    tar(tmp_path / "train/0.tar", members(1, cls=lambda n: "1"))
    with pytest.raises(ValueError, match=r"classnames\.txt: missing; write a class name a line"):
        WebDataset(str(tmp_path)).split("train")
    (tmp_path / "classnames.txt").write_text("a\nb\n")
    with pytest.raises(ValueError, match="no file matches 'test/"):
        WebDataset(str(tmp_path)).split("test")


def test_one_pattern_is_divided_and_who_is_bad_stays_bad(tmp_path):
    content = [m for m in members(20, cls=lambda n: str(n % 2)) if m[0] not in ("s003.cls", "s004.cls", "s006.cls")]
    options = {"test": "train/*.tar", "test_share": 0.25, "bad_samples": "skip", "max_skipped": 0.5}
    train, test = (built(tmp_path, content, ("even", "odd"), split, **options) for split in ("train", "test"))
    assert (len(train), len(test)) == (15, 5)
    both = [(part, k, round(shown(part, k)) // 10) for part in (train, test) for k in range(len(part))]
    assert sorted(number for _, _, number in both) == list(range(20))
    assert {number for part, k, number in both if k in part.bad_samples.found} == {3, 4, 6}
    assert all(part.labels["label"][k] in (number % 2, NO_LABEL) for part, k, number in both)
    flat = WebDataset(str(tmp_path), label_from=None, test="train/*.tar").split("test")
    assert len(flat) == 4 and flat.labels == {}
