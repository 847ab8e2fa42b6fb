"""The interface of a model for pretraining and evaluation, whatever its towers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from glofnd.parameters import Range

__all__ = ["Model", "Projected", "ProjectorDim", "ProjectorHidden"]

ProjectorHidden = Annotated[int, Range(ge=1, le=2**20), "width of the projector"]
ProjectorDim = Annotated[int, Range(ge=2, le=2**20), "dimension of the embedding"]


class Model(nn.Module):
    """An image encoder with its normalisation; bimodal models add `embed_text`.

    Shapes:
        pictures are [B, 3, H, W]; `features` [B, F] is what is frozen and evaluated, `project` [B, D] what the
        objective sees (not normalised).

    Attributes:
        dim: D, the width of embeddings.
        image_size: side in pixels that pictures are resized to before they are normalised; None: as they are.

    Args:
        mean: of the pictures, per channel, in [0, 1].
        std: as mean.
    """

    modality: Literal["unimodal", "bimodal"]
    dim: int
    image_size: int | None = None
    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, float, float], std: tuple[float, float, float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def normalise(self, images: Tensor) -> Tensor:
        """Floats in [0, 1] -> zero mean and unit spread, in the memory format of the input."""
        if self.image_size not in (None, images.shape[-1]):
            images = interpolate(images, self.image_size, mode="bicubic", antialias=True).clamp(0, 1)
        return (images - self.mean) / self.std

    def prepare(self, images: Tensor) -> Tensor:
        """uint8 pictures -> normalised floats, channels last."""
        if images.dtype != torch.uint8:
            raise TypeError(f"prepare takes uint8 pictures, got {images.dtype}; use normalise for floats")
        return self.normalise(images.float().div(255).contiguous(memory_format=torch.channels_last))

    @property
    def tower(self) -> nn.Module:
        """The part that is a library's encoder, or all of both towers, without what pretraining adds."""
        return self

    def library_name(self, key: str) -> str:
        """What the library calls a weight that `tower.state_dict()` calls `key`."""
        return key

    def features(self, images: Tensor) -> Tensor:
        """Frozen features of normalised pictures, [B, F]."""
        raise NotImplementedError

    def project(self, images: Tensor) -> Tensor:
        """Embedding of normalised pictures in the space of the objective, [B, D]."""
        raise NotImplementedError

    def embed_text(self, captions: list[str]) -> Tensor:
        """Embedding of captions in the space of the objective, [B, D]."""
        raise TypeError(f"{type(self).__name__} has no text tower")

    def forward(self, first: Tensor, second: Any) -> tuple[Tensor, Tensor]:
        """The two embeddings that an objective contrasts, each [B, D].

        Args:
            first: views in [0, 1], [B, 3, H, W].
            second: another view of each picture (unimodal), or its caption (bimodal, list[str]).
        """
        if self.modality == "bimodal":
            return self.project(self.normalise(first)), self.embed_text(second)
        # One pass, so that batch normalisation sees all 2B pictures.
        both = self.project(self.normalise(torch.cat([first, second])))
        return both[: len(first)], both[len(first) :]


class Projected(Model):
    """A backbone with the projector of GloFND's code, Linear-BN-ReLU-Linear-BN (no affine), for two views.

    Args:
        backbone: normalised pictures [B, 3, H, W] -> [B, F].
        features: F.
        projector_hidden: width of the projector's hidden layer.
        projector_dim: width of the embeddings.
    """

    modality = "unimodal"

    # The same for every data set: the first layers absorb the rest, and no statistics can leak from a test set.
    _MEAN = (0.5, 0.5, 0.5)
    _STD = (0.25, 0.25, 0.25)

    def __init__(self, backbone: nn.Module, features: int, projector_hidden: int, projector_dim: int) -> None:
        super().__init__(self._MEAN, self._STD)
        self.dim = projector_dim
        self.backbone = backbone
        self.projector = nn.Sequential(
            nn.Linear(features, projector_hidden, bias=False),
            nn.BatchNorm1d(projector_hidden),
            nn.ReLU(inplace=True),
            nn.Linear(projector_hidden, projector_dim, bias=False),
            nn.BatchNorm1d(projector_dim, affine=False),
        )

    @property
    def tower(self) -> nn.Module:
        """The backbone."""
        return self.backbone

    def features(self, images: Tensor) -> Tensor:
        """Backbone output before the projector, [B, F]."""
        out: Tensor = self.backbone(images)
        return out

    def project(self, images: Tensor) -> Tensor:
        """Projector output, [B, D]."""
        out: Tensor = self.projector(self.backbone(images))
        return out
