"""Killed before any line of what writes files: a reader finds nothing, the old file or the whole new one."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from kill_at_line import killed_before_line

import glofnd.data.__main__ as data_commands
import glofnd.files
from evaluation import feature_store, results
from evaluation.feature_store import FeatureStore, FeatureStoreError, Split, StoreWriter
from glofnd import checkpoint
from glofnd.data import writer
from glofnd.data.manifest import ManifestError, read_manifest, verify_shards
from glofnd.data.sources import installed
from glofnd.files import read_json, sha256, write_json
from tests.glofnd.data.tiny_data import tiny_split, write

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed process has written is in the kernel's hands; waiting for the disk is for power cuts."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def state(value: float) -> dict[str, object]:
    return {
        "format": checkpoint.FORMAT,
        "config": "{}",
        "epoch": 1,
        "step": 1,
        "model": {"weight": torch.full((300,), value)},
        "objective": {},
        "optimizer": {},
        "history": [],
        "provenance": {},
    }


def arrays(path: Path) -> list[float]:
    with np.load(path, allow_pickle=False) as file:
        return file["x"].tolist()


WRITERS: dict[str, tuple[Callable[[Path, float], object], Callable[[Path], object]]] = {
    "json": (lambda path, value: write_json(path, [value] * 300), lambda path: read_json(path)),
    "npz": (lambda path, value: results.write_arrays(path, {"x": np.full(300, value)}), arrays),
    "checkpoint": (
        lambda path, value: checkpoint.write(path, state(value)),
        lambda path: checkpoint.read(path)["model"]["weight"].tolist(),
    ),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_is_the_old_or_the_new_one(tmp_path: Path, kind: str) -> None:
    write_value, read = WRITERS[kind]
    path, modules = tmp_path / "file", (glofnd.files, checkpoint, results)
    number, found = 0, set()
    write_value(path, 1.0)
    while killed_before_line(lambda: write_value(path, 2.0), number, *modules):
        value = read(path)
        assert value in ([1.0] * 300, [2.0] * 300)
        found.add(value[0])
        write_value(path, 1.0)
        number += 1
    assert number > 15 and found == {1.0, 2.0}


def contents(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path) for path in folder.iterdir()}


def test_shards_stand_only_with_their_manifest(tmp_path: Path) -> None:
    """Over an older split of other pictures, too: its manifest never vouches for the new shards."""
    whole, older, out = tmp_path / "whole", tmp_path / "older", tmp_path / "out"
    write(tiny_split(9), whole)
    write(tiny_split(7), older)
    modules = (glofnd.files, writer)
    number = refused = 0
    shutil.copytree(older, out)
    while killed_before_line(lambda: write(tiny_split(9), out), number, *modules):
        try:
            manifest = read_manifest(out)
        except ManifestError:
            refused += 1
        else:
            verify_shards(manifest)
            assert manifest.samples in (7, 9)
        if number % 4 == 0:
            write(tiny_split(9), out)
            assert contents(whole).items() <= contents(out).items()
        shutil.rmtree(out)
        shutil.copytree(older, out)
        number += 13
    assert number > 300 and refused > 10


def test_a_source_is_whole_or_not_there(tmp_path: Path) -> None:
    """`source.json` is what the shard writer asks for, and it checks every file against it."""
    installed.fetch_digits(tmp_path / "warm")
    number, absent = 0, 0
    while killed_before_line(
        lambda: data_commands.fetch("digits", tmp_path / "raw"), number, glofnd.files, installed, data_commands
    ):
        if (tmp_path / "raw/source.json").exists():
            source = read_json(tmp_path / "raw/source.json")
            assert all(sha256(tmp_path / "raw" / name) == digest for name, digest in source["sha256"].items())
        else:
            absent += 1
        number += 9
    assert number > 50 and absent > 3


def features(value: float) -> Split:
    rows = np.arange(4)
    return Split(
        "tiny.train", np.full((4, 2), value, np.float32), rows, {"label": rows}, rows, np.zeros((4, 16, 16), np.uint8)
    )


def store(folder: Path, value: float) -> None:
    writer = StoreWriter(folder, {"run": {}, "modality": "unimodal", "source": {}})
    writer.add(features(value), "shards")
    writer.close({})


def test_features_are_refused_unless_the_manifest_is_theirs(tmp_path: Path) -> None:
    number, found = 0, set()
    store(tmp_path, 1.0)
    while killed_before_line(lambda: store(tmp_path, 2.0), number, glofnd.files, feature_store, results):
        try:
            found.add(float(FeatureStore(tmp_path).split("tiny", "train").features[0, 0]))
        except FeatureStoreError as error:
            assert "extract the features again" in str(error)
            found.add("refused")
        store(tmp_path, 1.0)
        number += 2
    assert found == {1.0, 2.0, "refused"}
