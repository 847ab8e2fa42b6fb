"""Pictures of a split as bytes, by several processes, in order.

A module of its own, because the processes import it: the writer's other imports would cost each of them seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from glofnd.data.split import Split
from glofnd.lifetime import end_with_parent

__all__ = ["pictures_of"]

# Starting a process costs about as much as encoding this many small pictures.
_PARALLEL_FROM = 1000
# Pictures a process encodes at a time.
_CHUNK = 64


def _encoded(encode: Callable[[Any], bytes], payloads: list[Any]) -> list[bytes]:
    return [encode(payload) for payload in payloads]


def pictures_of(split: Split, processes: int) -> Iterator[bytes]:
    """Every picture in order. Few are in memory at once: two chunks per process are under way, whatever is taken."""
    if processes < 2 or len(split) < _PARALLEL_FROM:
        yield from map(split.encode, split.payloads)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
        waiting: deque[Future[list[bytes]]] = deque()
        try:
            for start in range(0, len(split), _CHUNK):
                chunk = [split.payloads[index] for index in range(start, min(start + _CHUNK, len(split)))]
                waiting.append(pool.submit(_encoded, split.encode, chunk))
                if len(waiting) >= 2 * processes:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
