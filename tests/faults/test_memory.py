"""Memory that runs out: the line says so, what was there stays whole, and the next start goes on."""

import errno
import os
import resource
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from glofnd import checkpoint
from glofnd.failures import explain
from glofnd.pretraining import pretrain
from tests.glofnd.pretraining.tiny_run import make_config, write_tiny


def error_of(allocate: Callable[[], object]) -> Exception:
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        allocate()
    return caught.value


def test_errors_of_every_library_are_understood() -> None:
    huge = 2**46
    assert "out of memory" in str(explain(error_of(lambda: np.ones(huge))))
    assert "out of memory" in str(explain(error_of(lambda: torch.ones(huge))))
    assert "out of memory" in str(explain(error_of(lambda: bytearray(huge))))
    assert "out of GPU memory" in str(explain(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate ...")))
    assert "helper process was killed" in str(explain(BrokenProcessPool("A process was terminated abruptly")))
    assert "out of memory" in str(explain(OSError(errno.ENOMEM, "Cannot allocate memory")))
    assert explain(RuntimeError("shapes do not fit")) is None and explain(KeyError("key")) is None


def limited(room: int, run: Callable[[], object]) -> str:
    """Run in a child that may take `room` bytes more than this process has; the explanation of its error, if any."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            resource.setrlimit(resource.RLIMIT_AS, (used + room, used + room))
            run()
        except Exception as error:
            os.write(writer, f"{type(error).__name__}: {explain(error)}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as said:
        return said.read()


@pytest.mark.slow
def test_a_training_that_needs_too_much(tmp_path: Path) -> None:
    shards, out = write_tiny(tmp_path / "shards", shards=2), tmp_path / "run"
    config: dict[str, Any] = make_config("sogclr", "none", epochs=1, encoder="resnet18")
    large = {**config, "encoder": {**config["encoder"], "width": 512}}
    assert "out of memory (can't allocate memory: you tried to allocate" in limited(
        2**27, lambda: pretrain(large, shards, out)
    )
    assert not list(out.glob("*"))
    assert limited(2**32, lambda: pretrain(config, shards, out)) == ""
    assert (out / "checkpoint.pt").is_file()


@pytest.mark.slow
def test_a_checkpoint_is_not_called_damaged_for_lack_of_memory(tmp_path: Path) -> None:
    """Whoever reads that would delete it, and a training would begin anew."""
    keys = ("config", "epoch", "step", "objective", "optimizer", "history", "provenance")
    path, state = tmp_path / "checkpoint.pt", dict.fromkeys(keys, "")
    checkpoint.write(path, {**state, "format": checkpoint.FORMAT, "model": torch.zeros(2**26)})
    said = limited(2**27, lambda: checkpoint.read(path))
    assert "out of memory" in said and "damaged" not in said
    assert checkpoint.read(path)["model"].shape == (2**26,)
