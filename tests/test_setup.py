"""requirements/install against a stand-in for Python, so that nothing is downloaded."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

STAND_IN = """#!/bin/bash
case "$*" in
    "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; touch "$3/pyvenv.cfg"; echo venv >>"$CALLS" ;;
    "-m pip --version") ;;
    "-m pip install"*) echo "$*" >>"$CALLS"; [ -z "${INTERRUPTED-}" ] || kill -INT $$ ;;
    "-c import ensurepip, venv") [ -z "${NO_ENSUREPIP-}" ] ;;
    *) exec REAL "$@" ;;
esac
"""


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


class Clone:
    """A clone of the repository in a folder with a space in its name."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a clone"
        self.calls_file = folder / "calls"
        self.python = executable(folder / "stand-in" / "python3.11", STAND_IN.replace("REAL", sys.executable))
        shutil.copytree(ROOT / "requirements", self.root / "requirements")
        shutil.copy(ROOT / "pyproject.toml", self.root)
        self.venv = self.root / ".venv"

    def install(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if k not in ("VENV", "INSTALL_ARGS")}
        return subprocess.run(
            [self.root / "requirements" / "install", *arguments],
            env={**environment, "PYTHON": str(self.python), "CALLS": str(self.calls_file), **variables},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def calls(self) -> list[str]:
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        self.calls_file.unlink(missing_ok=True)
        return lines


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_installs_the_lock_with_hashes_then_the_project(clone: Clone) -> None:
    done = clone.install()
    assert done.returncode == 0, done.stderr
    venv, lock, project = clone.calls()
    assert venv == "venv"
    assert lock.endswith("--require-hashes -r requirements/lock.txt")
    assert "--compile" in lock
    assert project.endswith("--no-deps --no-build-isolation --editable .")


def test_lock_only_leaves_the_project_out(clone: Clone) -> None:
    assert clone.install("--lock-only", INSTALL_ARGS="--no-cache-dir").returncode == 0
    venv, lock = clone.calls()
    assert venv == "venv"
    assert "--no-cache-dir" in lock
    assert "--compile" not in lock


def test_second_call_does_nothing_until_the_lock_changes(clone: Clone) -> None:
    clone.install()
    clone.calls()
    again = clone.install()
    assert (again.returncode, again.stdout, clone.calls()) == (0, "", [])
    with (clone.root / "requirements" / "lock.txt").open("a") as lock:
        lock.write("# changed\n")
    assert clone.install().returncode == 0
    assert [call.split()[-1] for call in clone.calls()] == ["requirements/lock.txt", "."]


def test_continues_after_an_interruption(clone: Clone) -> None:
    assert clone.install(INTERRUPTED="1").returncode != 0
    clone.calls()
    assert clone.install().returncode == 0
    assert [call.split()[-1] for call in clone.calls()] == ["requirements/lock.txt", "."]


def test_half_made_environment_is_made_again(clone: Clone) -> None:
    clone.install()
    (clone.venv / "bin" / "python").unlink()
    clone.calls()
    assert clone.install().returncode == 0
    assert clone.calls()[0] == "venv"


def test_moved_clone_gets_a_new_environment(clone: Clone) -> None:
    clone.install()
    clone.calls()
    clone.root = clone.root.rename(clone.root.with_name("moved clone"))
    done = clone.install()
    assert done.returncode == 0
    assert "made again" in done.stdout
    assert clone.calls()[0] == "venv"


def test_a_folder_of_somebody_else_is_never_deleted(clone: Clone) -> None:
    clone.venv.mkdir()
    (clone.venv / "precious").write_text("data")
    done = clone.install()
    assert done.returncode == 2
    assert done.stderr.startswith("error: .venv was not made by make setup")
    assert (clone.venv / "precious").read_text() == "data"


def test_names_the_package_that_brings_venv(clone: Clone) -> None:
    done = clone.install(NO_ENSUREPIP="1")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert done.returncode == 2
    assert f"apt-get install python{version}-venv" in done.stderr
    assert not clone.venv.exists()


def test_refuses_a_disk_that_is_too_small(clone: Clone) -> None:
    executable(clone.python.parent / "df", "#!/bin/sh\nprintf 'head\\n/dev/disk 1 1 3145728 1%% /\\n'\n")
    done = clone.install(PATH=f"{clone.python.parent}:{os.environ['PATH']}")
    assert done.returncode == 2
    assert "error: 3 GB free" in done.stderr
    assert "needs 8 GB" in done.stderr
    assert not clone.venv.exists()


def test_refuses_an_unsupported_python(clone: Clone) -> None:
    old = executable(
        clone.python.parent / "old", '#!/bin/sh\ncase "$1" in --version) echo Python 3.9.2 ;; *) exit 1 ;; esac\n'
    )
    done = clone.install(PYTHON=str(old))
    assert done.returncode == 2
    assert done.stderr == f"error: PYTHON={old} is no Python 3.11, 3.12 or 3.13 (Python 3.9.2)\n"


def test_says_what_is_needed_where_there_is_no_python(clone: Clone, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "env", "dirname", "cat"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    done = clone.install(PATH=str(tools), PYTHON="")
    assert done.returncode == 2
    assert "none is on PATH (python3 there: none)" in done.stderr
    assert "apt-get install python3 python3-venv" in done.stderr


def test_refuses_an_unknown_option(clone: Clone) -> None:
    done = clone.install("--lock")
    assert (done.returncode, clone.calls()) == (2, [])
    assert "--lock is no option" in done.stderr
