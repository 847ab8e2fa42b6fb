"""Colour operations on whole batches with one factor per picture, equal in value to torchvision's on single pictures.

Pictures are float `[B, C, H, W]` in [0, 1] with C = 1 or 3; factors are `[B]`. Every result is in [0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["adjust_brightness", "adjust_contrast", "adjust_hue", "adjust_saturation", "gaussian_blur", "luma"]

# ITU-R BT.601, as in torchvision and Pillow.
_LUMA = (0.2989, 0.587, 0.114)


def luma(images: Tensor) -> Tensor:
    """Grey value of each pixel, `[B, 1, H, W]`."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    return (_LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue).unsqueeze(1)


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    """factor * images + (1 - factor) * other, clamped."""
    return torch.lerp(other, images, factor.view(-1, 1, 1, 1)).clamp_(0, 1)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Factor 0 gives black, 1 the picture itself."""
    return (images * factor.view(-1, 1, 1, 1)).clamp_(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Factor 0 gives the picture's mean grey everywhere, 1 the picture itself."""
    return _blend(images, luma(images).mean((1, 2, 3), keepdim=True).expand_as(images), factor)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Factor 0 gives a grey picture, 1 the picture itself."""
    return _blend(images, luma(images).expand_as(images), factor)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue of coloured pictures by `shift` of a full circle, in HSV."""
    value, where = images.max(1)
    chroma = value - images.amin(1)
    safe = torch.where(chroma > 0, chroma, 1.0)
    red, green, blue = images.unbind(1)
    # Sixths of a circle, from the channel that is largest.
    sixths = torch.stack([(green - blue) / safe, (blue - red) / safe + 2, (red - green) / safe + 4])
    hue = sixths.gather(0, where.unsqueeze(0)).squeeze(0) + 6 * shift.view(-1, 1, 1)
    # HSV to RGB in closed form: v - c * clamp(min(k, 4 - k), 0, 1), k = (n + hue) mod 6, n = 5, 3, 1 for R, G, B.
    k = (hue.unsqueeze(1) + hue.new_tensor([5.0, 3.0, 1.0]).view(1, 3, 1, 1)) % 6
    return value.unsqueeze(1) - chroma.unsqueeze(1) * torch.minimum(k, 4 - k).clamp_(0, 1)


def gaussian_blur(images: Tensor, sigma: Tensor, kernel_size: int) -> Tensor:
    """Separable Gaussian blur with reflected borders; `sigma` in pixels, `kernel_size` odd."""
    radius = kernel_size // 2
    taps = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (taps / sigma.unsqueeze(1)) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).view(*kernel.shape, 1, 1, 1)
    for dimension, padding in ((2, (0, 0, radius, radius)), (3, (radius, radius, 0, 0))):
        padded = torch.nn.functional.pad(images, padding, mode="reflect")
        length = images.shape[dimension]
        images = sum(kernel[:, tap] * padded.narrow(dimension, tap, length) for tap in range(kernel_size))  # type: ignore[assignment]
    return images
