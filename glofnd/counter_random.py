"""Random numbers that are a function of what they are for, not of what was drawn before.

Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011), vectorised over
counters: a draw depends on its key and counter alone, so data order and augmentation are the same whatever the batch
composition, the number of ranks or workers, and after a resume.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = ["Shuffle", "permutation", "philox", "step_seed", "uniform"]

_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL_0, _WEYL_1 = 0x9E3779B9, 0xBB67AE85
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_ROUNDS, _FEISTEL_ROUNDS = 10, 8

Words = npt.NDArray[np.uint64]


def philox(counter: tuple[npt.ArrayLike, ...], seed: int) -> Words:
    """Four random 32-bit words per counter.

    Args:
        counter: four broadcastable arrays of unsigned 32-bit words.
        seed: 64-bit key.

    Returns:
        uint64 `[4, ...]`, each value below 2^32.
    """
    c0, c1, c2, c3 = (np.asarray(word, dtype=np.uint64) for word in counter)
    k0, k1 = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    for _ in range(_ROUNDS):
        p0, p1 = _MULTIPLIER_0 * c0, _MULTIPLIER_1 * c2
        c0, c1, c2, c3 = (p1 >> _HALF) ^ c1 ^ np.uint64(k0), p1 & _LOW, (p0 >> _HALF) ^ c3 ^ np.uint64(k1), p0 & _LOW
        k0, k1 = (k0 + _WEYL_0) & 0xFFFFFFFF, (k1 + _WEYL_1) & 0xFFFFFFFF
    return np.stack(np.broadcast_arrays(c0, c1, c2, c3))


def uniform(index: npt.NDArray[np.int64], draws: int, *, seed: int, epoch: int, stream: int) -> npt.NDArray[np.float64]:
    """Uniform numbers in [0, 1) for each sample.

    Args:
        index: sample indices `[N]`.
        draws: numbers per sample.
        stream: what the numbers are for (below 2^16), so that two purposes never share a draw.

    Returns:
        float64 `[N, draws]`; row n depends on (seed, epoch, stream, index[n]) alone.
    """
    where = index.astype(np.uint64)[None, :]
    block = np.arange(-(-draws // 4), dtype=np.uint64)[:, None] | np.uint64(stream << 16)
    words = philox((where & _LOW, where >> _HALF, np.uint64(epoch), block), seed)
    numbers = np.empty((len(index), draws))
    numbers[:] = words.transpose(2, 1, 0).reshape(len(index), 4 * len(block))[:, :draws]
    return numbers * 2.0**-32


def permutation(count: int, *, seed: int, epoch: int = 0, stream: int = 0) -> npt.NDArray[np.int64]:
    """A permutation of `range(count)` that depends on (seed, epoch, stream) alone."""
    where = np.arange(count, dtype=np.uint64)
    words = philox((where & _LOW, where >> _HALF, np.uint64(epoch), np.uint64(stream << 16)), seed)
    return np.argsort(words[0] << _HALF | words[1], kind="stable")


class Shuffle:
    """A permutation of `range(count)` that depends on (seed, epoch, stream) alone and needs no table.

    A Feistel network (Luby and Rackoff, SIAM J. Comput. 1988) permutes the numbers of an even number of bits; those not
    below `count` are permuted again until they are (cycle walking; Black and Rogaway, CT-RSA 2002), four times on
    average at most.
    """

    def __init__(self, count: int, *, seed: int, epoch: int, stream: int) -> None:
        self.count, self._half = count, np.uint64(max(1, ((count - 1).bit_length() + 1) // 2))
        rounds = np.arange(_FEISTEL_ROUNDS, dtype=np.uint64)
        words = philox((rounds, np.uint64(0), np.uint64(epoch), np.uint64(stream << 16 | 0xFE15)), seed)
        self._keys = list(words[0] << _HALF | words[1])

    def at(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """What stands at these places."""
        return self._walk(places, self._forward)

    def places(self, values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Where these stand: the inverse of `at`."""
        return self._walk(values, self._backward)

    def _walk(self, values: npt.NDArray[np.int64], step: Callable[[Words], Words]) -> npt.NDArray[np.int64]:
        moved = step(values.astype(np.uint64))
        while len(outside := np.flatnonzero(moved >= np.uint64(self.count))):
            moved[outside] = step(moved[outside])
        return moved.astype(np.int64)

    def _forward(self, values: Words) -> Words:
        left, right = self._halves(values)
        for key in self._keys:
            left, right = right, left ^ self._mixed(right, key)
        return left << self._half | right

    def _backward(self, values: Words) -> Words:
        left, right = self._halves(values)
        for key in reversed(self._keys):
            left, right = right ^ self._mixed(left, key), left
        return left << self._half | right

    def _halves(self, values: Words) -> tuple[Words, Words]:
        return values >> self._half, values & ((np.uint64(1) << self._half) - np.uint64(1))

    def _mixed(self, half: Words, key: np.uint64) -> Words:
        """The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), its upper bits."""
        mixed = half + key
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return (mixed ^ (mixed >> np.uint64(31))) >> (np.uint64(64) - self._half)


def step_seed(seed: int, step: int, rank: int = 0, *, stream: int) -> int:
    """A 64-bit seed for a generator of another library that depends on (seed, step, rank, stream) alone.

    Seeds of different steps, runs and ranks are as unrelated as random numbers, in their lower 32 bits, too: torch's
    generator of the CPU looks at those alone.
    """
    words = philox((step & 0xFFFFFFFF, step >> 32, rank, stream << 16), seed)
    return int(words[0]) | int(words[1]) << 32
