"""What the loss does with what a detector leaves: one file per objective, all with the interface of `Objective`."""

from __future__ import annotations

from typing import Any

from glofnd import registry
from glofnd.detectors import Detector
from glofnd.objectives.base import Objective
from glofnd.objectives.inspection import Inspection

__all__ = ["Inspection", "Objective", "build_objective"]


def build_objective(name: str, num_samples: int, detector: Detector | None = None, **parameters: Any) -> Objective:
    """Build the objective a config names.

    Args:
        name: key of `glofnd.registry.OBJECTIVES`.
        num_samples: samples in the data set.
        detector: who is a false negative; None keeps every negative.
        parameters: as in the registry; what is left out takes its default.
    """
    entry = registry.entry("objective", registry.OBJECTIVES, name, parameters)
    objective: Objective = registry.load(entry)(num_samples, detector=detector, **parameters, **entry.fixed)
    return objective
