"""Signals that ask a training to stop: it finishes the step in hand, writes a checkpoint and raises `Preempted`.

SIGTERM (SLURM's preemption and time limit, `scancel`, Snakemake, torchrun), SIGUSR1 (`sbatch --signal`) and SIGINT
(Ctrl-C) all mean the same.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

__all__ = ["SIGNALS", "Preempted", "StopSignals"]

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class Preempted(Exception):  # noqa: N818 -- not an error
    """Training has stopped on request; the same call goes on from its checkpoint, which the text names."""


class StopSignals:
    """Context manager that notes signals in `received` and restores the handlers of before."""

    def __init__(self) -> None:
        self.received = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        # Python allows handlers in the main thread alone.
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = True
