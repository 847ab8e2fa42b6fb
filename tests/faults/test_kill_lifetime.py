"""What a killed caller has started ends by itself: commands, the processes they encode with, and programs they run."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glofnd import lifetime
from glofnd.lifetime import CALLER, identity, is_alive

# Stands in for Snakemake: signs its environment and runs a command through bash, with the Snakefile's prefix.
CALLING = """
import os, subprocess, sys
from glofnd.lifetime import SHELL, sign
sign(os.environ)
subprocess.run(["bash", "-c", f"set -euo pipefail; export {SHELL}=$$; {sys.argv[1]} 2>&1 | cat"])
"""
COMMAND = """
import os, sys, time
from glofnd.lifetime import end_with_caller
from glofnd.lifetime import SHELL
shell = os.environ.get(SHELL, "0")
end_with_caller()
print(os.getpid(), os.getppid(), shell, flush=True)
time.sleep(60)
"""
POOL = """
import os, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from glofnd.lifetime import end_with_parent
if __name__ == "__main__":
    pool = ProcessPoolExecutor(2, mp_context=get_context("spawn"), initializer=end_with_parent)
    parents = {future.result() for future in [pool.submit(os.getppid), pool.submit(os.getppid)]}
    print(*parents, *pool._processes, flush=True)
    time.sleep(60)
"""
PROGRAM = """
import sys
from glofnd.data.sources.commands import run
run([sys.executable, "-c", "import os, time; os.write(3, str(os.getpid()).encode()); time.sleep(60)"])
"""
ROOT = Path(__file__).resolve().parents[2]
SOON = 30.0


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def gone(process: int) -> bool:
    return identity(process) is None


@pytest.fixture
def scripts(tmp_path: Path) -> Iterator[Path]:
    for name, text in (("calling", CALLING), ("command", COMMAND), ("pool", POOL)):
        (tmp_path / f"{name}.py").write_text(text)
    yield tmp_path


def started(command: list[str], **changes: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **changes}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True)


def printed(process: subprocess.Popen[str]) -> list[int]:
    assert process.stdout is not None
    return [int(word) for word in process.stdout.readline().split()]


@pytest.mark.parametrize("wrapper", [False, True])
@pytest.mark.parametrize("victim", ["caller", "shell"])
def test_a_command_ends_with_its_caller_and_with_its_shell(scripts: Path, victim: str, wrapper: bool) -> None:
    """Also where `python` is a script that starts another, as some clusters have it; it is left alone until then."""
    python = scripts / "python"
    python.write_text(f'#!/bin/sh\n{"" if wrapper else "exec "}"{sys.executable}" "$@"\n')
    python.chmod(0o755)
    caller = started([sys.executable, str(scripts / "calling.py"), f"{python} {scripts / 'command.py'}"])
    command, parent, shell = printed(caller)
    assert (parent == shell) != wrapper
    if wrapper:
        time.sleep(1.2)
        assert not gone(command)
    os.kill({"caller": caller.pid, "shell": shell}[victim], signal.SIGKILL)
    assert within(SOON, lambda: gone(command))
    assert within(SOON, lambda: gone(shell))
    caller.wait(SOON)


@pytest.mark.parametrize("environment", ["no", "another-machine", "another-namespace"])
def test_a_command_without_a_caller_that_it_can_see_is_left_alone(scripts: Path, environment: str) -> None:
    who = identity(os.getpid())
    assert who is not None
    boot, namespace, process, _ = who.rsplit("/", 3)
    signed = {
        "no": {},
        "another-machine": {CALLER: f"other/{namespace}/{process}/0"},
        "another-namespace": {CALLER: f"{boot}/pid:[1]/{process}/0"},
    }[environment]
    command = started([sys.executable, str(scripts / "command.py")], **signed)
    printed(command)
    time.sleep(1.2)
    assert command.poll() is None
    command.kill()
    command.wait()


def test_a_process_is_not_taken_for_a_later_one_of_its_number() -> None:
    who = identity(os.getpid())
    assert who is not None and is_alive(who) is True
    assert is_alive(f"{who.rpartition('/')[0]}/1") is False


def test_a_process_that_cannot_be_looked_at_is_not_taken_for_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    who = identity(os.getpid())
    assert who is not None

    def no_descriptors(*arguments: object, **options: object) -> str:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(lifetime, "_view", lambda: who.rsplit("/", 2)[0])
        patch.setattr(Path, "read_text", no_descriptors)
        assert is_alive(who) is None
        assert identity(os.getpid()) is None
    assert is_alive(who) is True


def test_a_zombie_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    who = identity(process.pid)
    assert who is not None
    assert within(SOON, lambda: is_alive(who) is False)
    process.wait()


def test_encoding_processes_end_with_the_one_that_started_them(scripts: Path) -> None:
    pool = started([sys.executable, str(scripts / "pool.py")])
    parent, *children = printed(pool)
    assert parent == pool.pid and len(children) == 2
    pool.kill()
    pool.wait()
    assert within(SOON, lambda: all(gone(child) for child in children))


def test_programs_are_killed_with_the_process_that_runs_them(tmp_path: Path) -> None:
    (tmp_path / "ready").write_text("")
    script = PROGRAM.replace(
        "os.write(3, str(os.getpid()).encode())", f"open({str(tmp_path / 'ready')!r}, 'w').write(str(os.getpid()))"
    )
    runner = started([sys.executable, "-c", script])
    assert within(SOON, lambda: bool((tmp_path / "ready").read_text()))
    program = int((tmp_path / "ready").read_text())
    assert not gone(program)
    runner.kill()
    runner.wait()
    assert within(SOON, lambda: gone(program))
