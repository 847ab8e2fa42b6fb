"""Residual networks with a projector, for SimCLR-style pretraining.

The blocks are torchvision's. Its `ResNet` fixes the first width at 64 and the stem at 7x7; a width of 16 on 32-pixel
pictures is what two CPU cores can train in minutes, so the stages are put together here.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, conv1x1

from glofnd.encoders.model import Projected, ProjectorDim, ProjectorHidden
from glofnd.parameters import Range, checked

__all__ = ["Backbone", "ResNet10", "ResNet18", "ResNet50"]

Stem = Literal["imagenet", "small", "strided", "pooled"]


def _stem(kind: Stem, width: int) -> nn.Sequential:
    kernel = 7 if kind == "imagenet" else 3
    stride = 2 if kind in ("imagenet", "strided") else 1
    layers: list[nn.Module] = [
        nn.Conv2d(3, width, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    ]
    if kind == "imagenet":
        layers.append(nn.MaxPool2d(3, 2, padding=1))
    elif kind == "pooled":
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class Backbone(nn.Module):
    """He et al. 2016, with the last batch norm of every residual branch initialised to zero (Goyal et al. 2017).

    Args:
        block: torchvision's residual block.
        layers: blocks per stage.
        width: channels of the first stage; each later stage doubles them.
        stem: see `ResNet18`.

    Shapes:
        [B, 3, H, W] normalised floats -> [B, `features`].
    """

    def __init__(
        self, block: type[BasicBlock] | type[Bottleneck], layers: tuple[int, ...], width: int, stem: Stem
    ) -> None:
        super().__init__()
        self.stem = _stem(stem, width)
        stages: list[nn.Module] = []
        inputs = width
        for depth, blocks in enumerate(layers):
            planes = width * 2**depth
            outputs = planes * block.expansion
            stage: list[nn.Module] = []
            for position in range(blocks):
                stride = 2 if depth > 0 and position == 0 else 1
                shortcut: nn.Module | None = None
                if stride != 1 or inputs != outputs:
                    shortcut = nn.Sequential(conv1x1(inputs, outputs, stride), nn.BatchNorm2d(outputs))
                stage.append(block(inputs, planes, stride, shortcut))
                inputs = outputs
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.features = inputs
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, BasicBlock):
                nn.init.zeros_(module.bn2.weight)
            elif isinstance(module, Bottleneck):
                nn.init.zeros_(module.bn3.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Global average of the last stage, [B, `features`]."""
        maps: Tensor = self.stages(self.stem(images))
        return torch.mean(maps, dim=(2, 3))


class ResNet18(Projected):
    """ResNet-18 shape of any width.

    Stems: `imagenet` (7x7 stride 2 and max-pool), `small` (3x3), `strided` (3x3 stride 2), `pooled` (3x3 and 2x2
    max-pool).
    """

    block: type[BasicBlock] | type[Bottleneck] = BasicBlock
    layers: tuple[int, ...] = (2, 2, 2, 2)

    @checked
    def __init__(
        self,
        width: Annotated[int, Range(ge=1, le=4096), "channels of the first stage"] = 64,
        stem: Annotated[Stem, "first layers"] = "imagenet",
        projector_hidden: ProjectorHidden = 2048,
        projector_dim: ProjectorDim = 128,
    ) -> None:
        backbone = Backbone(self.block, self.layers, width, stem)
        super().__init__(backbone, backbone.features, projector_hidden, projector_dim)

    def library_name(self, key: str) -> str:
        """torchvision's, which are timm's and solo-learn's, too."""
        part, number, rest = key.split(".", 2)
        return f"{('conv1', 'bn1')[int(number)]}.{rest}" if part == "stem" else f"layer{int(number) + 1}.{rest}"


class ResNet10(ResNet18):
    """ResNet-18 with one block per stage instead of two."""

    layers = (1, 1, 1, 1)


class ResNet50(ResNet18):
    """ResNet-50 shape of any width; width 64 with the `imagenet` stem is the paper's encoder."""

    block = Bottleneck
    layers = (3, 4, 6, 3)
