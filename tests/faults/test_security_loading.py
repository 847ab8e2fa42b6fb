"""Files that would run a program, were they unpickled: refused, and nothing has run."""

import io
import os
import pickle
import tarfile

import pytest
import torch

from glofnd import checkpoint
from glofnd.data.datasets.tars import WebDataset
from tests.glofnd.data.tiny_data import picture


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


@pytest.mark.parametrize("kind", ["torch", "legacy", "bare"])
def test_checkpoints(payload, tmp_path, kind):
    path = tmp_path / "checkpoint.pt"
    if kind == "bare":
        path.write_bytes(pickle.dumps(payload))
    else:
        torch.save({"model": payload}, path, _use_new_zipfile_serialization=kind == "torch")
    with pytest.raises(ValueError, match=r"checkpoint\.pt: damaged checkpoint"):
        checkpoint.read(path)


def test_members_of_a_webdataset(payload, tmp_path):
    """Libraries that decode members by their names unpickle these."""
    (tmp_path / "train").mkdir()
    with tarfile.open(tmp_path / "train/000.tar", "w") as archive:
        members = {"png": picture(1), "cls": b"1"}
        members |= dict.fromkeys(("pyd", "pickle", "pkl", "pth", "pt", "npy"), pickle.dumps(payload))
        for extension, data in members.items():
            info = tarfile.TarInfo(f"000.{extension}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    (tmp_path / "classnames.txt").write_text("even\nodd\n")
    split = WebDataset(str(tmp_path), image_size=8).split("train")
    assert split.labels["label"] == [1] and split.encode(split.payloads[0]).startswith(b"\x89PNG")
