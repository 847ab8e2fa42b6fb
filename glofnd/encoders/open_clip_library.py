"""open_clip without what only other models need: timm and transformers take as long to import as all the rest."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from glofnd.clip_models import model_config

__all__ = ["open_clip_for"]

_OPTIONAL = {"timm": ("vision_cfg", "timm_model_name"), "transformers": ("text_cfg", "hf_model_name")}
"""Package -> where a model config names a tower that is made by it."""


def _needed(model: str) -> set[str]:
    """Optional packages that a model needs; of an unknown model all, so that open_clip's own message is complete."""
    config = model_config(model)
    if config is None:
        return set(_OPTIONAL)
    return {package for package, (part, key) in _OPTIONAL.items() if config.get(part, {}).get(key)}


def open_clip_for(model: str) -> Any:
    """The package open_clip, complete enough for a model.

    open_clip imports timm and transformers where they are installed and does without where they are not. Here they look
    as if they were not while it is imported, unless the model is made of them.
    """
    needed = _needed(model)
    if "open_clip" in sys.modules:
        have = {"timm": "open_clip.timm_model", "transformers": "open_clip.hf_model"}
        if all(getattr(sys.modules.get(have[package]), package, None) is not None for package in needed):
            return sys.modules["open_clip"]
        for name in [name for name in sys.modules if name.partition(".")[0] == "open_clip"]:
            del sys.modules[name]
    hidden = [package for package in _OPTIONAL if package not in needed and package not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        return import_module("open_clip")
    finally:
        for package in hidden:
            del sys.modules[package]
