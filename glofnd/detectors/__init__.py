"""Who is a false negative: one file per rule, all with the interface of `Detector`."""

from __future__ import annotations

from typing import Any, cast

from glofnd.detectors.batch_quantile import BatchQuantile
from glofnd.detectors.detector import Batch, Detector, Screening, Tile
from glofnd.detectors.fnc import FNC
from glofnd.detectors.global_threshold import GlobalThreshold
from glofnd.detectors.glofnd import GloFND
from glofnd.detectors.ifnd import IFND
from glofnd.detectors.location_scale import LocationScale
from glofnd.detectors.memory import MemoryDetector
from glofnd.detectors.memory_quantile import MemoryQuantile
from glofnd.detectors.none import KeepAll
from glofnd.detectors.oracle import Oracle
from glofnd.parameters import named

__all__ = [
    "DETECTORS",
    "FNC",
    "IFND",
    "Batch",
    "BatchQuantile",
    "Detector",
    "GloFND",
    "GlobalThreshold",
    "KeepAll",
    "LocationScale",
    "MemoryDetector",
    "MemoryQuantile",
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
    "fnc": FNC,
    "ifnd": IFND,
    "memory-quantile": MemoryQuantile,
    "oracle": Oracle,
}
"""Name in a config -> class. Its parameters stand in the signature of its constructor (`glofnd.parameters`)."""


def build_detector(name: str, num_samples: int, dim: int | None = None, **options: Any) -> Detector:
    """The detector a config names.

    Args:
        name: key of `DETECTORS`.
        num_samples: samples in the data set.
        dim: width of the embeddings, needed by detectors that remember them (`MemoryDetector`).
        options: parameters of its constructor; what is left out takes its default.
    """
    kind: Any = named("detector", DETECTORS, name, options)
    if not issubclass(kind, MemoryDetector):
        return cast(Detector, kind(num_samples, **options))
    if dim is None:
        raise ValueError(f"detector {name!r} remembers embeddings: give their width, dim")
    return cast(Detector, kind(num_samples, dim, **options))
