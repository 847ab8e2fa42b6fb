"""Features in the coordinates in which a linear probe is solved: their principal axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Basis", "rotate"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Basis:
    """Principal axes of the samples: z = (x - centre) @ axes.

    Attributes:
        design: the samples in these coordinates and, last, a column of ones for the intercept, [n, d + 1] with
            d <= min(n, F).
        axes: [F, d].
        centre: [F].
        power: squared singular value per axis, [d].
    """

    design: Array
    axes: Array
    centre: Array
    power: Array

    @property
    def scores(self) -> Array:
        """The samples alone, [n, d]."""
        return self.design[:, :-1]


def rotate(features: Array) -> Basis:
    """Centre and rotate `features` [n, F] to principal axes, in double precision; null directions go.

    At a weak penalty even an axis with a millionth of the largest one's power matters, so only axes below the rounding
    error of double precision are left out.
    """
    dtype = features.dtype
    centre = features.mean(axis=0, dtype=np.float64).astype(dtype)
    centred = (features - centre).astype(np.float64)
    n, width = centred.shape
    wide = n < width
    power, vectors = np.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
    keep = power > max(power[-1], 1e-300) * np.finfo(np.float64).eps * max(n, width)
    power, vectors = power[keep][::-1], vectors[:, keep][:, ::-1]
    root = np.sqrt(power)
    axes = centred.T @ (vectors / root) if wide else vectors
    design = np.ones((n, len(power) + 1), dtype)
    design[:, :-1] = vectors * root if wide else centred @ axes
    return Basis(design, axes.astype(dtype), centre, power)
