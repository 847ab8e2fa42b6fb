"""A GPU that is asked for and not there is found before any work; one that is not asked for is not missed."""

import json
from pathlib import Path

import pytest
import torch

from glofnd.pretraining.team import Team
from glofnd.registry import EXECUTION
from tests.evaluation.tiny_shards import run_config, write_split
from tests.faults.called_commands import Commands
from workflow.resources import resources_of
from workflow.vocabulary import schema_for

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


def test_training_ends_with_one_line(tmp_path: Path, command: Commands) -> None:
    write_split(tmp_path / "shards", "train", 16, seed=0)
    config = run_config("sogclr", "none", epochs=1)
    config["training"] = {key: value for key, value in config["training"].items() if key not in EXECUTION}
    out = tmp_path / "run"
    arguments = ["--run-config", json.dumps(config), "--shards", tmp_path / "shards/tiny/train", "--out", out]
    line = "error: training.device: cuda asked for, but no GPU is visible; use cpu or auto"
    assert command("glofnd.pretraining", *arguments, "--device", "cuda") == (2, f"{line}\n")
    assert not out.exists()


def test_auto_takes_what_there_is() -> None:
    assert Team().device("auto") == torch.device("cpu")


def test_a_gpu_among_the_resources_is_a_number_for_the_scheduler() -> None:
    """Without one it limits nothing, and nobody looks whether it is there."""
    schema, _ = schema_for({})
    defaults = schema["properties"]["resources"]["properties"]["pretrain"]["properties"]
    given = {key: fragment["default"] for key, fragment in defaults.items()}
    assert resources_of({**given, "gpu": 1})["gpu"] == 1
