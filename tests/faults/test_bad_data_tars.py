"""Tars of the user's own: damaged as a whole (always an error), or with a sample that cannot be used."""

import gzip
import io
import os
import re
import tarfile

import pytest
from bad_data import NAMES, changed, members, noisy, refusal, shard, tar, webdataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glofnd.data.catalogue import resolved
from glofnd.data.datasets.tar_index import samples_of
from glofnd.data.stream import ShardStream
from glofnd.files import read_json

GOOD = members(range(6))
SKIP = {"bad_samples": "skip", "max_skipped": 0.4}


def _special(kind, name="s006.png", target="s000.png"):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def _sparse():
    info = tarfile.TarInfo("s006.png")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "4096"}
    return info, b"1\n0\n9\n".ljust(512, b"\0") + b"123456789"


def _whole(path):
    return tar(path, GOOD).read_bytes()


def _with(*entries):
    return lambda path: tar(path, [*GOOD, *entries])


def _written(change):
    return lambda path: path.write_bytes(change(_whole(path)))


# What is done to train/0.tar, and what is said of it, whatever the policy.
STRUCTURE = {
    "zero bytes": (_written(lambda data: b""), r"0.tar: is no readable uncompressed tar \(empty file\)"),
    "no members": (lambda path: tar(path, []), r"0.tar: has no samples; get it again, or remove it"),
    "only a folder": (
        lambda path: tar(path, [(_special(tarfile.DIRTYPE, "d"), b"")]),
        r"0.tar: has no samples",
    ),
    "cut in a header": (_written(lambda data: data[: 512 * 3 + 100]), r"0.tar: .*; get it again"),
    "cut in a picture": (
        _written(lambda data: data[:2000]),
        r"0.tar: is no readable uncompressed tar \(unexpected end",
    ),
    "cut in a text": (
        _written(lambda data: data[: data.rindex(b"number 5") + 4]),
        r"0.tar: member 's005.txt': the file ends early",
    ),
    "cut between members": (
        _written(lambda data: data[: data.index(b"s003.png")]),
        r"0.tar: byte \d+: the file ends early \(truncated\?\)",
    ),
    "a damaged header": (
        _written(lambda data: data.replace(b"s003.cls", b"s003.clz", 1)),
        r"0.tar: byte \d+: a damaged header; get it again",
    ),
    "two tars in one": (_written(lambda data: data + data), r"0.tar: more stands behind the end of the tar"),
    "compressed": (_written(gzip.compress), r"0.tar: is no readable uncompressed tar"),
    "no tar": (_written(lambda data: b"<html>" * 200), r"0.tar: is no readable uncompressed tar"),
    "absolute": (_with(("/s006.png", noisy(6))), r"member '/s006.png': an absolute name, or one with `..`, is refused"),
    "upwards": (_with(("../s006.png", noisy(6))), r"member '../s006.png': an absolute name"),
    "upwards within": (_with(("a/../../s006.png", noisy(6))), r"member 'a/../../s006.png': an absolute name"),
    "folder upwards": (_with((_special(tarfile.DIRTYPE, "../d"), b"")), r"member '../d': an absolute name"),
    "symbolic link": (_with((_special(tarfile.SYMTYPE), b"")), r"member 's006.png': a link or device is refused"),
    "link outside": (_with((_special(tarfile.SYMTYPE, target="/etc/passwd"), b"")), r"a link or device is refused"),
    "hard link": (_with((_special(tarfile.LNKTYPE), b"")), r"member 's006.png': a link or device is refused"),
    "pipe": (_with((_special(tarfile.FIFOTYPE), b"")), r"a link or device is refused"),
    "character device": (_with((_special(tarfile.CHRTYPE), b"")), r"a link or device is refused"),
    "block device": (_with((_special(tarfile.BLKTYPE), b"")), r"a link or device is refused"),
    "holes": (_with(_sparse()), r"member 's006.png': a file with holes is refused"),
}


@pytest.mark.parametrize("name", STRUCTURE)
def test_a_tar_that_is_damaged_as_a_whole_is_never_skipped(tmp_path, capsys, name):
    damage, message = STRUCTURE[name]
    webdataset(tmp_path / "set", members(range(6, 12)), tars=1)
    (tmp_path / "set/train/0.tar").rename(tmp_path / "set/train/1.tar")
    damage(tmp_path / "set/train/0.tar")
    for options in ({}, SKIP):
        line = refusal(capsys, tmp_path / "set", tmp_path / "out", **options)
        assert re.search(message, line), line
        assert str(tmp_path / "set/train/0.tar") in line


# What the members become, the index of the bad sample, and the reason.
SAMPLES = {
    "no picture": (changed(GOOD, "s002.png", None), 2, "sample 's002': has no picture (jpg, jpeg, png, webp)"),
    "picture cut": (changed(GOOD, "s002.png", noisy(2)[:90]), 2, "member 's002.png': does not decode"),
    "picture empty": (changed(GOOD, "s002.png", b""), 2, "member 's002.png': does not decode (the file is empty)"),
    "second picture": ([*GOOD, ("s005.jpg", noisy(6))], 5, "member 's005.jpg': a second picture of the same sample"),
    "member twice": ([*GOOD, ("s005.cls", b"1")], 5, "member 's005.cls': stands there twice"),
    "key twice": ([*GOOD, *GOOD[:3]], 6, "member 's000.png': the sample 's000' has come before (a duplicate?)"),
    "no class": (changed(GOOD, "s003.cls", None), 3, "sample 's003': has no .cls"),
    "class out of range": (changed(GOOD, "s003.cls", b"4"), 3, "cls is '4', neither one of the 4 classes"),
    "class negative": (changed(GOOD, "s003.cls", b"-1"), 3, "sample 's003': cls is '-1', neither one"),
    "class no number": (changed(GOOD, "s003.cls", b"1.0"), 3, "cls is '1.0', neither one"),
    "class not a number": (changed(GOOD, "s003.cls", b"nan"), 3, "cls is 'nan', neither one"),
    "class with underscores": (changed(GOOD, "s003.cls", b"0_1"), 3, "cls is '0_1', neither one"),
    "class of many digits": (changed(GOOD, "s003.cls", b"9" * 5000), 3, "neither one of the 4 classes"),
    "class empty": (changed(GOOD, "s003.cls", b""), 3, "cls is '', neither one"),
    "class unknown": (changed(GOOD, "s003.cls", b"mauve"), 3, "cls is 'mauve', neither one"),
    "class not UTF-8": (changed(GOOD, "s003.cls", b"\xff"), 3, "its .cls is not UTF-8"),
    "caption of 10 MB": (changed(GOOD, "s003.txt", b"a " * 5_000_000), 3, "'s003.txt': 10000000 bytes are too many"),
    "caption of 1 MB": (changed(GOOD, "s003.txt", b"a" * 2**20), 3, "a caption has 1048576 characters (at most 4096)"),
    "caption empty": (changed(GOOD, "s003.txt", b""), 3, "sample 's003': the caption is empty"),
    "caption blank": (changed(GOOD, "s003.txt", "\n \t\u2003\n".encode()), 3, "the caption is empty"),
    "caption not UTF-8": (changed(GOOD, "s003.txt", "Hüte".encode("latin-1")), 3, "its .txt is not UTF-8"),
    "caption UTF-16": (changed(GOOD, "s003.txt", "hat".encode("utf-16-be")), 3, "a caption has a zero byte"),
    "caption with a zero byte": (changed(GOOD, "s003.txt", b"a\0b"), 3, "a caption has a zero byte"),
    "no caption": (changed(GOOD, "s003.txt", None), 3, "sample 's003': has no .txt"),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_bad_sample_is_named_or_left_out_and_the_others_stay(tmp_path, capsys, name):
    content, index, reason = SAMPLES[name]
    root = tmp_path / "set"
    tar(root / "train/0.tar", content)
    tar(root / "train/1.tar", members(range(10, 14)))
    (root / "classnames.txt").write_text("\n".join(NAMES))
    line = refusal(capsys, root, tmp_path / "out")
    assert reason in line and str(root / "train/0.tar") in line and len(line) < 400
    assert shard(root, tmp_path / "out", **SKIP) == 0
    (entry,) = read_json(tmp_path / "out/manifest.json")["skipped"]
    assert entry["index"] == index and reason in f"{entry['where']}: {entry['reason']}"
    batch = next(ShardStream(tmp_path / "out", batch_size=1, seed=1).in_order(20))
    expected = [*range(6), *([6] if index == 6 else []), *range(10, 14)]
    kept = [place for place in range(len(expected)) if place != index]
    assert batch.index.tolist() == kept
    assert batch.labels["label"].tolist() == [expected[place] % 4 for place in kept]


def test_a_caption_at_the_limit_is_taken(tmp_path):
    tar(tmp_path / "train/0.tar", changed(GOOD, "s003.txt", "ü".encode() * 4096 + b"\n\n  \n"))
    (tmp_path / "classnames.txt").write_text("\n".join(NAMES))
    assert shard(tmp_path, tmp_path / "out") == 0
    assert ShardStream(tmp_path / "out", batch_size=1, seed=1).captions()[3] == ["ü" * 4096]


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.symlink_to("nowhere"), os.mkfifo])
def test_a_pattern_matches_plain_files_only(tmp_path, capsys, make):
    webdataset(tmp_path, GOOD)
    make(tmp_path / "train/2.tar")
    for options in ({}, SKIP):
        line = refusal(capsys, tmp_path, tmp_path / "out", **options)
        assert "train/2.tar: is no plain file, but 'train/*.tar' of `train` matches it" in line


@pytest.mark.parametrize("name", ["zwölf.png", "a" * 120 + ".png", "d" * 90 + "/" + "e" * 90 + ".png", "x\ny.png"])
def test_the_name_of_a_bad_member_is_whole(tmp_path, capsys, name):
    key = name.removesuffix(".png")
    tar(tmp_path / "train/0.tar", [*GOOD, (name, b"no picture"), (f"{key}.cls", b"0"), (f"{key}.txt", b"text")])
    (tmp_path / "classnames.txt").write_text("\n".join(NAMES))
    assert f"train/0.tar: member {name!r}: does not decode" in refusal(capsys, tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("red\n\nblue\ngrey\n", "classnames.txt: has an empty line between names; remove it, or name that class"),
        ("red\ngreen\nred\ngrey\n", "classnames.txt: the class 'red' stands there twice"),
        ("\n", "classnames.txt: is empty"),
    ],
)
def test_lists_of_names_that_would_move_numbers(tmp_path, capsys, names, message):
    webdataset(tmp_path, GOOD)
    (tmp_path / "classnames.txt").write_text(names)
    assert message in refusal(capsys, tmp_path, tmp_path / "out")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_byte_is_found_or_changes_no_picture(tmp_path, data):
    whole = _whole(tmp_path / "whole.tar")
    (tmp_path / "classnames.txt").write_text("\n".join(NAMES))
    used = whole.rindex(b"number 5") + 512
    place, mask = data.draw(st.integers(0, used)), data.draw(st.integers(1, 255))
    (tmp_path / "flipped.tar").write_bytes(whole[:place] + bytes([whole[place] ^ mask]) + whole[place + 1 :])
    entry, parameters = resolved({"path": str(tmp_path), "train": "flipped.tar", "image_size": 32}, "webdataset")
    try:
        split = entry.build(**{**parameters, "split": "train", "path": tmp_path})
        pictures = [split.encode(payload) for payload in split.payloads]
    except ValueError as error:
        assert "flipped.tar: " in str(error) and "\n" not in str(error)
        return
    assert pictures == [noisy(n) for n in range(6)] and len(split.labels["label"]) == 6


def test_what_other_programs_write_is_read(tmp_path):
    for kind in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = tmp_path / f"{kind}.tar"
        with tarfile.open(path, "w", format=kind) as archive:
            archive.addfile(_special(tarfile.DIRTYPE, "./"))
            for name, content in GOOD:
                info = tarfile.TarInfo(f"./{name}")
                info.size, info.mtime = len(content), 1.5 if kind == tarfile.PAX_FORMAT else 1
                archive.addfile(info, io.BytesIO(content))
        data = path.read_bytes()
        assert len(list(samples_of(path, ["cls"]))) == 6
        # Some write a single block of zeros at the end.
        end = len(data.rstrip(b"\0"))
        path.write_bytes(data[: -(-end // 512) * 512 + 512])
        assert [sample.texts["cls"] for sample in samples_of(path, ["cls"])] == [b"0", b"1", b"2", b"3", b"0", b"1"]
