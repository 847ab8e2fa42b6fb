"""Weights from elsewhere, by the names that they have in torchvision, timm or open_clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from glofnd.encoders.model import Model

__all__ = ["load_weights", "put_weights", "read_weights"]

Weights = dict[str, Tensor]

# Parts of torchvision's ResNet by their places, which are their names in `nn.Sequential(*resnet.children())`.
_SEQUENCE = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}


def read_weights(path: Path) -> Weights:
    """The tensors of a state_dict: of torch, of a checkpoint with the key `state_dict` or `model`, or safetensors.

    Raises:
        ValueError: the file holds none, or more than tensors and plain values.
        OSError: it cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        state: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        advice = "save its weights alone: torch.save(model.state_dict(), FILE)"
        raise ValueError(f"{path}: cannot be read as tensors ({said}); {advice}") from error
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    found = {key: value for key, value in state.items() if isinstance(value, Tensor)} if isinstance(state, dict) else {}
    if not found:
        raise ValueError(f"{path}: holds no state_dict")
    return found


def load_weights(model: Model, path: Path, prefix: str, name: str) -> None:
    """Take the encoder's weights from a file.

    lightly's names are understood besides: numbers for the parts of torchvision's ResNet (`backbone.4.0.conv1.weight`),
    and `shortcut` for `downsample` in its own. (A sequence of the latter's parts is another network: its first layer
    has no ReLU.)

    Args:
        model: whose `tower` is filled.
        path: of the file.
        prefix: of the encoder's names in that file; what has another is left aside.
        name: of the architecture, for messages.

    Raises:
        ValueError: the weights are of another architecture, or below another prefix.
    """
    state, names = read_weights(path), [model.library_name(key) for key in model.tower.state_dict()]
    found = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    if "conv1.weight" in names and {key.partition(".")[0] for key in found} <= _SEQUENCE.keys():
        found = {".".join([_SEQUENCE[key.partition(".")[0]], key.partition(".")[2]]): found[key] for key in found}
    if any(".downsample." in key for key in names):
        found = {key.replace(".shortcut.", ".downsample."): value for key, value in found.items()}
    if not found.keys() & set(names):
        # lightly's sequences begin with a convolution of the number 0.
        ends = (names[0], "0.weight")
        near = min((key[: -len(end)] for key in state for end in ends if key.endswith(end)), key=len, default=None)
        advice = "" if near in (None, prefix) else f"; did you mean {near!r}?"
        raise ValueError(f"{path}: below the prefix {prefix!r} is no weight of {name}, as {names[0]}{advice}")
    try:
        put_weights(model, found, name)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def put_weights(model: Model, found: Weights, name: str) -> None:
    """Take the encoder's weights from those of a library's names; a linear layer behind it may be there, too.

    Raises:
        ValueError: they are of another architecture, or some are missing.
    """
    tower = model.tower.state_dict()
    wanted = {model.library_name(key): key for key in tower}
    missing = [key for key in wanted if key not in found and not key.endswith("num_batches_tracked")]
    extra = [key for key in found if key not in wanted]
    if len({key.rpartition(".")[0] for key in extra}) == 1 and len(extra) <= 2:
        extra = []
    said = []
    if missing:
        said.append(f"lacks {len(missing)} of {len(wanted)} weights, as {missing[0]}")
    if extra:
        said.append(f"has {len(extra)} more, as {extra[0]}")
    shapes = ((key, list(found[key].shape), list(tower[own].shape)) for key, own in wanted.items() if key in found)
    if other := next((one for one in shapes if one[1] != one[2]), None):
        said.append("its {} is {}, not {}".format(*other))
    if said:
        raise ValueError(f"is not the encoder {name}: {'; '.join(said)}; another architecture, options or prefix?")
    model.tower.load_state_dict({own: found[key] for key, own in wanted.items() if key in found}, strict=False)
