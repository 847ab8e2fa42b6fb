"""Random resized crops of whole batches: where to cut, and antialiased resampling."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["ATTEMPTS", "crop_boxes", "on_device", "resample"]

# torchvision's number of attempts before it falls back to a central crop.
ATTEMPTS = 10

Draws = npt.NDArray[np.float64]
Boxes = tuple[Draws, Draws, Draws, Draws]


def crop_boxes(draws: Draws, height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float]) -> Boxes:
    """Top, left, height and width of one crop per picture, each `[B]`, in whole pixels.

    The distribution is that of torchvision's RandomResizedCrop (Szegedy et al. 2015): area uniform in `scale` of the
    picture, aspect ratio log-uniform in `ratio`, the first of ten attempts that fits, else the largest central crop
    with an allowed ratio; place uniform.

    Args:
        draws: uniform numbers `[B, 2 * ATTEMPTS + 2]`: areas, ratios, top, left.
    """
    area = height * width * (scale[0] + (scale[1] - scale[0]) * draws[:, :ATTEMPTS])
    low, high = np.log(ratio)
    aspect = np.exp(low + (high - low) * draws[:, ATTEMPTS : 2 * ATTEMPTS])
    widths, heights = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
    fits = (widths >= 1) & (widths <= width) & (heights >= 1) & (heights <= height)
    first = np.argmax(fits, axis=1)
    rows = np.arange(len(draws))
    w, h = widths[rows, first], heights[rows, first]
    top = np.floor(draws[:, -2] * (height - h + 1))
    left = np.floor(draws[:, -1] * (width - w + 1))
    if not (found := fits.any(1)).all():
        whole = np.clip(width / height, *ratio)
        central_w, central_h = min(width, round(height * whole)), min(height, round(width / whole))
        w, h = np.where(found, w, central_w), np.where(found, h, central_h)
        top = np.where(found, top, (height - central_h) // 2)
        left = np.where(found, left, (width - central_w) // 2)
    return top, left, h, w


def resample(images: Tensor, boxes: Boxes, size: int, flip: npt.NDArray[np.bool_]) -> Tensor:
    """Cut a box out of each picture, resize it to `size` x `size` with antialiasing, mirror where `flip`.

    All pictures at once, as two matrix products; torchvision's functions take one box for the whole batch.

    Args:
        images: `[B, C, H, W]`, float or uint8.
        boxes: of `crop_boxes`.
        flip: `[B]`.

    Returns:
        float32 `[B, C, size, size]`, of uint8 pictures in [0, 1].
    """
    top, left, height, width = boxes
    batch, channels, rows, columns = images.shape
    across = _weights(left, width, columns, size, images.device, flip)
    down = _weights(top, height, rows, size, images.device)
    unit = images.float().div_(255) if images.dtype == torch.uint8 else images
    cut = torch.bmm(unit.reshape(batch, channels * rows, columns), across.transpose(1, 2))
    if channels == 1:
        return torch.bmm(down, cut).unsqueeze(1)
    return torch.matmul(down.unsqueeze(1), cut.view(batch, channels, rows, size))


def _weights(
    start: Draws,
    length: Draws,
    size: int,
    out: int,
    device: torch.device,
    mirrored: npt.NDArray[np.bool_] | None = None,
) -> Tensor:
    """Rows of triangle-filter weights `[B, out, size]` that resample pixels [start, start + length) to `out` pixels.

    The filter widens with the scale when it shrinks, as in Pillow and `interpolate(antialias=True)`.
    """
    target = np.broadcast_to(np.arange(out) + 0.5, (len(start), out))
    if mirrored is not None:
        target = np.where(mirrored[:, None], out - target, target)
    scale, start, end = length[:, None] / out, start[:, None], (start + length)[:, None]
    centre = start + target * scale
    if size <= out:
        # Nothing shrinks: two neighbours weigh 1 together, and beyond the border stands the last pixel.
        centre = np.clip(centre, start + 0.5, end - 0.5)
    source = torch.arange(size, dtype=torch.float32, device=device) + 0.5
    distance = (source - on_device(centre, device).unsqueeze(2)).abs_()
    if size <= out:
        return (1 - distance).clamp_(min=0)
    weights = distance.div_(on_device(-np.maximum(scale, 1), device).unsqueeze(2)).add_(1).clamp_(min=0)
    weights *= ((source >= on_device(start, device)) & (source <= on_device(end, device))).unsqueeze(1)
    return weights.div_(weights.sum(2, keepdim=True))


def on_device(values: Draws | npt.NDArray[np.int64], device: torch.device) -> Tensor:
    """Floats as float32, integers as int64; the host does not wait for a GPU."""
    tensor = torch.from_numpy(values.astype(np.float32) if values.dtype.kind == "f" else values)
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)
