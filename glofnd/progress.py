"""Progress with rate and time left: one moving line on a terminal, a line every ten seconds in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

__all__ = ["Progress", "progress"]

T = TypeVar("T")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Progress:
    """Counts finished work and reports it on stderr.

    Args:
        total: amount of work, in `unit`.
        description: what is being done.
        unit: name of one piece of work, for the rate.
    """

    def __init__(self, total: int, description: str, unit: str = "items") -> None:
        self.total, self.description, self.unit = total, description, unit
        self.done = 0
        self._start = self._last = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Add finished work; prints at most every 0.2 s on a terminal, every 10 s in a log."""
        self.done += amount
        now = time.monotonic()
        if now - self._last >= (0.2 if self._terminal else 10.0):
            self._last = now
            self._print(note)

    def close(self, note: str = "") -> None:
        """Print the last line."""
        self._print(note)
        if self._terminal:
            sys.stderr.write("\n")

    def _print(self, note: str) -> None:
        elapsed = max(time.monotonic() - self._start, 1e-9)
        rate = self.done / elapsed
        left = _clock((self.total - self.done) / rate) if rate > 0 else "?"
        share = 100 * self.done / max(self.total, 1)
        line = (
            f"{self.description}: {self.done}/{self.total} ({share:.0f}%) {rate:.4g} {self.unit}/s, "
            f"{_clock(elapsed)} gone, {left} left{' ' + note if note else ''}"
        )
        sys.stderr.write(f"\r\x1b[K{line}" if self._terminal else f"{line}\n")
        sys.stderr.flush()


def progress(items: Iterable[T], total: int, description: str, unit: str = "items") -> Iterator[T]:
    """Iterate over `items` while reporting progress."""
    bar = Progress(total, description, unit)
    for item in items:
        yield item
        bar.advance()
    bar.close()
