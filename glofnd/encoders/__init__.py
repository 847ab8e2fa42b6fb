"""Image and text encoders. A new one is a class and a line in `ENCODERS` (docs/add-an-encoder.md)."""

from __future__ import annotations

import os
from typing import Any

import torch

from glofnd.checkpoint import config_of, read
from glofnd.encoders.libraries import Timm, Torchvision
from glofnd.encoders.model import Model, Projected
from glofnd.encoders.resnet import ResNet10, ResNet18, ResNet50
from glofnd.encoders.two_towers import OpenCLIP

__all__ = [
    "ENCODERS",
    "Model",
    "OpenCLIP",
    "Projected",
    "ResNet10",
    "ResNet18",
    "ResNet50",
    "Timm",
    "Torchvision",
    "build_model",
    "load_model",
]

ENCODERS: dict[str, type[Model]] = {
    "resnet10": ResNet10,
    "resnet18": ResNet18,
    "resnet50": ResNet50,
    "timm": Timm,
    "torchvision": Torchvision,
    "open-clip": OpenCLIP,
}
"""Name in a config -> class. Its `modality` says whether it has a text tower."""


def build_model(run_config: dict[str, Any]) -> Model:
    """The untrained model of a run, channels last; its weights are set by the run's seed alone."""
    parameters = dict(run_config["encoder"])
    name = parameters.pop("name")
    with torch.random.fork_rng():
        torch.manual_seed(run_config["seed"])
        model = ENCODERS[name](**parameters)
    return model.to(memory_format=torch.channels_last)


def load_model(checkpoint: str | os.PathLike[str]) -> Model:
    """The model of a checkpoint, in evaluation mode."""
    state = read(checkpoint)
    model = build_model(config_of(state))
    model.load_state_dict(state["model"])
    return model.eval()
