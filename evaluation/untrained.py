"""What discovery finds without any training: the baselines behind the interface of a model and an objective."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from evaluation.embedding import RAW_SIDE
from glofnd.encoders import Model, build_model
from glofnd.objectives import build_objective

__all__ = ["PixelModel", "untrained"]


class PixelModel(Model):
    """The trivial encoder: a view's pixels, averaged to 16 x 16 where it is larger."""

    modality = "unimodal"

    def __init__(self) -> None:
        super().__init__((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

    def features(self, images: Tensor) -> Tensor:
        """Pixels, [B, F]."""
        pixels = functional.adaptive_avg_pool2d(images, RAW_SIDE) if images.shape[-1] > RAW_SIDE else images
        return pixels.flatten(1)

    def project(self, images: Tensor) -> Tensor:
        """The same as `features`."""
        return self.features(images)


def untrained(config: dict[str, Any], name: str, samples: int) -> tuple[Model, Any]:
    """Model and objective of a baseline; the objective's detector drops nothing.

    Args:
        config: run config of the baseline.
        name: `raw-pixels` or `random-init`.
        samples: in the training split.

    Raises:
        ValueError: raw pixels in an experiment of pictures and texts.
    """
    if name == "raw-pixels" and config["modality"] != "unimodal":
        raise ValueError("raw-pixels: a text has no pixels to compare a picture's with; discovery takes random-init")
    model = PixelModel() if name == "raw-pixels" else build_model(config)
    objective = build_objective("simclr" if model.modality == "unimodal" else "clip", samples, None, temperature=0.1)
    return model.to(memory_format=torch.channels_last), objective
