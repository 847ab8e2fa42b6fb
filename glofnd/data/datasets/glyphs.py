"""Glyphs: a hundred characters drawn by many typefaces, white on black, each scaled to fit the picture.

The same character in another typeface is a false negative by construction. No two characters have one shape: of 0, O
and o, or of S and s, which are alike once they are scaled, one is there.

    train            the characters, by the families to train on
    test-fonts       the same characters, by families that nothing is trained on
    new-characters   other characters, by the families to train on: what a probe of them is fitted to
    test-characters  those other characters, by the families of test-fonts
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from PIL import Image, ImageDraw, ImageFont

from glofnd.data.dataset_options import SmallOptions
from glofnd.data.picture_files import encoded
from glofnd.data.sources.npm import Typeface, typefaces
from glofnd.data.split import BadSampleError, BadSamples, Split
from glofnd.parameters import Range

__all__ = ["CHARACTERS", "NEW_CHARACTERS", "Glyphs", "base", "render"]

CHARACTERS = (
    "ABCDEFGHJKLMNOPQRSTUVWXYZ"  # no I, which is l, 1 and |
    "abdefhijmnrt"  # no smaller capitals; no g and q, which are 9
    "123456789"  # no 0, which is O
    '!?&@#$%*+=<>()/\\~^":,'
    "§¶©€£¢™±÷¿«»¬µ½…"
    "ÆæŒÞß"
    "ÄÇÉÑÖÛåèñ"
)
NEW_CHARACTERS = "ÀÅËÎÓÙÝáãêÐØðþ¥®\u00d7[{;“"  # the escape is the multiplication sign

# Names of weights as in CSS (OpenType's usWeightClass).
_WEIGHTS = ["thin", "extra-light", "light", "regular", "medium", "semi-bold", "bold", "extra-bold", "black"]
# No font has a character here: what it draws instead is its sign for a missing one.
_NO_CHARACTER = "\uffff"


def base(character: str) -> str:
    """The letter without accent and case; of other characters, itself."""
    return unicodedata.normalize("NFD", character)[0].lower()


@lru_cache(maxsize=8)
def _font(path: Path, size: int) -> tuple[ImageFont.FreeTypeFont, Image.Image]:
    font = ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
    return font, _drawn(font, _NO_CHARACTER)


def _drawn(font: ImageFont.FreeTypeFont, character: str) -> Image.Image:
    """The character's ink, white on black, in its bounding box."""
    left, top, right, bottom = (int(side) for side in font.getbbox(character))
    picture = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(picture).text((-left, -top), character, fill=255, font=font)
    return picture.crop(picture.getbbox())


def render(payload: tuple[Path, str, int]) -> bytes:
    """PNG of (font file, character, pixels a side): the ink in the middle, a sixteenth of the side free around it.

    Raises:
        BadSampleError: the font lacks the character, or draws nothing for it.
    """
    path, character, size = payload
    where = f"{path.parent.name}/{path.name} {character!r}"
    try:
        font, missing = _font(path, 4 * size)
    except OSError as error:
        raise BadSampleError(where, f"the font does not open ({error})") from error
    ink = _drawn(font, character)
    if ink.getbbox() is None or (ink.size == missing.size and ink.tobytes() == missing.tobytes()):
        raise BadSampleError(where, "the font lacks this character")
    room = size - 2 * max(1, size // 16)
    scale = room / max(ink.size)
    width, height = (max(1, round(side * scale)) for side in ink.size)
    picture = Image.new("L", (size, size))
    picture.paste(ink.resize((width, height), Image.Resampling.LANCZOS), ((size - width) // 2, (size - height) // 2))
    return encoded(picture)


def _weights(face: Typeface, number: int) -> list[int]:
    """So many of its weights, evenly from light to bold; the regular one if it is to be one."""
    if number == 1:
        return [face.regular]
    last = len(face.weights) - 1
    return sorted({face.weights[round(place * last / (number - 1))] for place in range(number)})


def _name(character: str) -> str:
    """Unicode's name, as "latin capital letter a"."""
    return unicodedata.name(character).lower()


def _style(face: Typeface, weight: int) -> str:
    """As "bold sans, lato"."""
    return f"{_WEIGHTS[weight // 100 - 1]} {face.kind}, {face.family.replace('-', ' ')}"


@dataclass(frozen=True)
class Glyphs(SmallOptions):
    """Glyphs, ordered by family, weight and character; one that a font lacks is left out."""

    families: Annotated[int, Range(ge=2, le=75), "of the 75 families to train on, so many"] = 75
    weights: Annotated[int, Range(ge=1, le=5), "of each family to train on, at most so many weights"] = 1
    test_families: Annotated[int, Range(ge=2, le=27), "of the 27 families to test on, so many"] = 27
    caption: Annotated[
        Literal["name", "name-style"], "the character's Unicode name, alone or with the weight, kind and family"
    ] = "name"

    def _split(self, name: str) -> Split:
        if name.startswith("test-"):
            faces = [face for face in typefaces() if face.split == "test"][: self.test_families]
            fonts = [(face, face.regular) for face in faces]
        else:
            faces = [face for face in typefaces() if face.split == "train"][: self.families]
            fonts = [(face, weight) for face in faces for weight in _weights(face, self.weights)]
        characters = NEW_CHARACTERS if name.endswith("characters") else CHARACTERS
        samples = [(face, weight, character) for face, weight in fonts for character in characters]
        everything = [*CHARACTERS, *NEW_CHARACTERS]
        classes = {
            "label": [_name(character) for character in everything],
            "base": sorted({base(character) for character in everything}),
            "family": [face.family for face in typefaces()],
            "kind": sorted({face.kind for face in typefaces()}),
        }
        numbers = {field: {name: number for number, name in enumerate(names)} for field, names in classes.items()}
        styled = self.caption == "name-style"
        return Split(
            classes=classes,
            labels={
                "label": [numbers["label"][_name(character)] for _, _, character in samples],
                "base": [numbers["base"][base(character)] for _, _, character in samples],
                "family": [numbers["family"][face.family] for face, _, _ in samples],
                "kind": [numbers["kind"][face.kind] for face, _, _ in samples],
            },
            payloads=[
                (self.path / face.file(weight), character, self.image_size) for face, weight, character in samples
            ],
            encode=render,
            channels=1,
            captions=[
                [f"{_name(character)}, {_style(face, weight)}" if styled else _name(character)]
                for face, weight, character in samples
            ],
            bad_samples=BadSamples("skip", 0.05),
        )
