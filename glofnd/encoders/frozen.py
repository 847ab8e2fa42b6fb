"""Encoders that somebody else has trained, to be evaluated or trained further: `frozen`, `start_from`."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from glofnd.encoders import ENCODERS, build_model, load_model
from glofnd.encoders.libraries import Options, timm_tower, torchvision_tower
from glofnd.encoders.model import Model
from glofnd.encoders.two_towers import OpenCLIP
from glofnd.encoders.weights import load_weights, put_weights
from glofnd.parameters import Range, checked

__all__ = ["Frozen", "architecture", "digest_of", "first_model", "frozen", "start_from", "tried"]

Triple = tuple[float, float, float]
_FORMS = "timm/NAME, torchvision/NAME, open_clip/NAME@PRETRAINED, resnet18 (as in `encoder`) or module:function"


class Frozen(Model):
    """A network as it comes: its features are its embedding.

    Args:
        network: normalised pictures [B, 3, H, W] -> [B, F] or [B, F, 1, 1].
        mean, std, image_size: what it takes.
        preprocess: from pictures in [0, 1] to what the network takes, in place of the three.
    """

    modality = "unimodal"

    def __init__(
        self,
        network: nn.Module,
        mean: Triple = (0, 0, 0),
        std: Triple = (1, 1, 1),
        image_size: int | None = None,
        preprocess: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__(mean, std)
        self.network, self.image_size, self._preprocess = network, image_size, preprocess

    @property
    def tower(self) -> nn.Module:
        """The network."""
        return self.network

    def normalise(self, images: Tensor) -> Tensor:
        """Pictures in [0, 1] -> what the network takes."""
        return super().normalise(images) if self._preprocess is None else self._preprocess(images)

    def features(self, images: Tensor) -> Tensor:
        """What the network gives, [B, F]."""
        out: Tensor = self.network(images)
        return out.flatten(1)

    def project(self, images: Tensor) -> Tensor:
        """The same."""
        return self.features(images)


@checked
def frozen(
    model: Annotated[str | None, f"{_FORMS}; null: `weights` is a checkpoint of this project"] = None,
    weights: Annotated[str | None, "file with its weights; null: those of its library; `{seed}`: one per seed"] = None,
    prefix: Annotated[str, "of the encoder's names in that file, as `backbone.`"] = "",
    options: Options = None,
    image_size: Annotated[int | None, Range(ge=1, le=2**14), "side that it sees pictures with; null: its own"] = None,
    mean: Annotated[Triple | None, "of its pictures in [0, 1]; null: its own"] = None,
    std: Annotated[Triple | None, Range(gt=0), "of its pictures; null: its own"] = None,
) -> Model:
    """An encoder with its weights, in evaluation mode.

    Raises:
        ValueError: no such model, or the weights are not its own.
        OSError: the weights cannot be had.
    """
    if model is None:
        made = load_model(weights or "")
    else:
        made = architecture(model, weights, options, mean, std, pretrained=weights is None)
    if model is not None and weights is not None:
        load_weights(made, Path(weights), prefix, model)
    made.image_size = image_size or made.image_size
    for own, given in ((made.mean, mean), (made.std, std)):
        if given is not None:
            own.copy_(torch.tensor(given).view_as(own))
    return made.eval()


@torch.inference_mode()
def tried(texts: bool, **block: Any) -> None:
    """Raises what stands against evaluating `frozen(**block)`: it cannot be had, or takes no picture, or no text."""
    model = frozen(**block)
    model.features(model.prepare(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)))
    if texts:
        model.embed_text(["a text"])


def architecture(
    model: str | None = None,
    weights: str | None = None,
    options: dict[str, Any] | None = None,
    mean: object = None,
    std: object = None,
    pretrained: bool = False,
    **rest: object,
) -> Model:
    """The encoder of what `frozen` takes, without weights of a file.

    Raises:
        ValueError: the parameters do not fit each other, or there is no such model.
    """
    if model is None:
        if weights is None:
            raise ValueError(f"model: is missing; one of {_FORMS}; or `weights`, a checkpoint of this project")
        return Frozen(nn.Identity())
    library, _, name = model.partition("/")
    if options and library not in ("timm", "torchvision", *ENCODERS):
        raise ValueError(f"options: {model} takes none; models of timm and torchvision and those of `encoder` do")
    if library in ("timm", "torchvision"):
        tower = (timm_tower if library == "timm" else torchvision_tower)(name, options, pretrained)
        return Frozen(tower.network, tower.mean, tower.std, tower.usual_size)
    if library == "open_clip":
        name, _, tag = name.partition("@")
        if not tag and weights is None:
            raise ValueError(f"model: which weights? open_clip/{name}@PRETRAINED, see open_clip.list_pretrained()")
        return OpenCLIP(name, tag if pretrained else None)
    if re.fullmatch(r"[\w.]+:\w+", model):
        return _of_function(model)
    if model not in ENCODERS:
        raise ValueError(f"model: {model!r} is none of {_FORMS}")
    if weights is None or mean is None or std is None:
        raise ValueError(
            f"weights: {model} needs the file of its weights, and mean and std of its pictures in training"
        )
    kind: Callable[..., Model] = ENCODERS[model]
    return kind(**options or {})


def _of_function(name: str) -> Frozen:
    module, _, function = name.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    try:
        made = getattr(import_module(module), function)()
    except (ImportError, AttributeError) as error:
        raise ValueError(f"model: {name} cannot be called: {error}") from error
    network, preprocess = made if isinstance(made, tuple) else (made, None)
    if not isinstance(network, nn.Module):
        raise ValueError(f"model: {name} returns no torch module, but {type(network).__name__}")
    return Frozen(network, preprocess=preprocess)


def start_from(model: Model, /, **start: Any) -> None:
    """Give an untrained model the encoder that `frozen(**start)` has; its projector stays as it is.

    Raises:
        ValueError, OSError: as `frozen`; or it is of another architecture than the model.
    """
    source = frozen(**start)
    found = {source.library_name(key): value for key, value in source.tower.state_dict().items()}
    put_weights(model, found, type(model).__name__)


def first_model(run_config: dict[str, Any]) -> Model:
    """The model that a run's training begins with: untrained, or with the encoder that its `init_from` names."""
    model = build_model(run_config)
    if run_config.get("init_from"):
        start_from(model, **run_config["init_from"])
    return model


def digest_of(model: nn.Module) -> str:
    """SHA-256 of all weights and their names."""
    found = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        found.update(name.encode() + value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
