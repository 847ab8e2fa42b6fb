"""Programs that talk to a network: time limit, retries with a growing pause, and one clear error at the end."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from glofnd.lifetime import kill_with_parent

__all__ = ["FetchError", "attempt", "run"]

ATTEMPTS = 4
PAUSE_SECONDS = 1.0
TIMEOUT_SECONDS = 180
# Name and password in the address of a registry or proxy of the user's.
_CREDENTIALS = re.compile(r"//[^/@\s]+@")

T = TypeVar("T")


class FetchError(RuntimeError):
    """Something could not be fetched; the message names it and says what to do."""


def run(command: Sequence[str], cwd: Path | None = None) -> None:
    """Run one program without a shell, at most `TIMEOUT_SECONDS`; its last line of stderr is the error's text."""
    try:
        done = subprocess.run(
            list(command),
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
            preexec_fn=kill_with_parent,
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"{command[0]} gave no answer within {TIMEOUT_SECONDS} s") from error
    except OSError as error:
        raise FetchError(f"{command[0]} cannot be run ({error.strerror})") from error
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        said = _CREDENTIALS.sub("//***@", " ".join(lines[-2:]))
        raise FetchError(f"{command[0]} failed with status {done.returncode}: {said or 'no message'}")


def attempt(what: str, action: Callable[[], T]) -> T:
    """Call `action` until it succeeds, at most `ATTEMPTS` times, pausing 1, 2, 4 ... times `PAUSE_SECONDS`.

    Raises:
        FetchError: naming `what`, with the last reason.
    """
    for number in range(1, ATTEMPTS + 1):
        try:
            return action()
        except FetchError as error:
            if number == ATTEMPTS:
                raise FetchError(
                    f"{what} could not be fetched in {ATTEMPTS} attempts: {error}. "
                    "Check the network and run again; what is already fetched is kept."
                ) from error
            print(f"{what}: attempt {number} failed ({error}); trying again", file=sys.stderr)
            time.sleep(PAUSE_SECONDS * 2 ** (number - 1))
    raise AssertionError("unreachable")
