"""Two random views of every picture by torchvision, with the strengths of a config's `views`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmarks.pipeline_pictures import Pictures

__all__ = ["PEERS", "Transform", "loader", "pil_transform", "tensor_transform"]

Transform = Callable[[Any], Tensor]


def _operations(module: Any, size: int, views: dict[str, Any]) -> list[Any]:
    """What torchvision's two generations of transforms name alike."""
    strengths = (views[key] for key in ("brightness", "contrast", "saturation", "hue"))
    found = [
        module.RandomResizedCrop(size, scale=tuple(views["crop_scale"]), ratio=tuple(views["crop_ratio"])),
        module.RandomHorizontalFlip(views["flip"]),
        module.RandomApply([module.ColorJitter(*strengths)], p=views["jitter_probability"]),
        module.RandomGrayscale(views["grayscale"]),
    ]
    if views["blur_probability"]:
        kernel = max(3, round(0.1 * size) // 2 * 2 + 1)
        blur = module.GaussianBlur(kernel, sigma=tuple(views["blur_sigma"]))
        found.append(module.RandomApply([blur], p=views["blur_probability"]))
    return found


def pil_transform(size: int, views: dict[str, Any]) -> Transform:
    """PIL picture -> float tensor `[3, size, size]`, as the plain SimCLR recipes have it."""
    return transforms.Compose([*_operations(transforms, size, views), transforms.ToTensor()])


def tensor_transform(size: int, views: dict[str, Any]) -> Transform:
    """uint8 tensor -> float tensor, by torchvision's second generation, which is fastest on uint8."""
    return v2.Compose([*_operations(v2, size, views), v2.ToDtype(torch.float32, scale=True)])


class _TwoTimes:
    def __init__(self, transform: Transform) -> None:
        self.transform = transform

    def __call__(self, picture: Any) -> tuple[Tensor, Tensor]:
        return self.transform(picture), self.transform(picture)


class _InMemory(Dataset[Any]):
    """Pictures that are decoded already."""

    def __init__(self, pictures: list[Any], transform: _TwoTimes) -> None:
        self.pictures, self.transform = pictures, transform

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[tuple[Tensor, Tensor], int]:
        return self.transform(self.pictures[index]), 0


def _picture(path: str) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def _tensor(path: str) -> Tensor:
    return v2.functional.pil_to_tensor(_picture(path))


def _paths(pictures: Pictures) -> list[str]:
    return [path for path, _ in ImageFolder(str(pictures.folder)).samples]


def _pil(pictures: Pictures, views: dict[str, Any]) -> Dataset[Any]:
    return ImageFolder(str(pictures.folder), _TwoTimes(pil_transform(pictures.size, views)))


def _pil_in_memory(pictures: Pictures, views: dict[str, Any]) -> Dataset[Any]:
    transform = _TwoTimes(pil_transform(pictures.size, views))
    return _InMemory([_picture(path) for path in _paths(pictures)], transform)


def _tensors(pictures: Pictures, views: dict[str, Any]) -> Dataset[Any]:
    return ImageFolder(str(pictures.folder), _TwoTimes(tensor_transform(pictures.size, views)), loader=_tensor)


def _tensors_in_memory(pictures: Pictures, views: dict[str, Any]) -> Dataset[Any]:
    transform = _TwoTimes(tensor_transform(pictures.size, views))
    return _InMemory([_tensor(path) for path in _paths(pictures)], transform)


PEERS: dict[str, Callable[[Pictures, dict[str, Any]], Dataset[Any]]] = {
    "torchvision PIL": _pil,
    "torchvision PIL, in memory": _pil_in_memory,
    "torchvision v2 tensors": _tensors,
    "torchvision v2 tensors, in memory": _tensors_in_memory,
}
"""The first is the one the targets are about; the others are for information."""


def loader(peer: str, pictures: Pictures, views: dict[str, Any], batch: int, workers: int) -> DataLoader[Any]:
    """Shuffled batches of two float tensors `[batch, 3, size, size]` and labels, by processes that stay alive."""
    data = PEERS[peer](pictures, views)
    return DataLoader(data, batch, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=workers > 0)
