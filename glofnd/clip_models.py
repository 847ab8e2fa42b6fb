"""Names and configs of open_clip's models, read without importing open_clip or torch."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from glofnd.files import read_json

__all__ = ["CONFIGS", "model_config", "model_names", "own_tokens", "takes_size"]

CONFIGS = Path(__file__).parent / "encoders" / "open_clip_configs"
"""Our own model configs."""

_VOCABULARY = 49408


@cache
def _files() -> dict[str, Path]:
    """Model name -> its config; ours go before open_clip's."""
    spec = find_spec("open_clip")
    packaged = [Path(place) / "model_configs" for place in (spec and spec.submodule_search_locations) or ()]
    return {path.stem: path for folder in (*packaged, CONFIGS) for path in sorted(folder.glob("*.json"))}


@cache
def model_config(name: str) -> dict[str, Any] | None:
    """The config of a model, None where there is no such model."""
    return read_json(_files()[name]) if name in _files() else None


def own_tokens(config: dict[str, Any]) -> bool:
    """Whether a model reads texts as CLIP's own tokens, which `glofnd.encoders.bimodal` gives it.

    Others need a tokenizer, and some a text tower, from the Hugging Face hub.
    """
    text = config["text_cfg"]
    hub = text.get("hf_model_name") or text.get("hf_tokenizer_name")
    return not hub and text.get("vocab_size", _VOCABULARY) == _VOCABULARY


def model_names() -> list[str]:
    """All models that can be trained, ours first."""
    found = [name for name in _files() if own_tokens(model_config(name) or {"text_cfg": {}})]
    return sorted(found, key=lambda name: (_files()[name].parent != CONFIGS, name))


def takes_size(config: dict[str, Any], size: int) -> bool:
    """Whether a model can see square pictures of `size` pixels.

    Positions are learned for one grid of patches, or of a residual network's last maps, a 32nd of the picture's size.
    Towers from timm may take other sizes; of those nothing is known here.
    """
    vision = config["vision_cfg"]
    if vision.get("timm_model_name"):
        return True
    step = 32 if isinstance(vision.get("layers"), list) else vision.get("patch_size", 16)
    return bool(size // step == vision.get("image_size", 224) // step)
