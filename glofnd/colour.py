"""Colour operations on whole batches with one factor per picture, equal in value to torchvision's on single pictures.

Pictures are float `[B, C, H, W]` in [0, 1] with C = 1 or 3; factors are `[B]`. Every result is in [0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["adjust_brightness", "adjust_contrast", "adjust_hue", "adjust_saturation", "gaussian_blur", "luma"]

# ITU-R BT.601, as in torchvision and Pillow.
_LUMA = (0.2989, 0.587, 0.114)


# Of a Gaussian's taps, those further out than this many standard deviations are below 1e-8 of the middle one.
_NEGLIGIBLE = 6.1


def luma(images: Tensor) -> Tensor:
    """Grey value of each pixel, `[B, 1, H, W]`."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    grey = (red * _LUMA[0]).add_(green, alpha=_LUMA[1]).add_(blue, alpha=_LUMA[2])
    return grey.unsqueeze(1)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Factor 0 gives black, 1 the picture itself."""
    return (images * factor.view(-1, 1, 1, 1)).clamp_(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Factor 0 gives the picture's mean grey everywhere, 1 the picture itself."""
    factor = factor.view(-1, 1, 1, 1)
    # The mean of the grey values is the grey value of the means.
    grey = luma(images.mean((2, 3), keepdim=True)) * (1 - factor)
    return (images * factor).add_(grey).clamp_(0, 1)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Factor 0 gives a grey picture, 1 the picture itself."""
    factor = factor.view(-1, 1, 1, 1)
    return (images * factor).add_(luma(images) * (1 - factor)).clamp_(0, 1)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue of coloured pictures by `shift` of a full circle, in HSV.

    Without masks: choosing pixel by pixel takes a CPU longer than all of the arithmetic. The hue is Sam Hocevar's
    |k + d / chroma| (lolengine.net, "Fast branchless RGB to HSV conversion"), in sixths of a circle.
    """
    red, green, blue = images.unbind(1)
    upper, lower = torch.maximum(green, blue), torch.minimum(green, blue)
    # k is 0 where red is largest and -2 elsewhere; where blue is above green, -6 and 4.
    not_red, k = red.clone().lt_(upper), green.clone().lt_(blue)
    k.mul_((not_red * 12).sub_(6)).sub_(not_red, alpha=2)
    value, middle = torch.maximum(red, upper), torch.minimum(red, upper)
    chroma = value - torch.minimum(lower, middle)
    # Grey pixels have any hue: nothing is taken from their value below.
    hue = middle.sub_(lower).div_(chroma.clamp(min=torch.finfo(chroma.dtype).tiny)).add_(k).abs_()
    hue.add_(6 * shift.view(-1, 1, 1))
    hue.sub_(torch.floor(hue / 6), alpha=6)
    result = torch.empty_like(images, memory_format=torch.contiguous_format)
    # What each channel lacks to the value, as a share of the chroma, falls and rises with its distance on the circle.
    for channel, (centre, sign, offset) in zip(result.unbind(1), ((3, -1, 2), (2, 1, -1), (4, 1, -1)), strict=True):
        lack = torch.sub(hue, centre, out=channel).abs_().mul_(sign).add_(offset).clamp_(0, 1)
        torch.addcmul(value, lack, chroma, value=-1, out=channel)
    return result


def gaussian_blur(images: Tensor, sigma: Tensor, kernel_size: int) -> Tensor:
    """Separable Gaussian blur with reflected borders; `sigma` in pixels, `kernel_size` odd."""
    radius = kernel_size // 2
    taps = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    # Each picture's own: in the dark even these taps would show what else is in the batch.
    reach = torch.ceil(_NEGLIGIBLE * sigma)
    kernel = torch.exp(-0.5 * (taps / sigma.unsqueeze(1)) ** 2) * (taps.abs() <= reach.unsqueeze(1))
    kernel = (kernel / kernel.sum(1, keepdim=True))[:, radius:].view(-1, radius + 1, 1, 1, 1)
    if images.device.type == "cpu":
        radius = min(radius, int(reach.max()))
    for dimension, padding in ((2, (0, 0, radius, radius)), (3, (radius, radius, 0, 0))):
        padded = torch.nn.functional.pad(images, padding, mode="reflect")
        length = images.shape[dimension]
        images = images * kernel[:, 0]
        for tap in range(1, radius + 1):
            pair = padded.narrow(dimension, radius - tap, length) + padded.narrow(dimension, radius + tap, length)
            images.addcmul_(pair, kernel[:, tap])
    return images
