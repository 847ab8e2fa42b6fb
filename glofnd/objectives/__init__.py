"""What the loss does with what a detector leaves: one file per objective, all with the interface of `Objective`."""

from __future__ import annotations

from typing import Any

from glofnd.detectors import Detector
from glofnd.objectives.clip import CLIP
from glofnd.objectives.dcl import DCL, HCL
from glofnd.objectives.engine import Pairs, Rows
from glofnd.objectives.fastclip import FastCLIPv1, FastCLIPv2, FastCLIPv3
from glofnd.objectives.objective import Inspection, Objective
from glofnd.objectives.sce import SCE
from glofnd.objectives.siglip import SigLIP
from glofnd.objectives.simclr import SimCLR
from glofnd.objectives.sogclr import ISogCLR, SogCLR
from glofnd.objectives.without_negatives import BarlowTwins, VICReg
from glofnd.parameters import named

__all__ = [
    "CLIP",
    "DCL",
    "HCL",
    "OBJECTIVES",
    "SCE",
    "BarlowTwins",
    "FastCLIPv1",
    "FastCLIPv2",
    "FastCLIPv3",
    "ISogCLR",
    "Inspection",
    "Objective",
    "Pairs",
    "Rows",
    "SigLIP",
    "SimCLR",
    "SogCLR",
    "VICReg",
    "build_objective",
]

OBJECTIVES: dict[str, type[Objective]] = {
    "simclr": SimCLR,
    "sogclr": SogCLR,
    "isogclr": ISogCLR,
    "dcl": DCL,
    "hcl": HCL,
    "sce": SCE,
    "barlow-twins": BarlowTwins,
    "vicreg": VICReg,
    "clip": CLIP,
    "fastclip-v1": FastCLIPv1,
    "fastclip-v2": FastCLIPv2,
    "fastclip-v3": FastCLIPv3,
    "siglip": SigLIP,
}
"""Name in a config -> class. Its parameters stand in the signature of its constructor (`glofnd.parameters`)."""


def build_objective(name: str, num_samples: int, detector: Detector | None = None, **options: Any) -> Objective:
    """The objective a config names.

    Args:
        name: key of `OBJECTIVES`.
        num_samples: samples in the data set.
        detector: who is a false negative; None keeps every negative.
        options: parameters of its constructor; what is left out takes its default.
    """
    return named("objective", OBJECTIVES, name, options)(num_samples, detector=detector, **options)
