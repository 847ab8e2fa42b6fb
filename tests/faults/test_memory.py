"""Memory that runs out: the line says what to lower, what was there stays whole, and the next start goes on."""

import errno
import json
import multiprocessing
import os
import resource
import sys
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from glofnd import checkpoint
from glofnd.failures import explain
from glofnd.files import read_json
from glofnd.pretraining.__main__ import main as pretraining
from glofnd.registry import EXECUTION
from tests.evaluation.tiny_shards import run_config, write_split
from tests.faults.broken_places import contents

ROOT = Path(__file__).resolve().parents[2]


def error_of(allocate: Callable[[], object]) -> Exception:
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        allocate()
    return caught.value


def test_every_library_s_error_is_understood() -> None:
    huge = 2**46
    said = explain(error_of(lambda: np.ones(huge)), "lower it")
    assert str(said).startswith("out of memory (Unable to allocate 512. TiB for an array with shape (70368744177664,)")
    said = explain(error_of(lambda: torch.ones(huge)), "lower it")
    assert said == f"out of memory (can't allocate memory: you tried to allocate {4 * huge} bytes); lower it"
    assert explain(error_of(lambda: bytearray(huge))) == "out of memory; raise mem_mb of its rule"
    full_gpu = torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of ..."
    )
    assert explain(full_gpu, "lower it") == "out of GPU memory (CUDA out of memory); lower it"
    assert "a helper process was killed" in str(explain(BrokenProcessPool("A process was terminated abruptly")))
    assert str(explain(OSError(errno.ENOMEM, "Cannot allocate memory"))).startswith("out of memory")
    assert explain(RuntimeError("shapes do not fit")) is None and explain(KeyError("key")) is None


def limited(room: int, run: Callable[[], None], said: Path) -> int:
    """Run in a child that may take `room` bytes more than this process has; exit code, stderr in `said`."""
    child = os.fork()
    if child == 0:
        code: Any = 1
        try:
            descriptor = os.open(said, os.O_WRONLY | os.O_CREAT)
            os.dup2(descriptor, 2)
            sys.stderr = os.fdopen(2, "w")
            used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            resource.setrlimit(resource.RLIMIT_AS, (used + room, used + room))
            run()
            code = 0
        except SystemExit as ended:
            code = ended.code
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    write_split(tmp_path / "shards", "train", 28, seed=0)
    return tmp_path / "shards/tiny/train"


def arguments(shards: Path, out: Path, width: int) -> list[str]:
    config = run_config("sogclr", "none", epochs=1)
    config["training"] = {key: value for key, value in config["training"].items() if key not in EXECUTION}
    config["encoder"]["width"] = width
    return ["pretraining", "--run-config", json.dumps(config), "--shards", str(shards), "--out", str(out)]


@pytest.mark.slow
def test_a_training_that_needs_too_much(tmp_path: Path, shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    (out / "features").mkdir(parents=True)
    (out / "features/manifest.json").write_text("{}")
    before = contents(out)
    monkeypatch.setattr(sys, "argv", arguments(shards, out, width=512))
    assert limited(2**27, pretraining, tmp_path / "said") == 2
    line = (tmp_path / "said").read_text().splitlines()[-1]
    assert line.startswith("error: out of memory (can't allocate memory: you tried to allocate ")
    assert line.endswith("; lower training.batch_size or training.workers, or raise resources.pretrain.mem_mb")
    assert contents(out) == before
    monkeypatch.setattr(sys, "argv", arguments(shards, out, width=4))
    assert limited(2**32, pretraining, tmp_path / "again") == 0, (tmp_path / "again").read_text()


@pytest.mark.slow
def test_a_checkpoint_is_not_called_damaged_for_lack_of_memory(tmp_path: Path) -> None:
    """Whoever reads that would delete it, and a training would begin anew."""
    state: dict[str, Any] = dict.fromkeys(checkpoint._KEYS, "")
    path = tmp_path / "checkpoint.pt"
    checkpoint.write(path, {**state, "format": checkpoint.FORMAT, "model": torch.zeros(2**26)})

    def read() -> None:
        try:
            checkpoint.read(path)
        except Exception as error:
            print(f"{type(error).__name__}: {explain(error)}", file=sys.stderr)

    limited(2**27, read, tmp_path / "said")
    assert "out of memory" in (tmp_path / "said").read_text() and "damaged" not in (tmp_path / "said").read_text()
    assert checkpoint.read(path)["model"].shape == (2**26,)


def _grow() -> None:
    group = Path(os.environ["GLOFND_TEST_CGROUP"])
    (group / "cgroup.procs").write_text(str(os.getpid()))
    pretraining()


@pytest.mark.slow
def test_the_kernel_s_own_killer(tmp_path: Path, shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a group of processes that may take 64 MB more than this test has; the next start ends as if nothing was."""
    group = Path(f"/sys/fs/cgroup/memory/glofnd-test-{os.getpid()}")
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroups to be made here: {error}")
    try:
        (group / "memory.limit_in_bytes").write_text(str(2**26))
        monkeypatch.setenv("GLOFND_TEST_CGROUP", str(group))
        out = tmp_path / "run"
        monkeypatch.setattr(sys, "argv", arguments(shards, out, width=512))
        child = multiprocessing.get_context("fork").Process(target=_grow)
        child.start()
        child.join(120)
        assert child.exitcode == -9
        assert not (out / "checkpoint.pt").exists()
        monkeypatch.setattr(sys, "argv", arguments(shards, out, width=4))
        assert limited(2**32, pretraining, tmp_path / "said") == 0
        assert read_json(out / "metrics.json")["training"]["epochs"] == 1
    finally:
        group.rmdir()
