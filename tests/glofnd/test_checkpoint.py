import errno

import pytest
import torch

from glofnd import checkpoint


def state(**changes):
    whole = {
        "format": checkpoint.FORMAT,
        "config": '{"seed": 1}',
        "epoch": 2,
        "step": 7,
        "model": {"w": torch.arange(3.0)},
        "objective": {},
        "optimizer": {},
        "history": [],
        "provenance": {},
    }
    return {**whole, **changes}


def test_round_trip(tmp_path):
    path = tmp_path / "deep" / "checkpoint.pt"
    checkpoint.write(path, state())
    found = checkpoint.read(path)
    assert torch.equal(found["model"]["w"], torch.arange(3.0))
    assert checkpoint.config_of(found) == {"seed": 1}
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint.pt"]


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.pt"):
        checkpoint.read(tmp_path / "gone.pt")


@pytest.mark.parametrize("content", [b"hi\n", b"", None])
def test_a_damaged_file_or_one_of_another_kind_is_named(tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    checkpoint.write(path, state())
    path.write_bytes(path.read_bytes()[:-200] if content is None else content)
    with pytest.raises(ValueError, match=r"checkpoint\.pt: damaged"):
        checkpoint.read(path)


def test_a_disk_that_fails_is_not_called_damage(tmp_path, monkeypatch):
    """Training would begin anew and write over a file that is whole."""

    def fails(archive):
        raise OSError(errno.EIO, "Input/output error")

    checkpoint.write(tmp_path / "c.pt", state())
    with monkeypatch.context() as patch:
        patch.setattr("zipfile.ZipFile.testzip", fails)
        with pytest.raises(OSError, match=r"Input/output error: '.*/c\.pt'"):
            checkpoint.read(tmp_path / "c.pt")
    assert checkpoint.read(tmp_path / "c.pt")["step"] == 7


def test_another_format_is_refused(tmp_path):
    checkpoint.write(tmp_path / "c.pt", state(format=99))
    with pytest.raises(ValueError, match="format 99"):
        checkpoint.read(tmp_path / "c.pt")


def test_an_incomplete_state_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="model"):
        checkpoint.write(tmp_path / "c.pt", {k: v for k, v in state().items() if k != "model"})
    assert list(tmp_path.iterdir()) == []


def test_differing_keys_are_dotted_paths_with_both_values():
    left = {"a": 1, "b": {"c": 2, "d": 3}, "e": 4, "g": {"h": 1}}
    right = {"a": 1, "b": {"c": 2, "d": 9}, "f": None, "g": "h"}
    assert checkpoint.differing_keys(left, right) == {
        "b.d": "3, now 9",
        "e": "4, now absent",
        "f": "absent, now null",
        "g": '{"h": 1}, now "h"',
    }
