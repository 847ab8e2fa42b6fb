"""GloFND: discovering global false negatives on the fly (Balmaseda et al., ICML 2025), and what it is compared with."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Resolved on first use, so that torch-free modules (glofnd.registry, glofnd.files) can be imported without torch.
_EXPORTS = {
    "KeepAll": "glofnd.detectors.none",
    "GloFND": "glofnd.detectors.glofnd",
    "GlobalThreshold": "glofnd.detectors.global_threshold",
    "BatchQuantile": "glofnd.detectors.batch_quantile",
    "Oracle": "glofnd.detectors.oracle",
    "SimCLR": "glofnd.objectives.simclr",
    "SogCLR": "glofnd.objectives.sogclr",
    "ISogCLR": "glofnd.objectives.isogclr",
    "CLIP": "glofnd.objectives.clip",
    "FastCLIP": "glofnd.objectives.fastclip",
}

__all__ = [*_EXPORTS, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'glofnd' has no attribute {name!r}")
