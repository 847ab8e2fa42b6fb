"""Pictures as bytes: encoded, or read from a file of any kind and made square."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from glofnd.data.split import BadSampleError

__all__ = ["SUFFIXES", "encoded", "opened", "square_file", "squared"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
# Other kinds that Pillow knows are no pictures of a data set, and some run another program on the file.
_READ = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
# Bytes of the texts of a PNG; programs that generate pictures write long ones.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 2**26


def encoded(image: Image.Image, extension: str = "png") -> bytes:
    """PNG (lossless) or JPEG (quality 95) bytes of a grey or RGB picture, without metadata."""
    buffer = io.BytesIO()
    if extension == "png":
        image.save(buffer, format="PNG")
    else:
        image.save(buffer, format="JPEG", quality=95)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    """The picture in `data`; its pixels are not yet decoded."""
    return Image.open(io.BytesIO(data), formats=_READ)


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode as RGB: 16-bit grey keeps its upper bits, and what is transparent becomes white."""
    if image.mode in {"I", "F"}:
        raise ValueError("pixels of 32 bits have no known range; store it with 8 or 16 bits")
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _squared(data: bytes, size: int, extension: str) -> bytes:
    with opened(data) as image:
        if image.format == "PNG":
            image.verify()  # the checksums of its chunks, which decoding does not compare
    with opened(data) as image:
        if image.format == {"png": "PNG", "jpg": "JPEG"}[extension] and image.size == (size, size):
            image.load()
            if image.mode == "RGB" and not image.has_transparency_data:
                return data
        # A JPEG far too large is decoded at a half, a quarter or an eighth, still twice as large as needed.
        image.draft(None, (2 * size, 2 * size))
        return encoded(ImageOps.fit(_rgb(image), (size, size), Image.Resampling.BICUBIC), extension)


def squared(data: bytes, size: int, extension: str, where: object) -> bytes:
    """The central square of an encoded picture, resized; one that is so already is copied as it is.

    Args:
        data: a JPEG, PNG, WebP, BMP, GIF, TIFF or PPM; of an animation the first picture.
        size: pixels a side.
        extension: `png` or `jpg`, what to write.
        where: names the picture in an error.

    Raises:
        BadSampleError: when the picture does not decode, has pixels of 32 bits, or is larger than Pillow opens (179
            million pixels), which is noticed before memory is taken for it.
    """
    try:
        with warnings.catch_warnings():
            # Of half that size Pillow only warns.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return _squared(data, size, extension)
    except MemoryError:
        raise
    except UnidentifiedImageError as error:  # whose text has an address in memory in it
        reason = f"no picture of a known kind: {', '.join(_READ)}" if data else "the file is empty"
        raise BadSampleError(where, f"does not decode ({reason})") from error
    except Exception as error:  # Pillow's readers raise whatever a damaged file leads to
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadSampleError(where, f"does not decode ({reason})") from error


def square_file(size: int, extension: str, path: str | Path) -> bytes:
    """`squared` of a file; raises `BadSampleError` (no picture) or `FileNotFoundError`."""
    try:
        data = Path(path).read_bytes()
    except IsADirectoryError as error:
        raise BadSampleError(path, "is no file but a folder") from error
    return squared(data, size, extension, path)
