"""Contenders take turns within one process, so that a busy machine slows all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

__all__ = ["Contender", "Timing", "race"]

Contender = Callable[[], object]
Timing = dict[str, float]

# Contenders that need this many seconds a call are called this often, whatever was asked for.
_SLOW_SECONDS, _SLOW_CALLS = 2.0, 3


def race(contenders: dict[str, Contender], seconds: float, at_least: int) -> dict[str, Timing]:
    """Milliseconds per call: median, smallest and largest wall time, median and smallest CPU time.

    Args:
        contenders: name -> what is called; each is called once before.
        seconds: rounds are run for at least so long,
        at_least: and so often.
    """
    calls: dict[str, int] = {}
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    for name, call in contenders.items():
        started = time.perf_counter()
        call()
        slow = time.perf_counter() - started > _SLOW_SECONDS
        calls[name] = min(at_least, _SLOW_CALLS) if slow else at_least
    begin, rounds = time.perf_counter(), 0
    while rounds < at_least or time.perf_counter() - begin < seconds:
        for name, call in contenders.items():
            if rounds >= calls[name] and calls[name] < at_least:
                continue
            started, started_cpu = time.perf_counter(), time.process_time()
            call()
            wall[name].append((time.perf_counter() - started) * 1e3)
            cpu[name].append((time.process_time() - started_cpu) * 1e3)
        rounds += 1
    return {
        name: {
            "median_ms": statistics.median(wall[name]),
            "smallest_ms": min(wall[name]),
            "largest_ms": max(wall[name]),
            "cpu_median_ms": statistics.median(cpu[name]),
            "cpu_smallest_ms": min(cpu[name]),
            "calls": float(len(wall[name])),
        }
        for name in contenders
    }
