import io
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from glofnd.data.picture_files import squared
from glofnd.data.split import BadSampleError


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8))
GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)


def palette():
    image = Image.new("P", (16, 16), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    return image


@pytest.mark.parametrize(
    ("image", "kind", "expected"),
    [
        (Image.fromarray(GREY), "PNG", GREY[..., None].repeat(3, 2)),
        (Image.fromarray(GREY.astype(np.uint16) * 257), "TIFF", GREY[..., None].repeat(3, 2)),
        (Image.new("1", (16, 16), 1), "PNG", 255),
        (palette(), "GIF", (200, 100, 50)),
        (Image.new("RGBA", (16, 16), (9, 9, 9, 0)), "PNG", 255),
        (Image.new("CMYK", (16, 16), (0, 0, 0, 255)), "TIFF", 0),
        (Image.new("RGB", (1, 1), (7, 8, 9)), "BMP", (7, 8, 9)),
        (Image.new("RGB", (16, 16), (7, 8, 9)), "PPM", (7, 8, 9)),
    ],
    ids=["grey", "16 bits", "1 bit", "palette", "transparent", "cmyk", "one pixel", "ppm"],
)
def test_every_mode_becomes_rgb(image, kind, expected):
    found = pixels(squared(encoded(image, kind), 16, "png", "it"))
    assert found.shape == (16, 16, 3) and (found == expected).all()


def test_the_central_square_is_resized_and_a_right_one_copied():
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 6:18] = 200
    assert pixels(squared(encoded(Image.fromarray(wide), "PNG"), 4, "png", "it")).min() >= 200
    jpeg = encoded(NOISE, "JPEG", quality=60)
    assert squared(jpeg, 16, "jpg", "it") == jpeg


def test_a_long_text_in_a_png_is_no_pixel():
    info = PngInfo()
    info.add_text("prompt", "x" * 2**21, zip=True)
    assert (pixels(squared(encoded(NOISE, "PNG", pnginfo=info), 8, "png", "it")).shape) == (8, 8, 3)
    assert (pixels(squared(encoded(NOISE, "PNG", pnginfo=info), 16, "jpg", "it")).shape) == (16, 16, 3)


def test_a_png_with_any_byte_changed_or_cut_is_bad_or_the_same_picture():
    data = encoded(NOISE, "PNG")
    for position in range(len(data)):
        for damaged in (data[:position], data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :]):
            try:
                found = squared(damaged, 16, "png", "it")
            except BadSampleError as error:
                assert str(error).startswith("it: does not decode")
            else:
                assert (pixels(found) == np.asarray(NOISE)).all()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"<svg/>", "no picture of a known kind"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture of a known kind"),
        (encoded(NOISE, "JPEG")[:300], "(?i)truncated"),
        (encoded(Image.fromarray(np.ones((4, 4), np.int32)), "TIFF"), "32 bits have no known range"),
    ],
    ids=["empty", "svg", "eps", "cut", "32 bits"],
)
def test_what_is_no_picture_is_bad(data, reason):
    with pytest.raises(BadSampleError, match=reason):
        squared(data, 16, "png", "it")


def test_a_picture_of_too_many_pixels_is_bad_before_it_takes_memory():
    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = chunk(b"IHDR", (60000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0]))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    with pytest.raises(BadSampleError, match="exceeds limit"):
        squared(data, 16, "png", "it")
