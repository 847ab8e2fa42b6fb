"""Image and text towers from open_clip, from its own model configs or from ours in `open_clip_configs/`."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from glofnd.clip_models import CONFIGS, own_tokens
from glofnd.encoders.clip_tokens import ClipTokens
from glofnd.encoders.model import Model
from glofnd.parameters import checked

__all__ = ["OpenCLIP"]

_ALL_KERNELS = [
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.MATH,
]


class OpenCLIP(Model):
    """A model of open_clip; its own temperature is left out, since the objective owns that.

    Args:
        model: its name.
        pretrained: open_clip's name of weights, which are fetched or taken from the cache; None: untrained.

    Raises:
        ValueError: no model config of that name, or no such weights.
        OSError: the weights or the tokenizer cannot be had.
    """

    modality = "bimodal"

    @checked
    def __init__(
        self,
        model: Annotated[str, "`glofnd-tiny`, or any of open_clip's models"] = "glofnd-tiny",
        pretrained: str | None = None,
    ) -> None:
        # Takes seconds, which unimodal runs need not wait for.
        import open_clip

        super().__init__(open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
        open_clip.add_model_config(CONFIGS)
        config: dict[str, Any] | None = open_clip.get_model_config(model)
        if config is None:
            raise ValueError(f"model: open_clip knows no {model!r}; choose from open_clip.list_models()")
        if pretrained and pretrained not in (tags := open_clip.list_pretrained_tags_by_model(model)):
            raise ValueError(
                f"model: open_clip's {model} has the weights {', '.join(tags) or 'of none'}, not {pretrained}"
            )
        # open_clip warns that the weights are random, which is what pretraining starts from.
        logging.disable(logging.WARNING)
        try:
            self.clip = open_clip.create_model(model, pretrained, load_weights=pretrained is not None)
            if pretrained:
                usual = open_clip.get_model_preprocess_cfg(self.clip)
                for own, theirs in ((self.mean, usual["mean"]), (self.std, usual["std"])):
                    own.copy_(torch.tensor(theirs).view_as(own))
        except (OSError, RuntimeError) as error:
            if not pretrained:
                raise
            said = " ".join(str(error).split())
            raise OSError(f"open_clip's {model}@{pretrained} cannot be had ({said}); fill its cache first") from error
        finally:
            logging.disable(logging.NOTSET)
        self.dim, vision = config["embed_dim"], config["vision_cfg"]
        # Towers from timm may take any size; of those nothing is known here.
        self.image_size = None if vision.get("timm_model_name") else vision.get("image_size", 224)
        for name in ("logit_scale", "logit_bias"):
            if (parameter := getattr(self.clip, name, None)) is not None:
                parameter.requires_grad_(False)
        length = config["text_cfg"].get("context_length", 77)
        self._tokens = ClipTokens(length) if own_tokens(config) else open_clip.get_tokenizer(model)

    @property
    def tower(self) -> torch.nn.Module:
        """Both towers."""
        out: torch.nn.Module = self.clip
        return out

    def features(self, images: Tensor) -> Tensor:
        """The image tower's output is both feature and embedding, [B, D]."""
        return self.project(images)

    def project(self, images: Tensor) -> Tensor:
        """Image embedding, [B, D]."""
        out: Tensor = self.clip.encode_image(images)
        return out

    def embed_text(self, captions: list[str]) -> Tensor:
        """Text embedding, [B, D]. Captions longer than the context are cut, as open_clip does."""
        tokens: Tensor = self._tokens(captions).to(self.mean.device, non_blocking=True)
        # On a CPU the fused kernel's backward is slow: 143 ms against 47 ms for 256 captions of 20 tokens in bf16.
        kernels = [SDPBackend.MATH] if tokens.device.type == "cpu" else _ALL_KERNELS
        with sdpa_kernel(kernels):
            out: Tensor = self.clip.encode_text(tokens)
        return out
