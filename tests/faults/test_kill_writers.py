"""Killed before any line of what writes files: a reader finds nothing, the old file or the whole new one."""

import os
import shutil
from pathlib import Path

import pytest
from kill_at_line import killed_before_line

import glofnd.files
from glofnd.data import writer
from glofnd.data.manifest import ManifestError, read_manifest, verify_shards
from glofnd.files import read_json, sha256, write_json
from tests.glofnd.data.tiny_data import tiny_split, write

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed process has written is in the kernel's hands; waiting for the disk is for power cuts."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def test_a_file_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    path, number = tmp_path / "file", 0
    write_json(path, [1] * 300)
    while killed_before_line(lambda: write_json(path, [2] * 300), number, glofnd.files):
        assert read_json(path) in ([1] * 300, [2] * 300)
        write_json(path, [1] * 300)
        number += 1
    assert number > 15 and read_json(path) == [2] * 300
    assert list(tmp_path.iterdir()) == [path], "nothing is left behind"


def test_shards_stand_only_with_their_manifest(tmp_path: Path) -> None:
    """Over an older split of other pictures, too: its manifest never vouches for the new shards."""
    whole, older, out = tmp_path / "whole", tmp_path / "older", tmp_path / "out"
    write(tiny_split(9), whole)
    write(tiny_split(7), older)
    number = refused = 0
    shutil.copytree(older, out)
    while killed_before_line(lambda: write(tiny_split(9), out), number, glofnd.files, writer):
        try:
            manifest = read_manifest(out)
        except ManifestError:
            refused += 1
        else:
            verify_shards(manifest)
            assert manifest.samples in (7, 9)
        if number % 4 == 0:
            write(tiny_split(9), out)
            for path in whole.iterdir():
                assert sha256(out / path.name) == sha256(path)
        shutil.rmtree(out)
        shutil.copytree(older, out)
        number += 29
    assert number > 300 and refused > 5
