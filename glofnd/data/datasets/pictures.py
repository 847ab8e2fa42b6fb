"""Pictures as bytes."""

from __future__ import annotations

import io

from PIL import Image

__all__ = ["encoded"]


def encoded(image: Image.Image, extension: str = "png") -> bytes:
    """PNG (lossless) or JPEG (quality 95) bytes of a grey or RGB picture, without metadata."""
    buffer = io.BytesIO()
    if extension == "png":
        image.save(buffer, format="PNG")
    else:
        image.save(buffer, format="JPEG", quality=95)
    return buffer.getvalue()
