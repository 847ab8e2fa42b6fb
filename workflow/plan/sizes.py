"""How large models, checkpoints and per-sample state are: counted on the real ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from glofnd.encoders import Model, build_model
from glofnd.pretraining.trainer import objective_of

__all__ = ["RunSize", "run_size"]

# Numbers that an optimiser keeps for each parameter.
_OPTIMISER_STATE = {"adamw": 2, "sgd": 1, "lars": 1}
# Few samples tell how many bytes each takes; two counts tell them apart from what does not grow.
_FEW, _MORE = 64, 128


@dataclass(frozen=True)
class RunSize:
    """Sizes of one training.

    Attributes:
        parameters: trained numbers of the model.
        feature_bytes: of one picture's frozen features, and of its embedding where the model has one of pictures.
        bytes_per_sample: of detector and objective state.
        checkpoint: bytes of a checkpoint.
        memory: bytes of parameters, gradients, optimiser and per-sample state in the training process; activations,
            which depend on the pictures, are not in it.
    """

    parameters: int
    feature_bytes: int
    bytes_per_sample: int
    checkpoint: int
    memory: int


def _bytes(module: nn.Module) -> int:
    return sum(value.numel() * value.element_size() for value in module.state_dict().values())


def _state_bytes(config: dict[str, Any], samples: int) -> int:
    return _bytes(objective_of(config, samples))


@torch.no_grad()
def _feature_bytes(model: Model, side: int) -> int:
    picture = model.normalise(torch.zeros(1, 3, side, side))
    widths = [model.features(picture).shape[1]]
    if model.modality == "bimodal":
        widths.append(model.project(picture).shape[1])
    return 4 * sum(widths)


def run_size(config: dict[str, Any], samples: int, side: int) -> RunSize:
    """Sizes of a run.

    Args:
        config: run config.
        samples: in the training split.
        side: pixels a side of what the encoder sees.
    """
    model = build_model(config).eval()
    parameters = sum(value.numel() for value in model.parameters())
    weights = _bytes(model)
    each = (_state_bytes(config, _MORE) - _state_bytes(config, _FEW)) // (_MORE - _FEW)
    optimiser = 4 * parameters * _OPTIMISER_STATE[config["training"]["optimizer"]]
    state = each * samples
    width = _feature_bytes(model, side)
    return RunSize(parameters, width, each, weights + optimiser + state, weights + 4 * parameters + optimiser + state)
