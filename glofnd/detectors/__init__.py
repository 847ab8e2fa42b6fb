"""Who is a false negative: one file per rule, all with the interface of `Detector`."""

from __future__ import annotations

from typing import Any

from glofnd import registry
from glofnd.detectors.base import Detector

__all__ = ["Detector", "build_detector"]


def build_detector(name: str, num_samples: int, **parameters: Any) -> Detector:
    """Build the detector a config names.

    Args:
        name: key of `glofnd.registry.DETECTORS`.
        num_samples: samples in the data set.
        parameters: as in the registry; what is left out takes its default.
    """
    entry = registry.entry("detector", registry.DETECTORS, name, parameters)
    detector: Detector = registry.load(entry)(num_samples, **parameters, **entry.fixed)
    return detector
