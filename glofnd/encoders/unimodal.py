"""Encoder and projector of SimCLR-style pretraining."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from glofnd.encoders.model import Model
from glofnd.encoders.resnet import ResNet

__all__ = ["UnimodalModel", "resnet10", "resnet18", "resnet50"]

# A fixed spread for every data set: the first batch norm absorbs the rest, and no statistics can leak from a test set.
_MEAN = (0.5, 0.5, 0.5)
_STD = (0.25, 0.25, 0.25)


class UnimodalModel(Model):
    """Backbone and the paper's projector, Linear-BN-ReLU-Linear-BN(no affine)."""

    modality = "unimodal"

    def __init__(self, backbone: ResNet, projector_hidden: int, projector_dim: int) -> None:
        super().__init__(_MEAN, _STD)
        self.backbone = backbone
        self.projector = nn.Sequential(
            nn.Linear(backbone.features, projector_hidden, bias=False),
            nn.BatchNorm1d(projector_hidden),
            nn.ReLU(inplace=True),
            nn.Linear(projector_hidden, projector_dim, bias=False),
            nn.BatchNorm1d(projector_dim, affine=False),
        )

    def features(self, images: Tensor) -> Tensor:
        """Backbone output before the projector, [B, F]."""
        out: Tensor = self.backbone(images)
        return out

    def project(self, images: Tensor) -> Tensor:
        """Projector output, [B, D]."""
        out: Tensor = self.projector(self.backbone(images))
        return out


def resnet10(width: int, stem: str, projector_hidden: int, projector_dim: int) -> UnimodalModel:
    """ResNet-18 with one block per stage instead of two."""
    return UnimodalModel(ResNet(BasicBlock, [1, 1, 1, 1], width, stem), projector_hidden, projector_dim)


def resnet18(width: int, stem: str, projector_hidden: int, projector_dim: int) -> UnimodalModel:
    """ResNet-18 shape of any width."""
    return UnimodalModel(ResNet(BasicBlock, [2, 2, 2, 2], width, stem), projector_hidden, projector_dim)


def resnet50(width: int, stem: str, projector_hidden: int, projector_dim: int) -> UnimodalModel:
    """ResNet-50 shape of any width; width 64 with the `imagenet` stem is the paper's encoder."""
    return UnimodalModel(ResNet(Bottleneck, [3, 4, 6, 3], width, stem), projector_hidden, projector_dim)
