"""Two random views of each picture, on whole batches (SimCLR, Chen et al. 2020, appendix A).

All chance comes from `counter_random` and depends on (seed, epoch, sample index, view) alone: the same picture gets the
same views in any batch, on any rank, and after a resume. Equal in value to torchvision's operations, which draw from
one generator and take one factor for the whole batch. Called picture by picture with a seed each, torchvision's v2
takes 14 times as long for 256 pictures of 32 pixels, 3 times for 64 of 96 pixels, 7 times for 32 of 224 (one thread).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from glofnd.colour import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    gaussian_blur,
    luma,
)
from glofnd.counter_random import uniform
from glofnd.crops import ATTEMPTS, crop_boxes, on_device, resample
from glofnd.parameters import Range, checked

__all__ = ["TwoViews"]

# Places of the draws of one (sample, view); the crop's come first.
_FLIP = 2 * ATTEMPTS + 2
_JITTER = _FLIP + 1
_ORDER = _FLIP + 2
_FIRST_FACTOR = _FLIP + 3
_GRAYSCALE = _FIRST_FACTOR + 4
_BLUR = _GRAYSCALE + 1
_SIGMA = _BLUR + 1
_DRAWS = _SIGMA + 1
_ADJUST = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)
# Operations that leave a grey picture as it is.
_COLOUR_ONLY = {2, 3}

# Numbers of a view that a CPU works on at a time.
_CACHED = 300_000

Draws = npt.NDArray[np.float64]
Interval = tuple[float, float]


class TwoViews:
    """Random resized crop, flip, colour jitter, grayscale and blur.

    Its seed is the run's. Draws are uniform; the four adjustments of colour come in random order.

    Raises:
        ValueError: naming a parameter that is out of range.

    Example:
        >>> views = TwoViews(size=32, seed=1)
        >>> images = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)
        >>> first, second = views(images, torch.arange(4), epoch=0)
        >>> first.shape
        torch.Size([4, 3, 32, 32])
    """

    @checked
    def __init__(
        self,
        size: Annotated[int | None, Range(ge=8, le=4096), "side in pixels; null keeps the picture's height"] = None,
        crop_scale: Annotated[Interval, Range(gt=0, le=1), "a crop's share of the picture's area"] = (0.2, 1.0),
        crop_ratio: Annotated[Interval, Range(gt=0), "a crop's width / height"] = (3 / 4, 4 / 3),
        flip: Annotated[float, Range(ge=0, le=1), "probability of a mirrored view"] = 0.5,
        brightness: Annotated[float, Range(ge=0, le=100), "factor in [max(0, 1 - x), 1 + x]; 0: off"] = 0.4,
        contrast: Annotated[float, Range(ge=0, le=100), "factor, as for brightness"] = 0.4,
        saturation: Annotated[float, Range(ge=0, le=100), "factor, as for brightness"] = 0.2,
        hue: Annotated[float, Range(ge=0, le=0.5), "shift in [-x, x] of a full circle"] = 0.1,
        jitter_probability: Annotated[float, Range(ge=0, le=1), "of the four adjustments above"] = 0.8,
        grayscale: Annotated[float, Range(ge=0, le=1), "probability of a grey view"] = 0.2,
        blur_probability: Annotated[float, Range(ge=0, le=1), "of a Gaussian blur, kernel a tenth of size"] = 0.0,
        blur_sigma: Annotated[Interval, Range(ge=0.01, le=1000), "its standard deviation in pixels"] = (0.1, 2.0),
        seed: int = 0,
    ) -> None:
        for name, (low, high) in {"crop_scale": crop_scale, "crop_ratio": crop_ratio, "blur_sigma": blur_sigma}.items():
            if low > high:
                raise ValueError(f"{name}: [{low}, {high}] is no range; the lower bound comes first")
        self.size, self.seed = size, seed
        self.crop_scale, self.crop_ratio, self.flip = crop_scale, crop_ratio, flip
        self.jitter_probability, self.grayscale = jitter_probability, grayscale
        self.blur_probability, self.blur_sigma = blur_probability, blur_sigma
        strengths = (brightness, contrast, saturation)
        self._factors = [(max(0.0, 1 - strength), 1 + strength) for strength in strengths] + [(-hue, hue)]

    def __call__(self, images: Tensor, index: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Both views of each picture.

        Args:
            images: uint8 `[B, C, H, W]`; one channel, or three that are an expanded view of one, mean grey pictures,
                which are worked on as one channel.
            index: sample indices `[B]`, best on the CPU, where the chance is drawn.

        Returns:
            Two float32 tensors `[B, C, size, size]` in [0, 1], channels last.
        """
        return self.one(images, index, epoch, 0), self.one(images, index, epoch, 1)

    def one(self, images: Tensor, index: Tensor, epoch: int, view: int) -> Tensor:
        """One view (0 or 1) of each picture, as `__call__` gives it."""
        batch, channels, height, _ = images.shape
        if channels > 1 and images.stride(1) == 0:
            images = images[:, :1]
        size = self.size or height
        draws = uniform(index.cpu().numpy(), _DRAWS, seed=self.seed, epoch=epoch, stream=view)
        result = _empty(batch, channels, size, images.device)
        # A CPU works on a few pictures at a time, so that what is done to them stays in its cache.
        step = max(1, _CACHED // (channels * size**2)) if images.device.type == "cpu" else max(batch, 1)
        for start in range(0, batch, step):
            rows = slice(start, start + step)
            self._make(images[rows], draws[rows], result[rows])
        return result

    def _make(self, images: Tensor, draws: Draws, result: Tensor) -> None:
        """Write one view of each picture into `result`."""
        # Resampling in reduced precision would show as banding.
        with torch.autocast(images.device.type, enabled=False), torch.no_grad():
            height, width = images.shape[2:]
            boxes = crop_boxes(draws[:, :_FLIP], height, width, self.crop_scale, self.crop_ratio)
            pictures = resample(images, boxes, result.shape[-1], draws[:, _FLIP] < self.flip)
            pictures = self._jittered(pictures, draws)
            if pictures.shape[1] == 3:
                rows = np.flatnonzero(draws[:, _GRAYSCALE] < self.grayscale)
                # A copy, not `expand`: where all pictures are grey it is what is blurred next.
                pictures = _changed(pictures, rows, lambda chosen: luma(chosen).repeat(1, 3, 1, 1))
            low, high = self.blur_sigma
            rows = np.flatnonzero(draws[:, _BLUR] < self.blur_probability)
            sigma = low + (high - low) * draws[rows, _SIGMA]
            kernel = max(3, round(0.1 * pictures.shape[-1]) // 2 * 2 + 1)
            pictures = _changed(pictures, rows, gaussian_blur, sigma, kernel)
            result.copy_(pictures.expand_as(result))

    def _jittered(self, pictures: Tensor, draws: Draws) -> Tensor:
        grey = pictures.shape[1] == 1
        active = [
            operation
            for operation, (low, high) in enumerate(self._factors)
            if low < high and not (grey and operation in _COLOUR_ONLY)
        ]
        rows = np.flatnonzero(draws[:, _JITTER] < self.jitter_probability)
        if not active or not len(rows):
            return pictures
        orders = np.array(list(permutations(active)))
        order = orders[(draws[rows, _ORDER] * len(orders)).astype(int)]
        for place in range(len(active)):
            for operation in active:
                low, high = self._factors[operation]
                members = rows[order[:, place] == operation]
                factor = low + (high - low) * draws[members, _FIRST_FACTOR + operation]
                pictures = _changed(pictures, members, _ADJUST[operation], factor)
        return pictures


def _empty(batch: int, channels: int, size: int, device: torch.device) -> Tensor:
    if device.type == "cpu":
        # From numpy, since it asks for huge pages: a CPU spends more time on providing small ones than on filling them.
        return torch.from_numpy(np.empty((batch, size, size, channels), np.float32)).permute(0, 3, 1, 2)
    return torch.empty((batch, channels, size, size), device=device, memory_format=torch.channels_last)


def _changed(
    pictures: Tensor, rows: npt.NDArray[np.int64], change: Callable[..., Tensor], *arguments: Draws | int
) -> Tensor:
    """`change(pictures[rows], *arguments)` in the place of those rows."""
    if not len(rows):
        return pictures
    tensors = [on_device(a, pictures.device) if isinstance(a, np.ndarray) else a for a in arguments]
    if len(rows) == len(pictures):
        return change(pictures, *tensors)
    where = on_device(rows, pictures.device)
    return pictures.index_copy_(0, where, change(pictures.index_select(0, where), *tensors))
