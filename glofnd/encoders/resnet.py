"""Residual networks of any width, from torchvision's blocks, with a stem for small pictures.

torchvision fixes the first width at 64; a width of 16 on 32-pixel pictures is what two CPU cores can train in minutes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, conv1x1

__all__ = ["ResNet"]


def _stem(kind: str, width: int) -> nn.Sequential:
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


class ResNet(nn.Module):
    """He et al. 2016, with the last batch norm of every residual branch initialised to zero (Goyal et al. 2017).

    Args:
        block: torchvision's residual block.
        layers: blocks per stage.
        width: channels of the first stage; each later stage doubles them.
        stem: `imagenet` (7x7 stride 2 and max-pool), `small` (3x3), `strided` (3x3 stride 2), `pooled` (3x3 and 2x2
            max-pool).

    Shapes:
        [B, 3, H, W] normalised floats -> [B, `features`].
    """

    def __init__(self, block: type[BasicBlock] | type[Bottleneck], layers: list[int], width: int, stem: str) -> None:
        super().__init__()
        if block is Bottleneck and width % 4 != 0:
            raise ValueError(f"width must be a multiple of 4, got {width}")
        self.stem = _stem(stem, width)
        stages: list[nn.Module] = []
        inputs = width
        for depth, blocks in enumerate(layers):
            planes, stride = width * 2**depth, 1 if depth == 0 else 2
            stage: list[nn.Module] = []
            for position in range(blocks):
                step = stride if position == 0 else 1
                shortcut: nn.Module | None = None
                if step != 1 or inputs != planes * block.expansion:
                    shortcut = nn.Sequential(
                        conv1x1(inputs, planes * block.expansion, step), nn.BatchNorm2d(planes * block.expansion)
                    )
                stage.append(block(inputs, planes, step, shortcut))
                inputs = planes * block.expansion
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.features = inputs
        self._initialise()

    def _initialise(self) -> None:
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
