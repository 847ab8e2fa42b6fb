"""Being asked to stop: a signal is noted, the step in hand is finished, a checkpoint is written, the run ends.

SIGTERM (SLURM's preemption and time limit, `scancel`, Snakemake), SIGUSR1 (`sbatch --signal`) and SIGINT (Ctrl-C) all
mean the same. The exit code is 75, EX_TEMPFAIL of sysexits.h: nothing is wrong, run the same command again. Snakemake's
`retries` does so for any code but 0, SLURM itself where slurm.conf says `RequeueExit=75`.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

__all__ = ["EXIT_CODE", "SIGNALS", "Preempted", "Preemption", "stop_at_once"]

EXIT_CODE = 75
"""Ended on request: the same command goes on where this one stopped."""

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class Preempted(Exception):  # noqa: N818 -- not an error
    """Training has stopped on request; its text says where it goes on."""


def stop_at_once() -> None:
    """Until training has begun there is nothing to save: end with `EXIT_CODE` at the first signal."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(EXIT_CODE)

    for number in SIGNALS:
        signal.signal(number, stop)


class Preemption:
    """Notes signals while it is entered.

    A process that has lost its parent (`follow_parent`) is asked to stop, too: nobody would end it any more.

    Args:
        follow_parent: whether the parent's end is a request to stop.
    """

    def __init__(self, follow_parent: bool = False) -> None:
        self.signal: signal.Signals | None = None
        self._parent = os.getppid() if follow_parent else None
        self._before: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether the run is to stop."""
        return self.signal is not None or self._parent not in (None, os.getppid())

    def __enter__(self) -> Preemption:
        # Python hands signals to the main thread alone; a run in another one cannot be asked.
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
