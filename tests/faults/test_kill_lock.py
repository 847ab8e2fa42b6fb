"""One snakemake at a time writes to a folder; one that was killed stands in nobody's way and leaves nothing behind."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from glofnd.lifetime import CALLER
from workflow.alone import LOCK, BusyError, folders_of, hold, left_by, remove_parts

ROOT = Path(__file__).resolve().parents[2]
HOLDER = """
import subprocess, sys, os, time
from pathlib import Path
from glofnd.lifetime import sign
from workflow.alone import finished, hold
sign(os.environ)
hold({Path(sys.argv[1]): sys.argv[2] == "writing"}, local=True)
job = subprocess.Popen(["sleep", sys.argv[3]], stdout=subprocess.DEVNULL)
print(job.pid, flush=True)
time.sleep(float(sys.argv[4]))
job.kill()
job.wait()
if sys.argv[5] == "well":
    finished()
"""


def holder(
    folder: Path, how: str = "writing", job: float = 0, stays: float = 60, ends: str = "well"
) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop(CALLER, None)
    command = [sys.executable, "-c", HOLDER, str(folder), how, str(job), str(stays), ends]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    started = Path(f"/proc/{process.stdout.readline().strip()}/environ")
    # For a moment after its start a program seems to have no environment.
    while job and not started.read_bytes():
        time.sleep(0.01)
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def test_two_at_once_are_refused_in_one_line_that_names_the_other(tmp_path: Path) -> None:
    first = holder(tmp_path)
    with pytest.raises(
        BusyError, match=rf"{tmp_path}: another snakemake \(process {first.pid} on \S+\) is at work"
    ) as error:
        hold({tmp_path: True}, local=True)
    assert "\n" not in str(error.value)
    with pytest.raises(BusyError):
        hold({tmp_path: False}, local=True)
    end(first)


def test_readers_share_a_folder_and_keep_writers_out(tmp_path: Path) -> None:
    first = holder(tmp_path, "reading")
    hold({tmp_path: False}, local=True)
    with pytest.raises(BusyError):
        hold({tmp_path: True}, local=True)
    end(first)


def test_another_users_folder_can_be_read_under_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = holder(tmp_path)
    plain = Path.open

    def denied(self: Path, mode: str = "r", **options: str) -> object:
        if "a" in mode:
            raise PermissionError(errno.EACCES, "Permission denied")
        return plain(self, mode, **options)

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(BusyError):
        hold({tmp_path: False}, local=True)
    end(first)
    hold({tmp_path: False}, local=True)


def test_of_what_benchmarks_share_only_what_jobs_touch_is_locked() -> None:
    class Job:
        def __init__(self, read: list[str], written: list[str]) -> None:
            self.input, self.output = read, written

    jobs = [
        Job(["data/raw/a/source.json"], ["data/shards/x/train/manifest.json"]),
        Job(["data/shards/x/train/manifest.json", "data/shards/y/test/manifest.json"], ["results/r/metrics.json"]),
    ]
    found = folders_of(jobs, {"raw": "data/raw", "shards": "data/shards", "results": "results"})
    read, written = {"data/raw/a", "data/shards/y/test"}, {"data/shards/x/train", "results"}
    assert found == {**{Path(name): False for name in read}, **{Path(name): True for name in written}}


@pytest.mark.parametrize("ending", ["killed", "with a failed job"])
def test_it_leaves_no_lock_and_its_parts_are_removed(tmp_path: Path, ending: str) -> None:
    if ending == "killed":
        end(holder(tmp_path))
    else:
        holder(tmp_path, stays=0, ends="badly").wait()
    part = tmp_path / "runs/a/.metrics.json.abcd_123.part"
    part.parent.mkdir(parents=True)
    (download := tmp_path / ".archive.tar.gz.part").touch()
    (other := tmp_path / "smoke/.metrics.json.abcd_123.part").parent.mkdir()
    for file in (part, other, other.with_name(LOCK)):
        file.touch()
    hold({tmp_path: True}, local=True)
    assert not part.exists()
    assert download.exists(), "a download goes on where it stopped"
    assert other.exists(), "another call's folder is its own"


@pytest.mark.parametrize("ending", ["of itself", "on a cluster"])
def test_parts_that_somebody_may_be_writing_stay(tmp_path: Path, ending: str) -> None:
    first = holder(tmp_path, stays=0 if ending == "of itself" else 60)
    if ending == "of itself":
        assert first.wait(10) == 0
    else:
        end(first)
    (part := tmp_path / ".metrics.json.abcd_123.part").touch()
    hold({tmp_path: True}, local=ending == "of itself")
    assert part.exists()


def test_the_next_call_waits_for_jobs_of_a_killed_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first = holder(tmp_path, job=6)
    end(first)
    start = time.monotonic()
    hold({tmp_path: True}, local=True)
    assert 0.5 < time.monotonic() - start < 60
    assert "waiting for jobs of a killed snakemake to end" in capfd.readouterr().err


def test_jobs_that_do_not_end_are_named_with_what_ends_them(tmp_path: Path) -> None:
    first = holder(tmp_path, job=60)
    who = (tmp_path / LOCK).read_text().partition(" ")[2]
    (job,) = set(left_by(who)) - {first.pid}
    end(first)
    with pytest.raises(BusyError, match=rf"end them and call again: kill {job}$"):
        hold({tmp_path: True}, local=True, patience=0.5)
    assert (tmp_path / LOCK).read_text().endswith(who), "the next call must learn of them, too"
    os.kill(job, signal.SIGKILL)


def test_a_folder_in_which_nobody_can_write_needs_no_lock(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    hold({tmp_path / "file" / "below": False}, local=True)


def test_without_locks_nothing_is_put_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As on Lustre without `flock`: the call that stands in the file may be at work, and writing its parts."""
    first = holder(tmp_path)
    before = (tmp_path / LOCK).read_text()
    (part := tmp_path / ".metrics.json.abcd_123.part").touch()

    def unsupported(*arguments: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    hold({tmp_path: True}, local=True, patience=0.5)
    assert part.exists() and (tmp_path / LOCK).read_text() == before
    assert "files cannot be locked there (Function not implemented)" in capfd.readouterr().err
    end(first)


def test_parts_are_told_from_other_hidden_files(tmp_path: Path) -> None:
    for name in (".part", ".x.part", "x.abcd_123.part", ".x.abcd_123.part", ".x.ABCD-123.part"):
        (tmp_path / name).touch()
    remove_parts(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".part", ".x.part", "x.abcd_123.part", ".x.ABCD-123.part"}
