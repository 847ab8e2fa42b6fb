"""Pictures as bytes: encoded, or read from a file of any kind and made square."""

from __future__ import annotations

import io
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from glofnd.data.bad_samples import BadSampleError

__all__ = ["LARGEST_FILE", "SUFFIXES", "check_size", "encoded", "square_file", "squared"]

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
LARGEST_FILE = 2**29
# Other kinds that Pillow knows are no pictures of a data set, and some run another program on the file.
_READ = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
_PNG = b"\x89PNG\r\n\x1a\n"
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
    """Any mode as RGB: 16-bit grey keeps its upper bits, and what is transparent becomes white.

    Raises:
        ValueError: for pixels of 32 bits, whose white nobody knows.
    """
    if image.mode in {"I", "F"}:
        raise ValueError("pixels of 32 bits have no known range; store it with 8 or 16 bits")
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _opened(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=_READ)
    except UnidentifiedImageError as error:  # whose text has an address in memory in it
        raise ValueError(f"no picture of a known kind: {', '.join(_READ)}" if data else "the file is empty") from error


def _squared(data: bytes, size: int, extension: str) -> bytes:
    if data.startswith(_PNG):
        with _opened(data) as image:
            image.verify()  # compares the checksums in the file, which decoding alone does not
    with _opened(data) as image:
        if image.format == _FORMATS[extension] and image.size == (size, size) and image.mode == "RGB":
            image.load()
            if not image.has_transparency_data:
                return data
        # A JPEG far too large is decoded at a half, a quarter or an eighth, still twice as large as needed.
        image.draft(None, (2 * size, 2 * size))
        return encoded(ImageOps.fit(_rgb(image), (size, size), Image.Resampling.BICUBIC), extension)


def squared(data: bytes, size: int, extension: str, where: object) -> bytes:
    """The central square of an encoded picture, resized; one that is so already is copied as it is.

    Args:
        data: a JPEG, PNG, WebP, BMP, GIF or TIFF; of an animation the first picture.
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
    except Exception as error:  # Pillow's readers raise whatever a damaged file leads to
        known = isinstance(error, (OSError, ValueError, SyntaxError, Image.DecompressionBombError))
        reason = f"{'' if known else type(error).__name__ + ': '}{error}"
        raise BadSampleError(where, f"does not decode ({' '.join(reason.split())})") from error


def square_file(size: int, extension: str, path: Path) -> bytes:
    """`squared` of a file.

    Raises:
        BadSampleError: it is no picture, or no plain file.
        FileNotFoundError: there is no such file.
    """
    try:
        status = path.stat()
    except ValueError as error:
        raise BadSampleError(path, f"is no name of a file ({error})") from error
    if not stat.S_ISREG(status.st_mode):
        raise BadSampleError(path, "is a folder" if stat.S_ISDIR(status.st_mode) else "is no plain file")
    check_size(status.st_size, path)
    return squared(path.read_bytes(), size, extension, path)


def check_size(size: int, where: object) -> None:
    """Refuse a file too large to be a picture before it is read; it would take its size of memory."""
    if size > LARGEST_FILE:
        raise BadSampleError(where, f"has {size} bytes, more than the {LARGEST_FILE} a picture may have")
