"""Folders of somebody else, and read-only file systems: one line that names the file, and nothing is changed."""

import json
import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from tests.evaluation.stored import make_split, make_store
from tests.evaluation.tiny_shards import run_config, write_split
from tests.faults.broken_places import contents, mounted, read_only
from tests.workflow.results_tree import write_tree

pytestmark = pytest.mark.slow
DENIED = "permission denied; change its owner or mode, or choose another folder"
READ_ONLY = "read-only file system; make it writable or choose another folder"


@pytest.fixture(scope="module")
def inputs():
    """Inputs of all commands, in a folder that everybody may enter."""
    folder = Path(tempfile.mkdtemp(prefix="glofnd-denied-"))
    folder.chmod(0o755)
    write_split(folder / "shards", "train", 28, seed=0)
    make_store(folder / "features", [make_split("tiny.train", 12), make_split("tiny.test", 12, seed=1)])
    write_tree(folder / "results")
    import_module("glofnd.data.__main__").main(["fetch", "--source", "digits", "--out", str(folder / "raw")])
    yield folder
    shutil.rmtree(folder)


def commands(inputs, out):
    """Name -> (command, the file that its error names)."""
    config = json.dumps({**run_config("sogclr", "none", epochs=1)})
    block = json.dumps({"dataset": "digits", "shards": 1, "train_samples": 100, "image_size": 16})
    benchmark = ["--benchmark", inputs / "results/benchmark.json"]
    shard = ["shard", "--dataset-config", block, "--split", "train", "--raw", inputs / "raw", "--out", out]
    train = ["--run-config", config, "--shards", inputs / "shards/tiny/train", "--out", out]
    linear = ["linear", "--features", inputs / "features", "--task", '{"dataset": "tiny"}', "--out", out]
    return {
        "fetch": (["glofnd.data", "fetch", "--source", "digits", "--out", out], out),
        "shard": (["glofnd.data", *shard], out),
        "train": (["glofnd.pretraining", *train], out),
        "linear": (["evaluation", *linear], out),
        "aggregate": (["workflow.scripts.aggregate", *benchmark, "--out", out], out),
    }


NAMES = ["fetch", "shard", "train", "linear", "aggregate"]


@pytest.mark.parametrize("name", NAMES)
def test_a_read_only_file_system(command, inputs, tmp_path, name):
    with mounted(tmp_path / "disk", "4m") as disk:
        (disk / "metrics.json").write_text("{}")
        arguments, place = commands(inputs, disk / "out")[name]
        with read_only(disk):
            line = command.refused(*arguments)
        assert line.startswith(f"error: {place}") and line.endswith(f": {READ_ONLY}")
        assert contents(disk) == {"metrics.json": b"{}"}


def as_nobody(run: Callable[[], None]) -> tuple[int, str]:
    """Exit code and stderr of something done by a user who owns nothing."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.dup2(writing, 2)
            sys.stderr = os.fdopen(2, "w")
            os.setgroups([])
            os.setgid(pwd.getpwnam("nobody").pw_gid)
            os.setuid(pwd.getpwnam("nobody").pw_uid)
            code = run() or 0
        except SystemExit as ended:
            code = ended.code
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_somebody_else(command, inputs, tmp_path, monkeypatch, name):
    mine = inputs / f"mine-{name}"
    mine.mkdir(mode=0o755)
    (mine / "metrics.json").write_text("{}")
    # Once with leave, so that everything is imported: not every user may read this environment.
    assert command(*commands(inputs, tmp_path / "out")[name][0])[0] == 0
    arguments, place = commands(inputs, mine / "out")[name]
    module = f"{arguments[0]}.__main__" if not arguments[0].startswith("workflow") else arguments[0]
    monkeypatch.setattr(sys, "argv", [arguments[0], *map(str, arguments[1:])])
    code, said = as_nobody(import_module(module).main)
    line = said.splitlines()[-1]
    assert code == 2 and line.startswith(f"error: {place}") and line.endswith(f": {DENIED}"), said
    assert "Traceback" not in said and contents(mine) == {"metrics.json": b"{}"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_inputs_that_may_not_be_read(inputs, tmp_path, monkeypatch, command):
    arguments = commands(inputs, tmp_path / "out")["linear"][0]
    assert command(*arguments)[0] == 0
    monkeypatch.setattr(sys, "argv", list(map(str, arguments)))
    manifest = inputs / "features/manifest.json"
    manifest.chmod(0o600)
    code, said = as_nobody(import_module("evaluation.__main__").main)
    manifest.chmod(0o644)
    assert (code, said.splitlines()) == (2, [f"error: {manifest}: {DENIED}"])
