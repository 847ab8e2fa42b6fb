"""Fits that are done, in a file beside the results, so that an interrupted job goes on where it was."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.old_results import write_arrays
from glofnd.files import verify_zip
from glofnd.provenance import config_hash

__all__ = ["FinishedFits"]

Arrays = dict[str, NDArray[Any]]


class FinishedFits:
    """What fits have given, by name.

    A file that is damaged is not used, and that is said; nor is one of other data, weights or settings.

    Args:
        folder: output folder of the evaluation, in which `resume-*.npz` lies until its end.
        settings: all that decides what the fits give; JSON.
    """

    def __init__(self, folder: Path, settings: object) -> None:
        self._path, self._arrays = folder / f"resume-{config_hash(settings)}.npz", Arrays()
        if not self._path.is_file():
            return
        try:
            with self._path.open("rb") as handle:
                verify_zip(handle)
                with np.load(handle, allow_pickle=False) as file:
                    self._arrays = {name: file[name] for name in file.files}
        except ValueError as error:
            print(f"{self._path.name} is not used: damaged ({error}); all fits start anew", file=sys.stderr)

    def once(self, name: str, fit: Callable[[], Arrays]) -> Arrays:
        """What `fit()` gives, or gave in an earlier job."""
        head = f"{name}/"
        if not any(key.startswith(head) for key in self._arrays):
            self._arrays |= {head + key: array for key, array in fit().items()}
            write_arrays(self._path, self._arrays)
        return {key.removeprefix(head): array for key, array in self._arrays.items() if key.startswith(head)}
