"""Pictures as bytes: encoded, or read from a file of any kind and made square."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from glofnd.data.split import BadSampleError, BadSamples, Index, Split

__all__ = ["SUFFIXES", "encoded", "picture_split", "square_file", "squared"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
# Other kinds that Pillow knows are no pictures of a data set, and some run another program on the file.
_READ = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
_PNG = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
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


def _checked_png(data: bytes) -> bytes:
    """The chunks of a PNG but texts, which Pillow refuses where they are long, and which no pixel depends on.

    Raises:
        ValueError: a chunk is cut short or does not match its checksum; decoding alone does not compare all of them.
    """
    kept, position, kind = [_PNG], len(_PNG), b""
    while kind != b"IEND":
        if len(data) < position + 12:
            raise ValueError("the file ends early (truncated?)")
        length, kind = struct.unpack_from(">I4s", data, position)
        chunk = data[position : position + 12 + length]
        if len(chunk) != 12 + length or zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
            raise ValueError(f"the chunk {kind.decode('latin-1')} at byte {position} is damaged")
        position += len(chunk)
        if kind not in _TEXTS:
            kept.append(chunk)
    return b"".join(kept)


def _squared(data: bytes, size: int, extension: str) -> bytes:
    readable = _checked_png(data) if data.startswith(_PNG) else data
    with Image.open(io.BytesIO(readable), formats=_READ) as image:
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
    """`squared` of a file.

    Raises:
        BadSampleError: it is no picture.
        FileNotFoundError: there is no such file.
    """
    try:
        data = Path(path).read_bytes()
    except (IsADirectoryError, ValueError) as error:
        raise BadSampleError(path, f"is no file ({error})") from error
    return squared(data, size, extension, path)


def picture_split(
    paths: Sequence[str | Path],
    labels: dict[str, list[int]],
    classes: dict[str, list[str]],
    chosen: Index,
    image_size: int,
    encoding: str,
    bad_samples: BadSamples,
) -> Split:
    """The chosen ones of picture files as a split."""
    return Split(
        classes=classes,
        labels={field: [int(values[position]) for position in chosen] for field, values in labels.items()},
        payloads=[str(paths[position]) for position in chosen],
        encode=partial(square_file, image_size, encoding),
        channels=3,
        extension=encoding,
        bad_samples=bad_samples,
    )
