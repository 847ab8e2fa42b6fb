"""Again and again the same in one process: descriptors and memory do not grow."""

import gc
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from glofnd.data.stream import ShardStream
from glofnd.pretraining import pretrain
from tests.glofnd.pretraining.tiny_run import make_config, write_tiny

pytestmark = pytest.mark.slow


def held() -> tuple[int, float]:
    """Open descriptors, and resident memory in MiB."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return len(list(Path("/proc/self/fd").iterdir())), pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def grows(action: Callable[[], object], times: int, what: str) -> tuple[int, float]:
    """Descriptors and MiB that come with the last four fifths of `times` calls."""
    for _ in range(times // 5):
        action()
    descriptors, memory = held()
    for _ in range(times - times // 5):
        action()
    later = held()
    print(f"{what}: {descriptors} to {later[0]} descriptors, {memory:.0f} to {later[1]:.0f} MiB in {times} times")
    return later[0] - descriptors, later[1] - memory


@pytest.mark.parametrize("settings", [{"cache_bytes": 0, "workers": 2}, {"cache_bytes": 0}, {}])
def test_five_hundred_epochs_of_a_stream(tmp_path: Path, settings: dict[str, int]) -> None:
    stream = ShardStream(write_tiny(tmp_path, shards=3), batch_size=8, seed=1, **settings)
    epochs = iter(range(500))
    more = grows(lambda: [batch.images.sum() for batch in stream.epoch(next(epochs))], 500, f"stream {settings}")
    assert more[0] <= 0 and more[1] < 4


def test_a_hundred_epochs_of_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of every second run each step writes a resume file."""
    # None of it is of any matter here, and each takes longer than a step.
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr("glofnd.provenance._git", lambda *arguments: None)
    monkeypatch.setattr("glofnd.provenance._installed", lambda package: None)
    shards = write_tiny(tmp_path / "shards", shards=2)
    runs = iter(range(10))

    def train() -> None:
        number = next(runs)
        config = make_config("sogclr", "glofnd", training={"checkpoint_seconds": 60 * (number % 2), "threads": 1})
        config["training"]["epochs"] = 10
        pretrain(config, shards, tmp_path / f"out{number}")

    more = grows(train, 10, "training")
    assert more[0] <= 0 and more[1] < 12
