"""One call of Snakemake at a time writes to a folder; what a killed one has left behind is waited for and removed.

Snakemake's own lock outlives a Snakemake that is killed and then has to be removed by hand, so profiles switch it off
(`nolock`). The lock here is one that the kernel takes back, however its owner ends. Its file holds who has it; what
stands there when the lock is free is a call that was killed, or of which a job failed or was killed.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from glofnd.failures import BAD_INPUT
from glofnd.lifetime import CALLER, identity

__all__ = ["LOCK", "BusyError", "finished", "folders_of", "hold", "hold_or_exit", "left_by", "remove_parts"]

LOCK = ".snakemake.lock"
"""File in each folder that is locked."""

_PATIENCE_SECONDS = 120
_PART = re.compile(r"\..+\.[a-z0-9_]{8}\.part")


class BusyError(RuntimeError):
    """Somebody else writes to a folder; the message names both."""


def _opened(folder: Path, writing: bool) -> IO[str] | None:
    """The lock file of a folder, made where there is none; to read, another user's will do as it is."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / LOCK).open("a+", encoding="utf-8")
    except OSError:
        if writing:
            return None
    try:
        return (folder / LOCK).open(encoding="utf-8")
    except OSError:
        return None


def _locked(folder: Path, writing: bool) -> IO[str] | None:
    """The open lock file of a folder that is now locked, against everybody or, to read, against writers alone.

    Returns:
        None where files cannot be locked; and where none can be written: a folder needs no lock then, and one's own
        jobs will say what is wrong.

    Raises:
        BusyError: somebody else has locked it.
    """
    if (file := _opened(folder, writing)) is None:
        return None
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if writing else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BusyError(_refusal(folder, _owner(file))) from None
    except OSError as error:
        # Nobody knows then whether the call that stands in the file is at work or was killed.
        why = f"files cannot be locked there ({error.strerror}); see to it that no other snakemake is at work"
        print(f"warning: {folder}: {why}", file=sys.stderr)
        return None
    return file


_HELD: dict[IO[str], bool] = {}
"""Lock files of this process, and whether for writing; the kernel takes a lock back when its file is closed."""


def _keep(file: IO[str], writing: bool) -> None:
    """Keep a lock until this process ends."""
    _HELD[file] = writing
    if writing:
        _write(file, f"{socket.gethostname()} {identity(os.getpid()) or f'/{os.getpid()}/'}")


def finished() -> None:
    """Say that every job of this call has ended well, so that nothing has to be put in order after it."""
    for file, writing in _HELD.items():
        if writing:
            _write(file, "")


def _write(file: IO[str], text: str) -> None:
    file.truncate(0)
    file.write(text)
    file.flush()


def _owner(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def _refusal(folder: Path, owner: str) -> str:
    host, _, who = owner.partition(" ")
    named = f" (process {who.split('/')[-2]} on {host})" if who.count("/") >= 2 else ""
    return f"{folder}: another snakemake{named} is at work there; wait for its end, or give this one other `paths:`"


def left_by(caller: str) -> list[int]:
    """Processes of jobs that a Snakemake of that `identity` has started, as far as this user can see them."""
    wanted, found = f"{CALLER}={caller}".encode(), []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if wanted in environment.read_bytes().split(b"\0"):
                found.append(int(environment.parent.name))
        except OSError:
            continue
    return found


def _wait_for(callers: Iterable[str], patience: float) -> None:
    """Wait until no job of a killed call is left; they notice by themselves that it is gone."""
    end, told = time.monotonic() + patience, False
    while left := [process for caller in callers for process in left_by(caller)]:
        numbers = " ".join(map(str, sorted(left)))
        if time.monotonic() > end:
            raise BusyError(f"jobs of a killed snakemake still run; end them and call again: kill {numbers}")
        if not told:
            print(f"waiting for jobs of a killed snakemake to end (processes {numbers})", file=sys.stderr)
            told = True
        time.sleep(0.2)


def remove_parts(folder: Path) -> None:
    """Remove what killed writers of `glofnd.files.atomic_open` have left, but not from the folder of another call."""
    for name, folders, files in os.walk(folder):
        folders[:] = [below for below in folders if not Path(name, below, LOCK).exists()]
        for part in (file for file in files if _PART.fullmatch(file)):
            Path(name, part).unlink(missing_ok=True)


def hold(folders: Mapping[Path, bool], local: bool, patience: float = _PATIENCE_SECONDS) -> None:
    """Lock folders until this process ends, and put in order what a killed call has left in them.

    Args:
        folders: folder -> whether it is written to.
        local: whether jobs run on this machine alone. Those of a cluster outlive the Snakemake that submitted them, so
            what they have not finished writing is left to them.
        patience: seconds to wait for jobs of a killed call.

    Raises:
        BusyError: another call holds one of them, or jobs of a killed one do not end.
    """
    files = {folder: file for folder, writing in folders.items() if (file := _locked(folder, writing))}
    killed = {folder: who for folder, file in files.items() if (who := _owner(file).partition(" ")[2])}
    _wait_for(set(killed.values()), patience)
    if local:
        for folder in killed:
            if folders[folder]:
                remove_parts(folder)
    # Not before: if this call is refused or killed meanwhile, the next one must still learn of the one before.
    for folder, file in files.items():
        _keep(file, folders[folder])


def folders_of(jobs: Iterable[Any], paths: Mapping[str, str]) -> dict[Path, bool]:
    """The folders that jobs need for themselves: the results, and of fetched files and shards those that they touch.

    Args:
        jobs: of Snakemake.
        paths: of the config.

    Returns:
        Folder -> whether it is written to.
    """
    shared = tuple(f"{paths[name].rstrip('/')}/" for name in ("raw", "shards"))
    folders = {Path(paths["results"]): True}
    for job in jobs:
        for files, writing in ((job.input, False), (job.output, True)):
            for folder in {Path(file).parent for file in files if file.startswith(shared)}:
                folders[folder] = folders.get(folder, False) or writing
    return folders


def hold_or_exit(workflow: Any, paths: Mapping[str, str]) -> None:
    """`hold` for the jobs that a Snakemake is about to start, one line on stderr where it cannot: for its `onstart`."""
    try:
        hold(folders_of(workflow.dag.needrun_jobs(), paths), workflow.local_exec)
    except BusyError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(BAD_INPUT) from None
