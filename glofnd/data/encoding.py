"""Pictures of a split as bytes, by several processes, in order.

A module of its own, because the processes import it: the writer's other imports would cost each of them seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from typing import Any

from glofnd.data.bad_samples import BadSampleError
from glofnd.data.split import Split
from glofnd.lifetime import end_with_parent

__all__ = ["pictures_of"]

# Starting a process costs about as much as encoding this many small pictures.
_PARALLEL_FROM = 1000
# Pictures a process encodes at a time.
_CHUNK = 64

Encoded = bytes | BadSampleError | FileNotFoundError


def _encoded(encode: Callable[[Any], bytes], payloads: list[Any]) -> list[Encoded]:
    found: list[Encoded] = []
    for payload in payloads:
        try:
            found.append(encode(payload))
        except (BadSampleError, FileNotFoundError) as problem:
            found.append(problem)
    return found


def pictures_of(split: Split, processes: int) -> Iterator[bytes | None]:
    """Every picture in order, `None` where the sample is left out.

    Few are in memory at once: two chunks per process are under way, whatever is taken.

    Raises:
        ValueError: for a picture that is not valid, as the split's policy wants it, or too many of them.
        FileNotFoundError: for one that is missing, likewise.
    """
    bad = split.bad_samples
    known = frozenset(bad.found)
    wanted = (split.payloads[index] for index in range(len(split)) if index not in known)
    pictures = _in_order(split.encode, wanted, processes if len(split) >= _PARALLEL_FROM else 1)
    for index in range(len(split)):
        picture = None if index in known else next(pictures)
        if isinstance(picture, BadSampleError | FileNotFoundError):
            bad.meet(index, picture)
            bad.check(len(split))
            picture = None
        yield picture


def _in_order(encode: Callable[[Any], bytes], payloads: Iterator[Any], processes: int) -> Iterator[Encoded]:
    if processes < 2:
        for payload in payloads:
            yield from _encoded(encode, [payload])
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
        waiting: deque[Future[list[Encoded]]] = deque()
        try:
            while chunk := list(islice(payloads, _CHUNK)):
                waiting.append(pool.submit(_encoded, encode, chunk))
                if len(waiting) >= 2 * processes:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
