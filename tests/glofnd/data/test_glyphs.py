import io
import unicodedata

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from PIL import Image

from glofnd.data.catalogue import DATASETS
from glofnd.data.datasets.glyphs import CHARACTERS, NEW_CHARACTERS, Glyphs, base, render
from glofnd.data.sources.npm import typefaces
from glofnd.data.writer import write_shards


def box(width, height):
    pen = TTGlyphPen(None)
    if width and height:
        pen.moveTo((100, 0))
        for corner in ((100, height), (100 + width, height), (100 + width, 0)):
            pen.lineTo(corner)
        pen.closePath()
    return pen.glyph()


def write_font(path, lacks="€", empty="…"):
    """A font whose character number n is a box of (200 + n) x 600; what it lacks is drawn as 500 x 700."""
    drawn = [character for character in CHARACTERS + NEW_CHARACTERS if character not in lacks]
    shapes = {".notdef": box(500, 700)}
    for number, character in enumerate(drawn):
        shapes[f"g{number}"] = box(0, 0) if character in empty else box(200 + number, 600)
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(list(shapes))
    font.setupCharacterMap({ord(character): f"g{number}" for number, character in enumerate(drawn)})
    font.setupGlyf(shapes)
    font.setupHorizontalMetrics(dict.fromkeys(shapes, (900, 100)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": "Boxes", "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    path.parent.mkdir(parents=True, exist_ok=True)
    font.font.flavor = "woff"
    font.save(path)
    return path


def picture(data):
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "L"
        return np.asarray(image)


def test_a_glyph_fits_the_picture_in_its_middle(tmp_path):
    font = write_font(tmp_path / "boxes" / "400.woff")
    for size in (16, 32, 64):
        found = picture(render((font, "A", size)))
        rows, columns = np.flatnonzero(found.max(1) > 127), np.flatnonzero(found.max(0) > 127)
        margin = size // 16
        assert found.shape == (size, size) and (rows[0], rows[-1]) == (margin, size - 1 - margin)
        assert len(columns) == pytest.approx((size - 2 * margin) * 200 / 600, abs=1)
        assert abs(columns[0] + columns[-1] - (size - 1)) <= 1
        assert found.max() == 255 and found[0].max() == 0
    assert render((font, "A", 32)) == render((font, "A", 32))


def test_what_a_font_lacks_is_left_out_and_counted(tmp_path):
    one, other = [face for face in typefaces() if face.split == "train"][:2]
    write_font(tmp_path / one.file(one.regular), lacks="€½", empty="")
    write_font(tmp_path / other.file(other.regular), lacks="", empty="…")
    split = Glyphs(tmp_path, image_size=8, families=2).split("train")
    head = {"dataset": "glyphs", "split": "train", "image_size": 8}
    manifest = write_shards(split, tmp_path / "shards", shards=2, head=head, tail={}, processes=1)
    assert manifest["samples"] == 2 * len(CHARACTERS) - 3
    assert [entry["where"] for entry in manifest["skipped"]] == [
        f"{one.family}/400.woff '€'",
        f"{one.family}/400.woff '½'",
        f"{other.family}/400.woff '…'",
    ]


def values(split, field):
    return {split.classes[field][number] for number in split.labels[field]}


def test_families_and_characters_of_test_splits_are_not_trained_on(tmp_path):
    splits = {name: Glyphs(tmp_path, weights=2).split(name) for name in DATASETS["glyphs"].splits}
    train, fonts, new, characters = splits.values()
    assert not values(train, "family") & (values(fonts, "family") | values(characters, "family"))
    assert not values(train, "label") & (values(new, "label") | values(characters, "label"))
    named = {unicodedata.name(character).lower() for character in CHARACTERS}
    assert values(train, "label") == values(fonts, "label") == named
    assert values(new, "family") == values(train, "family") and values(characters, "family") == values(fonts, "family")
    assert all(split.classes == train.classes for split in splits.values())
    assert values(train, "kind") == values(fonts, "kind") == set(train.classes["kind"])
    assert train.captions == [[train.classes["label"][number]] for number in train.labels["label"]]


def test_no_two_characters_are_alike():
    everything = CHARACTERS + NEW_CHARACTERS
    assert len(set(everything)) == len(everything)
    for alike in ("0Oo", "1lI|", "Cc", "Ss", "Vv", "Ww", "Xx", "Zz", "Uu", "Pp", "9gq", "-_~", ";:", "'`,"):
        assert len(set(alike) & set(CHARACTERS)) < 2


def test_every_typeface_is_free_and_of_a_known_kind():
    faces = typefaces()
    assert len({face.family for face in faces}) == len(faces) == 102
    assert {face.licence for face in faces} <= {"OFL-1.1", "Apache-2.0", "MIT", "UFL-1.0"}
    assert {face.kind for face in faces} == {"serif", "sans", "slab", "mono", "script", "display", "pixel"}
    assert [base(character) for character in "AåÉñÖÆ½7"] == ["a", "a", "e", "n", "o", "æ", "½", "7"]
