"""The order of an epoch: which sample stands at which place, a function of (seed, epoch), without a table."""

from __future__ import annotations

import numpy as np

from glofnd.counter_random import Shuffle, step_seed
from glofnd.data.manifest import Index, Manifest, Shard, without

__all__ = ["EverywhereOrder", "WindowOrder"]

# Streams of counter_random; captions and augmentation use others.
_EVERYWHERE, _SHARDS, _WINDOW = 0xDA7A, 0x5A4D, 0x314D


class EverywhereOrder:
    """All samples shuffled. Where some are left out of the shards, the order of the others stays."""

    def __init__(self, manifest: Manifest, seed: int, epoch: int) -> None:
        self._shuffle = Shuffle(manifest.indices, seed=seed, epoch=epoch, stream=_EVERYWHERE)
        self._vacant = np.sort(self._shuffle.places(manifest.vacant))

    def __call__(self, places: Index) -> Index:
        """Sample indices at these places, below the number of samples."""
        return self._shuffle.at(without(self._vacant, places))


class WindowOrder:
    """Shards shuffled, cut into windows of `window` shards, and the samples of each window shuffled.

    So that tars can be read from one end to the other, window by window, by whoever has to fetch them from a disk or a
    network file system. Samples of different windows never meet in a batch, but for one batch in between.
    """

    def __init__(self, manifest: Manifest, seed: int, epoch: int, window: int) -> None:
        count, self._seed, self._epoch = len(manifest.shards), seed, epoch
        self._vacant = manifest.vacant
        self._shards = Shuffle(count, seed=seed, epoch=epoch, stream=_SHARDS).at(np.arange(count))
        samples = np.array([shard.samples for shard in manifest.shards])
        # The first sample of each shard, counted in the order of indices, and in that of the shuffled shards.
        self._first = (np.cumsum(samples) - samples)[self._shards]
        self._bounds = np.concatenate([[0], np.cumsum(samples[self._shards])])
        self._windows = np.append(self._bounds[:-1:window], self._bounds[-1])
        parts = (self._shards[start : start + window] for start in range(0, count, window))
        self.shards: list[list[Shard]] = [[manifest.shards[number] for number in part] for part in parts]
        """The tars of each window."""

    def window(self, place: int) -> int:
        """Number of the window that a place lies in."""
        return int(np.searchsorted(self._windows, place, side="right")) - 1

    def __call__(self, places: Index) -> Index:
        """Sample indices at these places."""
        windows = np.searchsorted(self._windows, places, side="right") - 1
        mixed = np.empty_like(places)
        for number in np.unique(windows).tolist():
            start, stop = self._windows[number : number + 2].tolist()
            seed = step_seed(self._seed, number, stream=_WINDOW)
            shuffle = Shuffle(stop - start, seed=seed, epoch=self._epoch, stream=_WINDOW)
            mixed[windows == number] = start + shuffle.at(places[windows == number] - start)
        shard = np.searchsorted(self._bounds, mixed, side="right") - 1
        return without(self._vacant, self._first[shard] + mixed - self._bounds[shard])
