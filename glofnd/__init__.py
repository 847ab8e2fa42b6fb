"""GloFND: discovering global false negatives on the fly (Balmaseda et al., ICML 2025), and what it is compared with."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glofnd.detectors import (
        FNC,
        IFND,
        BatchQuantile,
        GlobalThreshold,
        GloFND,
        KeepAll,
        LocationScale,
        MemoryQuantile,
        Oracle,
    )
    from glofnd.objectives import (
        CLIP,
        DCL,
        HCL,
        SCE,
        BarlowTwins,
        FastCLIPv1,
        FastCLIPv2,
        FastCLIPv3,
        ISogCLR,
        SigLIP,
        SimCLR,
        SogCLR,
        VICReg,
    )

__version__ = "0.1.0"

__all__ = [
    "CLIP",
    "DCL",
    "FNC",
    "HCL",
    "IFND",
    "SCE",
    "BarlowTwins",
    "BatchQuantile",
    "FastCLIPv1",
    "FastCLIPv2",
    "FastCLIPv3",
    "GloFND",
    "GlobalThreshold",
    "ISogCLR",
    "KeepAll",
    "LocationScale",
    "MemoryQuantile",
    "Oracle",
    "SigLIP",
    "SimCLR",
    "SogCLR",
    "VICReg",
    "__version__",
]

_DETECTORS = (
    *("FNC", "IFND", "BatchQuantile", "GloFND", "GlobalThreshold"),
    *("KeepAll", "LocationScale", "MemoryQuantile", "Oracle"),
)


def __getattr__(name: str) -> Any:
    # On first use, so that modules of this package that need no torch are imported without it.
    if name not in __all__:
        raise AttributeError(f"module 'glofnd' has no attribute {name!r}")
    return getattr(import_module("glofnd.detectors" if name in _DETECTORS else "glofnd.objectives"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
