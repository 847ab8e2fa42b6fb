"""Pictures as bytes: encoded, or read from a file of any kind and made square."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

__all__ = ["SUFFIXES", "encoded", "square_file", "squared"]

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
_FORMATS = {"png": "PNG", "jpg": "JPEG"}


def encoded(image: Image.Image, extension: str = "png") -> bytes:
    """PNG (lossless) or JPEG (quality 95) bytes of a grey or RGB picture, without metadata."""
    buffer = io.BytesIO()
    if extension == "png":
        image.save(buffer, format="PNG")
    else:
        image.save(buffer, format="JPEG", quality=95)
    return buffer.getvalue()


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode as RGB: 16-bit grey keeps its upper bits, and what is transparent becomes white."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def squared(data: bytes, size: int, extension: str, where: object) -> bytes:
    """The central square of an encoded picture, resized; one that is so already is copied as it is.

    Args:
        data: JPEG, PNG, WebP or whatever else Pillow reads.
        size: pixels a side.
        extension: `png` or `jpg`, what to write.
        where: names the picture in an error.

    Raises:
        ValueError: when the picture does not decode.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.format == _FORMATS[extension] and image.size == (size, size) and image.mode == "RGB":
                image.load()
                if not image.has_transparency_data:
                    return data
            # A JPEG far too large is decoded at a half, a quarter or an eighth, still twice as large as needed.
            image.draft(None, (2 * size, 2 * size))
            return encoded(ImageOps.fit(_rgb(image), (size, size), Image.Resampling.BICUBIC), extension)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{where}: does not decode ({error}); repair or remove it") from error


def square_file(size: int, extension: str, path: Path) -> bytes:
    """`squared` of a file; a missing one raises `FileNotFoundError`."""
    return squared(path.read_bytes(), size, extension, path)
