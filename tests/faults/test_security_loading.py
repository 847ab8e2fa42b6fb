"""Files that would run a program, were they unpickled: refused, and nothing has run."""

import io
import json
import os
import pickle
import tarfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from snakemake.common.configfile import load_configfile

from evaluation.feature_store import FeatureStore, FeatureStoreError
from evaluation.old_results import write_arrays
from glofnd import checkpoint
from glofnd.data.__main__ import main as data_command
from glofnd.files import read_json, sha256, write_json
from glofnd.pretraining import pretrain
from tests.evaluation.stored import make_split, make_store
from tests.evaluation.tiny_shards import png, run_config, write_split
from workflow.config import read_config


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.fixture
def payload(tmp_path):
    """Unpickling it makes a folder, once to show that it works; none may be there at the end."""
    marker = tmp_path / "has run"
    pickle.loads(pickle.dumps(Payload(marker)))
    marker.rmdir()
    yield Payload(marker)
    assert not marker.exists()


def objects(payload):
    array = np.empty(2, dtype=object)
    array[:] = [payload, payload]
    return array


@pytest.mark.parametrize("kind", ["torch", "legacy", "bare"])
def test_checkpoints(payload, tmp_path, kind):
    path = tmp_path / "checkpoint.pt"
    if kind == "bare":
        path.write_bytes(pickle.dumps(payload))
    else:
        torch.save({"model": payload}, path, _use_new_zipfile_serialization=kind == "torch")
    with pytest.raises(ValueError, match=rf"{path}: damaged checkpoint \(.*\); delete it and run again"):
        checkpoint.read(path)


def test_rolling_checkpoints_and_trunks(payload, tmp_path):
    write_split(tmp_path / "shards", "train", 16, seed=0)
    shards, out, config = tmp_path / "shards/tiny/train", tmp_path / "run", run_config("sogclr", "none", epochs=1)
    pretrain(config, shards, out)
    (out / "checkpoint.pt").unlink()
    torch.save({"model": payload}, out / "resume-0.pt")
    pretrain(config, shards, out)
    torch.save({"model": payload}, tmp_path / "trunk.pt")
    with pytest.raises(ValueError, match=r"trunk\.pt: damaged checkpoint"):
        pretrain(config, shards, tmp_path / "other", tmp_path / "trunk.pt")


def test_features(payload, tmp_path):
    make_store(tmp_path, [make_split("tiny.train", 12)])
    path = tmp_path / "tiny.train.npz"
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    np.savez(path, **{**arrays, "features": objects(payload)}, allow_pickle=True)
    manifest = read_json(tmp_path / "manifest.json")
    manifest["files"]["tiny.train"]["sha256"] = sha256(path)
    write_json(tmp_path / "manifest.json", manifest)
    with pytest.raises(FeatureStoreError, match=r"tiny.train.npz: not readable .*extract the features again"):
        FeatureStore(tmp_path).split("tiny", "train")


def test_nothing_of_ours_needs_unpickling(payload, tmp_path):
    with pytest.raises(TypeError, match="array 'a' holds objects"):
        write_arrays(tmp_path / "it.npz", {"a": objects(payload)})


def test_tables(payload, tmp_path):
    """A column of the type that PyArrow once unpickled."""
    kind = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": pickle.dumps(payload)}
    table = pa.table([pa.array([1, 2])], pa.schema([pa.field("seed", pa.int64(), metadata=kind)]))
    pq.write_table(table, tmp_path / "summary.parquet")
    assert list(pd.read_parquet(tmp_path / "summary.parquet")["seed"]) == [1, 2]


def test_fetched_arrays(payload, tmp_path, capsys):
    raw = tmp_path / "raw"
    assert data_command(["fetch", "--source", "digits", "--out", str(raw)]) == 0
    np.save(raw / "images.npy", objects(payload), allow_pickle=True)
    source = read_json(raw / "source.json")
    source["sha256"]["images.npy"] = sha256(raw / "images.npy")
    write_json(raw / "source.json", source)
    block = '{"dataset": "digits", "shards": 1}'
    arguments = ["shard", "--dataset-config", block, "--split", "train", "--raw", str(raw)]
    capsys.readouterr()
    assert data_command([*arguments, "--out", str(tmp_path / "out")]) == 2
    assert "Object arrays cannot be loaded" in capsys.readouterr().err


def test_members_of_a_webdataset(payload, tmp_path):
    """Libraries that decode members by their names unpickle these."""
    (tmp_path / "tars/train").mkdir(parents=True)
    with tarfile.open(tmp_path / "tars/train/000.tar", "w") as archive:
        for number in range(4):
            members = {"png": png(np.full((16, 16, 3), 40 * number, np.uint8)), "cls": str(number % 2).encode()}
            for extension in ("pyd", "pickle", "pkl", "pth", "pt", "npy"):
                members[extension] = pickle.dumps(payload)
            for extension, data in members.items():
                info = tarfile.TarInfo(f"{number:03d}.{extension}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    (tmp_path / "tars/classnames.txt").write_text("even\nodd\n")
    block = {"dataset": "webdataset", "path": str(tmp_path / "tars"), "shards": 1, "image_size": 16}
    arguments = ["shard", "--dataset-config", json.dumps(block), "--split", "train", "--name", "mine"]
    assert data_command([*arguments, "--out", str(tmp_path / "out")]) == 0


def test_configs(tmp_path, payload):
    path = tmp_path / "config.yaml"
    path.write_text(f"seeds: !!python/object/apply:os.mkdir ['{payload.marker}']\n")
    with pytest.raises(ValueError, match=r"config\.yaml"):
        read_config(path)
    with pytest.raises(Exception, match="Config file is not valid"):
        load_configfile(str(path))
