"""Programs that fetch something: a time limit, no shell, and one clear error."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

__all__ = ["FetchError", "run"]

# Name and password in the address of a registry or proxy of the user's.
_CREDENTIALS = re.compile(r"//[^/@\s]+@")


class FetchError(OSError):
    """Something could not be fetched; the message names it."""


def run(command: Sequence[str], cwd: Path | None = None, seconds: float = 180) -> None:
    """Run one program without a shell, at most `seconds`; raises `FetchError` with the last lines of its stderr."""
    try:
        done = subprocess.run(list(command), cwd=cwd, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"{command[0]} gave no answer within {seconds:g} s") from error
    except OSError as error:
        raise FetchError(f"{command[0]} cannot be run ({error.strerror})") from error
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        said = _CREDENTIALS.sub("//***@", " ".join(lines[-2:]))
        raise FetchError(f"{command[0]} failed with status {done.returncode}: {said or 'no message'}")
