"""Image and text towers."""

from __future__ import annotations

import os
from typing import Any

import torch

from glofnd.checkpoint import config_of, read
from glofnd.encoders.model import Model
from glofnd.registry import ENCODERS, load

__all__ = ["Model", "build_model", "load_model"]


def build_model(run_config: dict[str, Any]) -> Model:
    """The untrained model of a run; its weights are set by the run's seed alone."""
    parameters = dict(run_config["encoder"])
    name = parameters.pop("name")
    with torch.random.fork_rng():
        torch.manual_seed(run_config["seed"])
        model: Model = load(ENCODERS[name])(**parameters)
    return model


def load_model(checkpoint: str | os.PathLike[str]) -> Model:
    """The model of a checkpoint, in evaluation mode."""
    state = read(checkpoint)
    model = build_model(config_of(state))
    model.load_state_dict(state["model"])
    return model.to(memory_format=torch.channels_last).eval()
