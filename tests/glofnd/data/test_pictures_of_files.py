"""Pictures of every kind of file, made square once."""

import io

import numpy as np
import pytest
from PIL import Image

from glofnd.data.datasets.pictures import squared


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data):
    with Image.open(io.BytesIO(data)) as image:
        return image.format, image.mode, np.asarray(image)


def test_a_square_of_the_right_size_is_copied():
    picture = Image.effect_noise((16, 16), 80).convert("RGB")
    for kind, extension in (("JPEG", "jpg"), ("PNG", "png")):
        data = saved(picture, kind)
        assert squared(data, 16, extension, "x") is data
    assert squared(saved(picture, "JPEG"), 16, "png", "x")[:4] == b"\x89PNG"
    assert squared(saved(picture, "PNG"), 16, "jpg", "x")[:3] == b"\xff\xd8\xff"
    grey = saved(picture.convert("L"), "PNG")
    assert opened(squared(grey, 16, "png", "x"))[1] == "RGB"


def test_the_central_square_is_kept():
    picture = Image.new("RGB", (48, 16), (255, 0, 0))
    picture.paste((0, 0, 255), (16, 0, 32, 16))
    _, mode, pixels = opened(squared(saved(picture, "PNG"), 8, "png", "x"))
    assert mode == "RGB" and pixels.shape == (8, 8, 3)
    assert (pixels[:, 2:-2] == (0, 0, 255)).all(), "the filter reaches over the edge of the square, no further"


def test_a_large_jpeg_is_decoded_small_and_looks_the_same():
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    large = coarse.resize((1024, 768), Image.Resampling.BICUBIC)
    data = saved(large, "JPEG", quality=95)
    found = opened(squared(data, 48, "png", "x"))[2].astype(int)
    whole = large.crop((128, 0, 896, 768)).resize((48, 48), Image.Resampling.BICUBIC)
    assert np.abs(found - np.asarray(whole).astype(int)).mean() < 3


@pytest.mark.parametrize(
    ("image", "kind", "expected"),
    [
        (Image.new("CMYK", (9, 5), (0, 0, 0, 0)), "JPEG", (255, 255, 255)),
        (Image.new("L", (9, 5), 77), "PNG", (77, 77, 77)),
        (Image.new("1", (9, 5), 1), "PNG", (255, 255, 255)),
        (Image.new("P", (9, 5), 0), "GIF", (0, 0, 0)),
        (Image.new("RGBA", (9, 5), (10, 20, 30, 0)), "PNG", (255, 255, 255)),
        (Image.new("RGBA", (9, 5), (10, 20, 30, 255)), "WEBP", (10, 20, 30)),
        (Image.new("LA", (9, 5), (50, 255)), "PNG", (50, 50, 50)),
        (Image.fromarray(np.full((5, 9), 200 * 257, np.uint16)), "PNG", (200, 200, 200)),
        (Image.new("RGB", (1, 1), (9, 8, 7)), "PNG", (9, 8, 7)),
    ],
)
def test_every_mode_becomes_rgb(image, kind, expected):
    options = {"lossless": True} if kind == "WEBP" else {}
    _, mode, pixels = opened(squared(saved(image, kind, **options), 8, "png", "x"))
    assert mode == "RGB" and pixels.shape == (8, 8, 3) and np.abs(pixels.astype(int) - expected).max() <= 1
