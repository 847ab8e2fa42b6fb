"""Who is a false negative: one file per rule, all with the interface of `Detector`."""

from __future__ import annotations

from typing import Any

from glofnd.detectors.base import Batch, Detector, Screening, Tile
from glofnd.detectors.batch_quantile import BatchQuantile
from glofnd.detectors.global_threshold import GlobalThreshold
from glofnd.detectors.glofnd import GloFND
from glofnd.detectors.location_scale import LocationScale
from glofnd.detectors.none import KeepAll
from glofnd.detectors.oracle import Oracle
from glofnd.parameters import parameters

__all__ = [
    "DETECTORS",
    "Batch",
    "BatchQuantile",
    "Detector",
    "GloFND",
    "GlobalThreshold",
    "KeepAll",
    "LocationScale",
    "Oracle",
    "Screening",
    "Tile",
    "build_detector",
]

DETECTORS: dict[str, type[Detector]] = {
    "none": KeepAll,
    "glofnd": GloFND,
    "location-scale": LocationScale,
    "global-threshold": GlobalThreshold,
    "batch-quantile": BatchQuantile,
    "oracle": Oracle,
}
"""Name in a config -> class. Its parameters stand in the signature of its constructor (`glofnd.parameters`)."""


def build_detector(name: str, num_samples: int, **options: Any) -> Detector:
    """The detector a config names.

    Args:
        name: key of `DETECTORS`.
        num_samples: samples in the data set.
        options: parameters of its constructor; what is left out takes its default.
    """
    if name not in DETECTORS:
        raise ValueError(f"unknown detector {name!r}; known: {', '.join(DETECTORS)}")
    known = parameters(DETECTORS[name])
    if unknown := ", ".join(sorted(options.keys() - known.keys())):
        raise ValueError(f"detector {name!r} has no parameter {unknown}; known: {', '.join(known) or 'none'}")
    return DETECTORS[name](num_samples, **options)
