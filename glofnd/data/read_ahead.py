"""Parts that threads read before they are asked for, in order and in bounded number."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["read_ahead"]

Part = TypeVar("Part")
Content = TypeVar("Content")


def read_ahead(read: Callable[[Part], Content], parts: Iterable[Part], workers: int) -> Iterator[Content]:
    """`read(part)` of every part, in order; up to `2 * workers` are read before they are asked for, none without."""
    if workers == 0:
        yield from map(read, parts)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Content]] = deque()
        try:
            for part in parts:
                waiting.append(pool.submit(read, part))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
