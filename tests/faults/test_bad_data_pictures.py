"""Pictures that are damaged, no pictures, too large or of an odd kind."""

import io
import os
import socket
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from bad_data import folder_set, noisy, refusal, saved, shard
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from glofnd.data.bad_samples import BadSampleError
from glofnd.data.datasets.pictures import LARGEST_FILE, squared
from glofnd.data.stream import ShardStream
from glofnd.files import read_json

PNG, JPEG = noisy(1), noisy(1, "JPEG")


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def claiming(width, height, kind="PNG"):
    """A file of a few bytes whose header states a size."""
    if kind == "PNG":
        head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    small = bytearray(saved(Image.new("RGB", (8, 8)), kind, **({"lossless": True} if kind == "WEBP" else {})))
    if kind == "JPEG":
        at = small.index(b"\xff\xc0") + 5
        small[at : at + 4] = struct.pack(">HH", height, width)
    elif kind == "GIF":
        small[6:10] = struct.pack("<HH", width, height)
    elif kind == "BMP":
        small[18:26] = struct.pack("<ii", width, height)
    elif kind == "TIFF":
        for tag, value in ((256, width), (257, height)):
            at = small.index(struct.pack("<HHI", tag, 4, 1)) + 8
            small[at : at + 4] = struct.pack("<I", value)
    elif kind == "WEBP":
        at = small.index(b"VP8L") + 9
        small[at : at + 4] = struct.pack("<I", width - 1 | (height - 1) << 14)
    return bytes(small)


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
# What stands in the file, and the reason given.
DAMAGED = {
    "empty": (b"", r"the file is empty"),
    "text": (b"<html>404</html>", r"no picture of a known kind: JPEG, PNG"),
    "postscript": (EPS, r"no picture of a known kind"),
    "cut JPEG": (JPEG[: len(JPEG) // 2], r"[Tt]runcated"),
    "JPEG cut in its header": (JPEG[:50], r""),
    "cut PNG": (PNG[:-200], r""),
    "PNG with a flipped bit": (PNG[:500] + bytes([PNG[500] ^ 1]) + PNG[501:], r"broken PNG file"),
    "32-bit floats": (saved(Image.new("F", (9, 9)), "TIFF"), r"pixels of 32 bits have no known range"),
    "32-bit integers": (saved(Image.new("I", (9, 9)), "TIFF"), r"pixels of 32 bits"),
    "60000 x 60000 PNG": (claiming(60000, 60000), r"3600000000 pixels\) exceeds limit"),
    "60000 x 60000 JPEG": (claiming(60000, 60000, "JPEG"), r"exceeds limit"),
    "60000 x 60000 GIF": (claiming(60000, 60000, "GIF"), r"exceeds limit"),
    "60000 x 60000 BMP": (claiming(60000, 60000, "BMP"), r"exceeds limit"),
    "60000 x 60000 TIFF": (claiming(60000, 60000, "TIFF"), r"exceeds limit"),
    "16383 x 16383 WebP": (claiming(16383, 16383, "WEBP"), r"exceeds limit"),
    "PNG of no size": (claiming(0, 8), r""),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_the_reason_is_one_line_and_always_the_same(name):
    data, reason = DAMAGED[name]
    texts = set()
    for _ in range(2):
        with pytest.raises(BadSampleError, match=rf"^some\.jpg: does not decode \(.*{reason}.*\)$") as caught:
            squared(data, 8, "png", "some.jpg")
        texts.add(str(caught.value))
    assert len(texts) == 1 and " at 0x" not in texts.pop()


def test_all_of_them_in_a_folder(tmp_path, capsys):
    root = folder_set(tmp_path / "set", 20)
    for place, (data, _) in enumerate(DAMAGED.values()):
        (root / f"train/class0/{place}.png").write_bytes(data)
    line = refusal(capsys, root, tmp_path / "out", "folder")
    assert "train/class0/0.png: does not decode (the file is empty); repair it, or set `bad_samples: skip`" in line
    assert shard(root, tmp_path / "out", "folder", bad_samples="skip", max_skipped=0.5) == 0
    names = sorted(f"{n}.png" for n in range(20))
    expected = [names.index(f"{n}.png") for n in range(len(DAMAGED))]
    skipped = read_json(tmp_path / "out/manifest.json")["skipped"]
    assert [entry["index"] for entry in skipped] == sorted(expected)
    kept = next(ShardStream(tmp_path / "out", batch_size=1, seed=1).in_order(40))
    for n, image in zip(kept.index.tolist(), kept.images, strict=True):
        number = 4 * int(names[n % 20][:-4]) + n // 20
        with Image.open(io.BytesIO(noisy(number))) as original:
            assert (image.permute(1, 2, 0).numpy() == np.asarray(original)).all()


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, len(PNG) - 1), mask=st.integers(1, 255), extension=st.sampled_from(["png", "jpg"]))
def test_a_flipped_byte_of_a_png_is_found_or_harmless(place, mask, extension):
    data = PNG[:place] + bytes([PNG[place] ^ mask]) + PNG[place + 1 :]
    try:
        found = squared(data, 32, extension, "x")
    except BadSampleError:
        return
    pixels = [np.asarray(Image.open(io.BytesIO(d))) for d in (found, squared(PNG, 32, extension, "x"))]
    np.testing.assert_array_equal(*pixels)


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, len(JPEG) - 1), mask=st.integers(1, 255), cut=st.booleans())
def test_a_damaged_jpeg_is_a_picture_or_one_clear_error(place, mask, cut):
    data = JPEG[:place] if cut else JPEG[:place] + bytes([JPEG[place] ^ mask]) + JPEG[place + 1 :]
    try:
        found = squared(data, 16, "png", "x")
    except BadSampleError as problem:
        assert "\n" not in str(problem)
    else:
        assert Image.open(io.BytesIO(found)).size == (16, 16)


def test_a_bomb_takes_no_memory():
    code = (
        "import resource, sys\n"
        "from glofnd.data.datasets.pictures import squared\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    squared(sys.stdin.buffer.read(), 8, 'png', 'x')\n"
        "except ValueError: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], input=claiming(60000, 60000), capture_output=True, check=True)
    assert int(done.stdout) < 20_000, "kilobytes more at the peak"


def test_a_picture_that_is_large_but_legal_is_read_without_a_word(monkeypatch):
    whole = squared(saved(Image.new("1", (6_000, 4_000), 1)), 8, "png", "x")
    assert (np.asarray(Image.open(io.BytesIO(whole))) == 255).all()
    # Pillow warns of pictures above its limit, and refuses those above twice of it.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 32 * 32 - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        squared(PNG, 8, "png", "x")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 32 * 16 - 1)
    with pytest.raises(BadSampleError, match="exceeds limit"):
        squared(PNG, 8, "png", "x")


def _made(mode, kind="PNG", value=0, size=(9, 5), **options):
    return saved(Image.new(mode, size, value), kind, **options)


def _animated(kind):
    frames = [Image.new("RGB", (9, 5), (value, 0, 0)) for value in (200, 10, 20)]
    return saved(
        frames[0], kind, save_all=True, append_images=frames[1:], **({"lossless": True} if kind == "WEBP" else {})
    )


def _rotated():
    picture = Image.new("RGB", (16, 16), (250, 0, 0))
    picture.paste((0, 0, 250), (0, 8, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    return saved(picture, "JPEG", exif=exif, quality=95)


def _transparent_palette():
    picture = Image.new("P", (9, 5), 1)
    picture.putpalette([0, 0, 0, 10, 20, 30])
    return saved(picture, "PNG", transparency=1)


@pytest.mark.parametrize(
    ("data", "colour"),
    [
        (_made("CMYK", "TIFF", (0, 255, 255, 0)), (255, 0, 0)),
        (_made("LA", "TIFF", (50, 0)), (255, 255, 255)),
        (_made("I;16", "TIFF", 200 * 256), (200, 200, 200)),
        (_made("I;16B", "TIFF", 200 * 256), (200, 200, 200)),
        (_made("I;16", "PNG", 65535), (255, 255, 255)),
        (_made("YCbCr", "JPEG", (128, 128, 128)), (128, 128, 128)),
        (_made("1", "TIFF", 1), (255, 255, 255)),
        (_made("1", "BMP", 0), (0, 0, 0)),
        (_made("RGBA", "PNG", (10, 20, 30, 0), (1, 1)), (255, 255, 255)),
        (_made("L", "PNG", 7, (1, 1)), (7, 7, 7)),
        (_made("RGB", "PNG", (1, 2, 3), (1, 3000)), (1, 2, 3)),
        (_transparent_palette(), (255, 255, 255)),
        (_animated("GIF"), (200, 0, 0)),
        (_animated("PNG"), (200, 0, 0)),
        (_animated("WEBP"), (200, 0, 0)),
        (_animated("TIFF"), (200, 0, 0)),
    ],
)
@pytest.mark.parametrize("extension", ["png", "jpg"])
def test_odd_kinds_become_rgb(data, colour, extension):
    with Image.open(io.BytesIO(squared(data, 8, extension, "x"))) as image:
        assert (image.mode, image.size) == ("RGB", (8, 8))
        assert np.abs(np.asarray(image).astype(int) - colour).max() <= 3


def test_orientation_tags_are_ignored_in_what_is_copied_and_what_is_not():
    data = _rotated()
    for size in (16, 8):
        with Image.open(io.BytesIO(squared(data, size, "jpg", "x"))) as image:
            pixels = np.asarray(image)
        assert pixels[0, :, 0].min() > 200 and pixels[-1, :, 2].min() > 200, "red above blue, as stored"


def _fifo(path):
    os.mkfifo(path)


def _socket(path):
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(os.path.relpath(path))


def _loop(path):
    path.symlink_to(path.name)


def _too_large(path):
    with path.open("wb") as handle:
        handle.truncate(LARGEST_FILE + 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_fifo, "3.png: is no plain file"),
        (_socket, "3.png: is no plain file"),
        (lambda path: path.symlink_to("/dev/zero"), "3.png: is no plain file"),
        (lambda path: path.symlink_to("nowhere"), "3.png is missing"),
        (_too_large, f"3.png: has {LARGEST_FILE + 1} bytes, more than the {LARGEST_FILE} a picture may have"),
        (_loop, "3.png: Too many levels of symbolic links"),
    ],
)
def test_what_is_no_plain_file_is_named_and_nothing_hangs(tmp_path, capsys, monkeypatch, make, message):
    root = folder_set(tmp_path / "set", 5)
    path = root / "train/class1/3.png"
    path.unlink()
    monkeypatch.chdir(path.parent)  # the name of a socket must be short
    make(path)
    assert message in refusal(capsys, root, tmp_path / "out", "folder")


def test_pictures_behind_a_link_to_a_folder_are_not_missed(tmp_path, capsys):
    root = folder_set(tmp_path / "set", 5)
    (root / "train/class1/more").symlink_to(root / "train/class0")
    assert "class1/more: links to folders are not followed" in refusal(capsys, root, tmp_path / "out", "folder")
    (root / "train/class1/more").unlink()
    (root / "train/class1").rename(tmp_path / "elsewhere")
    (root / "train/class1").symlink_to(tmp_path / "elsewhere")
    assert shard(root, tmp_path / "out", "folder") == 0
    assert read_json(tmp_path / "out/manifest.json")["samples"] == 10


def test_a_folder_is_not_a_picture(tmp_path, capsys):
    root = folder_set(tmp_path / "set", 5)
    (root / "train/class1/x.png").mkdir()
    (root / "train/class1/x.png/y.png").write_bytes(PNG)
    assert shard(root, tmp_path / "out", "folder") == 0, "a folder in a class is looked through, whatever its name"
    assert read_json(tmp_path / "out/manifest.json")["samples"] == 11
    caltech = folder_set(tmp_path, 5, "101_ObjectCategories") / "101_ObjectCategories"
    (caltech / "class1/x.png").mkdir()
    line = refusal(capsys, tmp_path, tmp_path / "out", "caltech101", split="test", test_samples=11)
    assert "class1/x.png: is a folder" in line
