"""Pictures as square PNGs."""

from __future__ import annotations

import io

from PIL import Image

__all__ = ["png"]


def png(image: Image.Image) -> bytes:
    """PNG bytes of a grey or RGB picture, without metadata."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
