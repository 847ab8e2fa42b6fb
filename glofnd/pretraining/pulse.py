"""Signs of life between the processes of one run, so that waiting for one that will never come has an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

__all__ = ["PATIENCE", "SILENCE", "Counters", "LostRankError", "Pulse"]

SILENCE = 30.0
"""Seconds without a sign of life after which a process counts as lost."""

PATIENCE = 3600.0
"""Seconds to wait for one that is alive: checksums, decoding, or writing a large checkpoint take it minutes."""

_BEAT = 3.0
_POLL = 0.2


class Counters(Protocol):
    """What is needed of a store of `torch.distributed`."""

    def add(self, key: str, amount: int, /) -> int:
        """Add to a shared counter, which starts at 0; returns its new value."""


class LostRankError(RuntimeError):
    """Another process of the run has gone, hangs, or is taking far too long."""


class Pulse:
    """Beats while this process runs, and listens to the next rank while it waits.

    A thread of its own beats, so one that reads or writes for minutes is heard, and one that is stopped (SIGSTOP, a
    virtual machine paused) or whose machine is gone is not. Every rank listens to the next one alone, whatever their
    number; the first who notices ends, and the launcher with it all others.

    Args:
        store: that all processes share, on a connection of its own.
        rank: number of this process.
        size: how many there are.
        silence, patience: other limits than `SILENCE` and `PATIENCE`.
    """

    def __init__(
        self, store: Counters, rank: int, size: int, silence: float = SILENCE, patience: float = PATIENCE
    ) -> None:
        self._store, self._next = store, (rank + 1) % size
        self._silence, self._patience = silence, patience
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, args=(rank, min(_BEAT, silence / 4)), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Beat no more: a process that ended in the middle of a beat would be aborted."""
        self._ended.set()
        self._thread.join()

    def _beat(self, rank: int, pause: float) -> None:
        while self._count(rank, 1) is not None and not self._ended.wait(pause):
            pass

    def _count(self, rank: int, more: int = 0) -> int | None:
        try:
            return self._store.add(f"beat/{rank}", more)
        except RuntimeError:
            # The store went with the launcher, which is noticed elsewhere.
            return None

    def wait(self, done: Callable[[], bool]) -> None:
        """Wait until something is done that takes all processes.

        Raises:
            LostRankError: the next rank has been silent for 30 s, or an hour has passed.
        """
        heard, waited, silent = -1, 0.0, 0.0
        before = time.monotonic()
        while not done():
            time.sleep(min(_POLL, 0.001 + waited / 10))
            # A pause of this very process, such as that of a suspended job, says nothing about the others.
            passed = min((now := time.monotonic()) - before, 2 * _POLL)
            before, waited, silent = now, waited + passed, silent + passed
            if (count := self._count(self._next)) != heard or count is None:
                heard, silent = -1 if count is None else count, 0.0
            if silent > self._silence:
                raise LostRankError(f"rank {self._next} has given no sign of life for {self._silence:.0f} s")
            if waited > self._patience:
                raise LostRankError(f"the others have not come after {timedelta(seconds=self._patience)}")
