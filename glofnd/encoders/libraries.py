"""Image encoders of timm and torchvision, by their names there: as architectures to train, and with their weights."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from torch import nn

from glofnd.encoders.model import Projected, ProjectorDim, ProjectorHidden
from glofnd.parameters import checked

__all__ = ["Options", "Timm", "Torchvision", "Tower", "timm_tower", "torchvision_tower"]

Value = bool | int | float | str | list[int]
Options = Annotated[dict[str, Value] | None, "what its constructor takes besides: `{img_size: 32, patch_size: 4}`"]


@dataclass(frozen=True)
class Tower:
    """An image encoder of a library, without its classifier.

    Attributes:
        network: normalised pictures [B, 3, H, W] -> [B, `features`].
        features: F.
        head: where the classifier was, a prefix of names of weights.
        fixed_size: the one side in pixels that it takes, None: any.
        usual_size: the side that its weights are for.
        mean, std: that its weights are for.
    """

    network: nn.Module
    features: int
    head: str
    fixed_size: int | None
    usual_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def timm_tower(model: str, options: dict[str, Value] | None = None, pretrained: bool = False) -> Tower:
    """A model of timm; with `pretrained` its weights come from the Hugging Face hub or its cache.

    Raises:
        ValueError: timm has no such model, or it does not take the options.
        OSError: the weights cannot be had.
    """
    # Takes seconds, which other encoders need not wait for.
    import timm

    if not timm.is_model(model):
        raise ValueError(f"model: timm has no {model!r}{_nearest(model, timm.list_models())}; see timm.list_models()")
    given: dict[str, Any] = options or {}
    network: Any = _made("timm", model, timm.create_model, given, pretrained=pretrained, num_classes=0)
    usual = network.pretrained_cfg
    size = int(given.get("img_size", usual["input_size"][-1]))
    fixed = usual.get("fixed_input_size", False) and not given.get("dynamic_img_size")
    heads = usual["classifier"]
    head = heads if isinstance(heads, str) else heads[0]
    return Tower(network, network.head_hidden_size, head, size if fixed else None, size, usual["mean"], usual["std"])


def torchvision_tower(model: str, options: dict[str, Value] | None = None, pretrained: bool = False) -> Tower:
    """A classifier of torchvision; with `pretrained` its default weights, or those of `NAME@WEIGHTS`.

    Raises:
        ValueError: torchvision has no such model or weights, or it does not take the options.
        OSError: the weights cannot be had.
    """
    from torchvision import models

    name, _, tag = model.partition("@")
    known = models.list_models(module=models)
    if name not in known:
        raise ValueError(f"model: torchvision has no {name!r}{_nearest(name, known)}; see torchvision.models")
    all_weights = models.get_model_weights(name)
    if tag and tag not in all_weights.__members__:
        raise ValueError(f"model: torchvision's {name} has the weights {', '.join(all_weights.__members__)}, not {tag}")
    weights = all_weights[tag or "DEFAULT"]
    network = _made("torchvision", name, models.get_model, options or {}, weights=weights if pretrained else None)
    layers = [(key, part) for key, part in network.named_modules() if isinstance(part, nn.Linear)]
    if not layers:
        raise ValueError(f"model: torchvision's {name} does not end in a linear layer; take another, or timm's")
    head, linear = layers[-1]
    parent, _, last = head.rpartition(".")
    setattr(network.get_submodule(parent), last, nn.Identity())
    usual = weights.transforms()
    fixed: int | None = getattr(network, "image_size", None)
    return Tower(network, linear.in_features, head, fixed, fixed or usual.crop_size[0], usual.mean, usual.std)


def _made(library: str, model: str, create: Callable[..., Any], options: dict[str, Any], **ours: Any) -> nn.Module:
    try:
        made: nn.Module = create(model, **ours, **options)
    except OSError as error:
        said = " ".join(str(error).split())
        advice = "fill the cache where there is a network, or name a file as `weights`"
        raise OSError(f"{library}'s weights of {model} cannot be had ({said}); {advice}") from error
    except Exception as error:  # whatever its constructor makes of them
        raise ValueError(f"options: {library} cannot make {model} so: {' '.join(str(error).split())}") from error
    return made


def _nearest(word: str, known: list[str]) -> str:
    found = difflib.get_close_matches(word.partition(".")[0], known, 3)
    return f", but {', '.join(found)}" if found else ""


class _Library(Projected):
    """A tower of a library with the projector."""

    def __init__(self, tower: Tower, projector_hidden: int, projector_dim: int) -> None:
        super().__init__(tower.network, tower.features, projector_hidden, projector_dim)
        self.image_size = tower.fixed_size


class Timm(_Library):
    """Any model of timm, untrained: ViT, ConvNeXt, ResNet, ..."""

    @checked
    def __init__(
        self,
        model: Annotated[str, "a name of `timm.list_models()`"] = "vit_tiny_patch16_224",
        options: Options = None,
        projector_hidden: ProjectorHidden = 2048,
        projector_dim: ProjectorDim = 128,
    ) -> None:
        super().__init__(timm_tower(model, options), projector_hidden, projector_dim)


class Torchvision(_Library):
    """Any classifier of torchvision, untrained, without its last layer."""

    @checked
    def __init__(
        self,
        model: Annotated[str, "a name of `torchvision.models.list_models()`"] = "vit_b_16",
        options: Options = None,
        projector_hidden: ProjectorHidden = 2048,
        projector_dim: ProjectorDim = 128,
    ) -> None:
        if "@" in model:
            raise ValueError(f"model: an encoder begins at random; name {model} as init_from: torchvision/{model}")
        super().__init__(torchvision_tower(model, options), projector_hidden, projector_dim)
