"""requirements/install against a stand-in for Python, so that nothing is downloaded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

STAND_IN = """#!/bin/bash
case "$*" in
    "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; echo venv >>"$CALLS" ;;
    "-m pip --version") ;;
    "-m pip install"*) echo "$*" >>"$CALLS"; [ -z "${INTERRUPTED-}" ] || kill -INT $$ ;;
    *) exec REAL "$@" ;;
esac
"""


class Clone:
    """A clone of the repository in a folder with a space in its name."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a clone"
        self.calls_file = folder / "calls"
        self.python = folder / "python3.11"
        self.python.write_text(STAND_IN.replace("REAL", sys.executable))
        self.python.chmod(0o755)
        self.venv = self.root / ".venv"
        shutil.copytree(ROOT / "requirements", self.root / "requirements")

    def install(self, **variables: object) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if k not in ("VENV", "INSTALL_ARGS")}
        given = {"PYTHON": self.python, "CALLS": self.calls_file, **variables}
        return subprocess.run(
            [self.root / "requirements" / "install"],
            env=environment | {name: str(value) for name, value in given.items()},
            capture_output=True,
            text=True,
        )

    def calls(self) -> list[str]:
        """The first and last word of what was made of Python, since the last look."""
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        self.calls_file.unlink(missing_ok=True)
        return [line.split()[-1] for line in lines]

    def change_lock(self) -> None:
        with (self.root / "requirements/lock.txt").open("a") as lock:
            lock.write("# changed\n")


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


LOCK = "requirements/lock.txt"


def test_installs_the_lock_once_until_it_changes(clone: Clone) -> None:
    assert clone.install().returncode == 0
    assert clone.calls() == ["venv", LOCK]
    again = clone.install()
    assert (again.returncode, again.stdout, clone.calls()) == (0, "", [])
    clone.change_lock()
    assert clone.install(INTERRUPTED="1").returncode != 0
    clone.calls()
    assert clone.install().returncode == 0
    assert clone.calls() == [LOCK]
    (clone.venv / "made-by.txt").unlink()
    clone.change_lock()
    done = clone.install()
    assert done.returncode == 2 and "was not made by make setup" in done.stderr


def test_says_what_is_missing(clone: Clone, tmp_path: Path) -> None:
    done = clone.install(PYTHON="/bin/false")
    assert done.returncode == 2 and "python3-venv" in done.stderr
    (tmp_path / "df").write_text("#!/bin/sh\nprintf 'head\\n/dev/disk 1 1 3145728 1%% /\\n'\n")
    (tmp_path / "df").chmod(0o755)
    done = clone.install(PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 2 and "error: 3 GB free" in done.stderr
    assert clone.calls() == []
