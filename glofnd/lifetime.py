"""Ends what has lost the Snakemake that started it, so that nothing goes on writing where its next call will write.

`kill -9` gives nobody a chance to end others. So the Snakefile signs the environment of its jobs (`sign`), each command
looks whether that Snakemake and the shell between them are still there (`end_with_caller`), and what a command starts
follows it in turn (`end_with_parent`, `kill_with_parent`).
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, MutableMapping
from multiprocessing.connection import wait
from pathlib import Path

__all__ = ["CALLER", "SHELL", "end_with_caller", "end_with_parent", "identity", "is_alive", "kill_with_parent", "sign"]

CALLER = "GLOFND_CALLER"
"""Names the Snakemake that started a job: `identity`, which no other process of this or another machine shares."""

SHELL = "GLOFND_SHELL"
"""Process id of the shell between Snakemake and a command."""

_SECONDS_BETWEEN_LOOKS = 0.5
# Linux numbers it so in <sys/prctl.h>.
_PR_SET_PDEATHSIG = 1


def _started(process: int) -> str | None:
    """When a process started, in ticks since the machine did; None if it is gone or a zombie.

    Raises:
        OSError: it cannot be looked at, for lack of descriptors or memory.
    """
    try:
        # The name in parentheses may hold anything.
        fields = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def _view() -> str | None:
    """What must be equal for process ids to mean the same: the boot of a machine and the namespace of the ids."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def identity(process: int) -> str | None:
    """What tells a process of this machine from all others, also later ones of the same number; None if it is gone."""
    try:
        view, started = _view(), _started(process)
    except OSError:
        return None
    return f"{view}/{process}/{started}" if view and started else None


def is_alive(who: str) -> bool | None:
    """Whether the process of that `identity` is there; None where it cannot be seen: on another machine, from inside a
    container with process ids of its own, or for lack of descriptors.
    """
    view, process, started = who.rsplit("/", 2)
    if view != _view():
        return None
    try:
        return _started(int(process)) == started
    except OSError:
        return None


def sign(environment: MutableMapping[str, str]) -> None:
    """Let this process be known as their caller to all that are started with this environment."""
    who = identity(os.getpid())
    if who is None:
        environment.pop(CALLER, None)
    else:
        environment[CALLER] = who


def end_with_caller() -> None:
    """Have this process sent SIGTERM as soon as the Snakemake that started it, or the shell between them, is gone.

    A command that was not started by Snakemake, or cannot see it, is left alone. Training takes the signal as a request
    to stop, and saves; everything else ends at once.
    """
    caller, shell = os.environ.get(CALLER), os.environ.pop(SHELL, None)
    # In a container with process ids of its own, the shell is in there, too, so it is seen where Snakemake is not.
    if caller is None and shell is None:
        return

    def watch() -> None:
        followed = _followed(int(shell)) if shell is not None else lambda: True
        while (caller is None or is_alive(caller) is not False) and followed():
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="caller", daemon=True).start()


def _followed(shell: int) -> Callable[[], bool]:
    """Tells whether the shell is there. It need not be the parent: `python` may itself be a script that starts one."""
    who = identity(shell)
    return lambda: os.getppid() == shell or (who is not None and is_alive(who) is not False)


def end_with_parent() -> None:
    """Have this process, started by `multiprocessing`, end when its parent does (which it would not by itself)."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


# Loaded before any fork: afterwards another thread may have held the loader's lock.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def kill_with_parent() -> None:
    """`preexec_fn` of a program that is to be killed when the thread that starts it is gone (on Linux)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
